"""The runner: what it finds out, and how it tells."""

from pathlib import Path

import pytest

from pystack.core.addresses import parse_ip
from pystack.core.errors import ConfigError
from pystack.stack.ports import ANY
from pystack.testing.packetdrill import icmp_words
from pystack.testing.packetdrill.play import Result
from pystack.testing.packetdrill.runner import lines_of, run_all, run_text, scripts_in
from pystack.testing.packetdrill.settings import Settings
from pystack.testing.packetdrill.world import World

LISTEN = """
0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
"""
ACCEPT = (
    LISTEN
    + """
+0 < S 0:0(0) win 65535 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
"""
)


def run(text: str, **settings: object) -> Result:
    found = Settings()
    for name, value in settings.items():
        setattr(found, name, value)
    return run_text(text, "a.pkt", found)


def test_a_script_that_fits_passes() -> None:
    assert run(ACCEPT + "+0 write(4, ..., 2000) = 2000\n+0 > P. 1:2001(2000) ack 1\n").passed


def test_a_line_may_be_one_segment_alone() -> None:
    text = ACCEPT + "+0 write(4, ..., 2000) = 2000\n+0 > P. 1:2001(2000) ack 1\n"
    result = run(text, strict_segments=True)
    assert result.problem == (
        "flags: PSH ACK expected, ACK came; payload: 2000 expected, 1000 came"
    )


def test_a_failure_shows_what_was_expected_and_what_came() -> None:
    result = run(ACCEPT + "+0 write(4, ..., 100) = 100\n+.5 > . 1:101(100) ack 2\n")
    lines = lines_of(result)
    assert lines[0] == (
        "a.pkt:11: FAILED: flags: ACK expected, PSH ACK came; ack: 2 expected, 1 came"
    )
    assert lines[1] == "    expected: 0.600000 > . 1:101(100) ack 2"
    assert lines[2].startswith("    came:     0.100000 > P. 1:101(100) ack 1 win ")
    assert lines[3] == "    script:   +.5 > . 1:101(100) ack 2"


def test_a_packet_at_another_time_is_a_failure() -> None:
    text = ACCEPT + "+0 write(4, ..., 100) = 100\n+.1 > P. 1:101(100) ack 1\n"
    result = run(text)
    assert result.problem == (
        "time: the packet was expected at 0.200000, came at 0.100000, 0.100000 s early"
    )
    assert run(text, tolerance_s=0.2).passed


def test_a_packet_that_never_comes_is_a_failure() -> None:
    result = run(ACCEPT + "+0 > P. 1:101(100) ack 1\n")
    assert result.problem == "no packet came"


def test_what_is_left_at_the_end_fails_where_asked_for() -> None:
    text = ACCEPT + "+0 write(4, ..., 100) = 100\n"
    assert run(text).passed
    result = run(text, strict=True)
    assert result.problem == "sent, and expected by no line"
    assert result.details[0].startswith("came:     0.100000 > P. 1:101(100) ack 1")


def test_the_payload_is_what_was_written() -> None:
    text = ACCEPT + '+0 write(4, "hello", 5) = 5\n+0 > P. 1:6(5) ack 1\n'
    assert run(text).passed  # texts are not held against the pattern


def test_a_call_that_returns_something_else_is_a_failure() -> None:
    result = run(LISTEN + "+0 listen(3, 1) = 5\n")
    assert result.problem == "listen returned 0, expected was 5"
    assert result.line == 5


def test_an_errno_is_compared() -> None:
    text = ACCEPT + "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n"
    assert run(text + "+0 read(4, ..., 10) = -1 EAGAIN (Resource temporarily unavailable)").passed
    result = run(text + "+0 read(4, ..., 10) = -1 EPIPE (Broken pipe)")
    assert result.problem == (
        "read returned -1 EAGAIN (Resource temporarily unavailable), expected was -1 EPIPE"
    )


def test_a_call_that_waits_returns_at_its_time() -> None:
    text = ACCEPT + "+0...{} read(4, ..., 10) = 10\n+.2 < P. 1:11(10) ack 1 win 65535\n"
    assert run(text.format("0.2")).passed
    result = run(text.format("0.5"))
    assert result.problem == (
        "time: the return of read was expected at 0.600000, came at 0.300000, 0.300000 s early"
    )
    assert result.line == 10


def test_a_call_that_never_returns_is_a_failure() -> None:
    result = run(ACCEPT + "+0 read(4, ..., 10) = 10\n")
    assert result.problem == ("the call does not return: nothing is to happen that it waits for")


def test_python_sees_the_connection() -> None:
    assert run(
        ACCEPT + "+0 %{ assert tcpi_state == TCP_ESTABLISHED and tcpi_snd_mss == 1000 }%"
    ).passed
    result = run(ACCEPT + "+0 %{\nassert tcpi_snd_mss == 999, 'too much'\n}%")
    assert result.problem == "an assertion fails: too much"
    assert result.details == ["tcpi_snd_mss is 1000"]


def test_sysctls_are_applied_or_reported() -> None:
    text = "`sysctl -q net.ipv4.tcp_syn_retries=1\nsysctl -q net.ipv4.tcp_foo=2; modprobe x`\n"
    text += """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...3 connect(3, ..., ...) = -1 ETIMEDOUT (Connection timed out)
+0 > S 0:0(0) <...>
+1 > S 0:0(0) <...>
"""
    result = run(text)
    assert result.passed
    assert result.remarks == [
        "a.pkt:1: ignored: the sysctl tcp_foo",
        "a.pkt:1: ignored: `modprobe x`",
    ]


def test_options_at_the_top_hold_for_the_script() -> None:
    result = run("--mtu=1000\n--speed=100\n--nonsense=1\n" + LISTEN)
    assert result.passed
    assert [remark.split(": ", 1)[1] for remark in result.remarks] == [
        "ignored: --speed has no meaning here",
        "ignored: --nonsense is not known",
    ]
    assert run("--ip_version=ipx\n" + LISTEN).problem == (
        "--ip_version=ipx: there are ipv4, ipv4-mapped-ipv6 and ipv6"
    )
    assert run("--local_ip=fd00::1\n" + LISTEN).problem == (
        "local_ip and remote_ip are of different versions of IP"
    )


def test_words_and_addresses_are_those_of_the_version() -> None:
    settings = Settings()
    settings.apply("ip_version", "ipv6")
    assert (settings.local_ip, settings.remote_ip) == (
        parse_ip("fd3d:a0b:17d6::1"),
        parse_ip("fd3d:fa7b:d17d::1"),
    )
    assert settings.defines["CMSG_LEVEL_IP"] == "SOL_IPV6"
    settings.apply("ip_version", "ipv4")
    assert settings == Settings()
    # What was given stays.
    settings = Settings(remote_ip=parse_ip("2001:db8::1"), defines={"TFO_COOKIE": "1122"})
    settings.apply("ip_version", "ipv6")
    assert settings.remote_ip == parse_ip("2001:db8::1")
    assert settings.defines == {"TFO_COOKIE": "1122"}


@pytest.mark.parametrize(
    ("word", "kind", "code"),
    [
        ("net_unreachable", 1, 0),
        ("no_route", 1, 0),
        ("host_prohibited", 1, 1),
        ("address_unreachable", 1, 3),
        ("host_unreachable", 1, 3),
        ("port_unreachable", 1, 4),
        ("protocol_unreachable", 4, 1),
        ("frag_needed", 2, 0),
    ],
)
def test_icmp_of_scripts_is_icmpv6_over_ipv6(word: str, kind: int, code: int) -> None:
    found = icmp_words.code_named(3, word)
    assert found is not None
    assert icmp_words.on_the_wire(3, found, is_v6=True) == (kind, code)
    assert icmp_words.on_the_wire(3, found, is_v6=False) == (3, found)


def test_what_icmpv6_does_not_have_is_told() -> None:
    text = "--ip_version=ipv6\n" + LISTEN + "+0 < S 0:0(0) win 1000\n+0 > S. 0:0(0) ack 1 <...>\n"
    assert (
        run(text + "+0 < icmp source_quench [0:0(0)]\n").problem
        == "ICMPv6 has nothing for ICMP type 4, code 0"
    )


def test_scripts_are_found_below_directories(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.pkt").write_text(ACCEPT)
    (tmp_path / "a.pkt").write_text("nonsense")
    told: list[str] = []
    assert not run_all([tmp_path], Settings(), told.append)
    assert told[0].startswith(f"{tmp_path}/a.pkt:1: FAILED: a time is missing")
    assert told[-2:] == [f"{tmp_path}/b/one.pkt: ok", "2 scripts: 1 passed, 1 failed"]
    with pytest.raises(ConfigError, match="there is no"):
        scripts_in([tmp_path / "c"])


def test_a_device_has_its_new_mtu_for_whoever_has_sent_before() -> None:
    settings = Settings()
    world = World(settings)
    socket = world.host.udp.bind(ANY, 5000)
    socket.send_to(bytes(1000), settings.remote_ip, 9, world.now)
    assert [sent.packet.is_fragment for sent in world.sent] == [False]
    world.sent.clear()
    world.set_mtu(600)
    socket.send_to(bytes(1000), settings.remote_ip, 9, world.now)
    assert [sent.packet.is_fragment for sent in world.sent] == [True, True]
    world.close()
