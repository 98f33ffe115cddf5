"""`pystack ping`: iputils' lines, summary and exit statuses, at instants of virtual time."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pystack
from pystack.apps.clients import pinging
from pystack.apps.clients.pinging import PingEvent, PingOptions, PingSummary
from pystack.cli.main import main
from pystack.link.impair.drop import Drop
from pystack.link.link import Link
from pystack.runtime.reach import MAX_UNREAD, Echoes
from pystack.wire import icmp

Events = list[PingEvent]


def run(
    options: PingOptions,
    *,
    name: str = "server",
    change: Callable[[Link], object] = lambda link: None,
    **words: object,
) -> tuple[PingSummary, Events]:
    """Ping the server over a link with these words."""
    events: Events = []
    summary = PingSummary(name, "")

    async def main() -> None:
        async with pystack.Network(seed=3) as net:
            client, server = net.host("client"), net.host("server")
            change(net.link(client, server, **words))  # type: ignore[arg-type]
            summary.address = server.address if name == "server" else name
            await pinging.ping(client, summary, options, events.append)

    pystack.run(main)
    return summary, events


def text(summary: PingSummary, events: Events, options: PingOptions) -> list[str]:
    lines = [pinging.line(event, summary) for event in events]
    return [pinging.heading(summary, options), *lines, *pinging.closing(summary)]


def test_the_first_round_trip_has_arps_in_it() -> None:
    options = PingOptions(count=3)
    summary, events = run(options, delay="40ms")
    assert text(summary, events, options) == [
        "PING server (10.0.0.2) 56(84) bytes of data.",
        "64 bytes from server (10.0.0.2): icmp_seq=1 ttl=64 time=160 ms",
        "64 bytes from server (10.0.0.2): icmp_seq=2 ttl=64 time=80.0 ms",
        "64 bytes from server (10.0.0.2): icmp_seq=3 ttl=64 time=80.0 ms",
        "",
        "--- server ping statistics ---",
        "3 packets transmitted, 3 received, 0% packet loss, time 2000ms",
        "rtt min/avg/max/mdev = 80.000/106.667/160.000/37.712 ms",
    ]
    assert summary.status(options) == 0


def test_a_duplicate_is_called_one_and_counts_apart() -> None:
    options = PingOptions(count=2, interval_s=0.5)
    summary, events = run(options, delay="1ms", duplicate="100%")
    # Each request twice, each answered twice; the second request's first answer ends it.
    assert [event.duplicate for event in events] == [False, True, True, True, False]
    assert pinging.line(events[1], summary).endswith(" (DUP!)")
    assert pinging.closing(summary)[2] == (
        "2 packets transmitted, 2 received, +3 duplicates, 0% packet loss, time 500ms"
    )


def test_a_neighbour_who_is_not_there_is_reported_by_this_host() -> None:
    options = PingOptions(count=2)
    summary, events = run(options, name="10.0.0.77", delay="1ms")
    assert [(event.address, event.error) for event in events] == [
        ("10.0.0.1", "Destination Host Unreachable")
    ] * 2
    assert pinging.line(events[0], summary) == (
        "From 10.0.0.1 icmp_seq=1 Destination Host Unreachable"
    )
    assert pinging.closing(summary) == [
        "",
        "--- 10.0.0.77 ping statistics ---",
        "2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 1000ms",
        "",  # where the times would be, as iputils has it
    ]
    assert summary.status(options) == 1


def test_hops_that_are_used_up_are_told_by_the_router() -> None:
    events: Events = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            router = net.router("router")
            net.link(client, router, delay="5ms")
            net.link(router, server, delay="5ms")
            for ttl in (1, 2):
                summary = PingSummary("server", server.address)
                await pinging.ping(client, summary, PingOptions(count=1, ttl=ttl), events.append)

    pystack.run(main)
    assert [(event.error, event.ttl) for event in events] == [
        ("Time to live exceeded", 0),
        (None, 63),
    ]


def test_silence_ends_after_what_the_last_request_gets() -> None:
    ended: list[float] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, loss="100%")
            summary = PingSummary("server", server.address)
            options = PingOptions(count=2, wait_s=0.25)
            await pinging.ping(client, summary, options, lambda event: None)
            ended.append(net.now())

    pystack.run(main)
    assert ended == [1.25]


def test_where_something_came_twice_the_longest_round_trip_is_enough() -> None:
    ended: list[float] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            link = net.link(client, server, delay="400ms")
            net.at(1.9, link.down)
            options = PingOptions(count=3)
            summary = PingSummary("server", server.address)
            await pinging.ping(client, summary, options, lambda event: None)
            ended.append(net.now())
            assert (summary.sent, summary.received) == (3, 2)

    pystack.run(main)
    assert ended == [pytest.approx(2.0 + 2 * 1.6)]


def test_an_answer_that_comes_with_the_deadline_has_come() -> None:
    options = PingOptions(count=1, deadline_s=0.5)
    summary, _ = run(options, delay="125ms")
    assert (summary.received, summary.max_ms) == (1, 500.0)


@pytest.mark.parametrize(("deadline_s", "status", "sent"), [(2.5, 1, 3), (10.0, 0, 6)])
def test_with_a_deadline_the_count_is_of_answers(deadline_s: float, status: int, sent: int) -> None:
    def lose(link: Link) -> None:
        link.set(a_to_b={"drop": Drop(positions=[3, 4, 5])})  # the first is ARP's

    options = PingOptions(count=3, deadline_s=deadline_s)
    summary, _ = run(options, change=lose, delay="1ms")
    assert (summary.status(options), summary.sent) == (status, sent)


def test_the_sequence_goes_round_and_old_answers_are_still_told_apart() -> None:
    options = PingOptions(count=65_540, interval_s=0.001, size_bytes=0)
    summary, events = run(options, delay="0.1ms")
    assert (summary.received, summary.duplicates) == (65_540, 0)
    assert [event.seq for event in events[65_534:65_537]] == [65_535, 0, 1]


def test_answers_that_nobody_reads_are_counted_and_no_memory() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server)
            with Echoes(client) as echoes:
                remote = client.resolve(server.address)
                for seq in range(MAX_UNREAD + 5):
                    echoes.send(remote, seq, b"")
                    await server.ping("client")  # lets time go on
                kept = 0
                while await echoes.receive_until(client.now()):
                    kept += 1
            assert kept == MAX_UNREAD
            assert client.counters["icmp_answers_unread"] == 5
            assert not client.stack.icmp.echo_sinks

    pystack.run(main)


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (icmp.DESTINATION_UNREACHABLE, 4, "Frag needed and DF set (mtu = 1400)"),
        (icmp.DESTINATION_UNREACHABLE, 13, "Packet filtered"),
        (icmp.DESTINATION_UNREACHABLE, 77, "ICMP error of type 3, code 77"),
        (icmp.TIME_EXCEEDED, 1, "Frag reassembly time exceeded"),
        (icmp.PARAMETER_PROBLEM, 0, "Parameter problem"),
    ],
)
def test_errors_have_iputils_words(kind: int, code: int, words: str) -> None:
    from pystack.core.addresses import LOOPBACK
    from pystack.runtime.reach import EchoAnswer, error_in_words

    answer = EchoAnswer(kind, code, LOOPBACK, 1, 0, b"", 1400, 0.0)
    assert error_in_words(answer) == words


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (0.0, "0.000"),
        (0.3604, "0.360"),
        (1.234, "1.23"),
        (9.995, "10.0"),
        (99.96, "100"),
        (160, "160"),
    ],
)
def test_times_have_three_figures(ms: float, shown: str) -> None:
    event = PingEvent(seq=1, address="10.0.0.2", bytes=64, ttl=64, time_ms=ms)
    assert pinging.line(event, PingSummary("10.0.0.2", "10.0.0.2")).endswith(f" time={shown} ms")


@pytest.mark.parametrize(
    "words",
    [
        {"count": 0},
        {"interval_s": 0.0},
        {"interval_s": float("nan")},
        {"size_bytes": 65_508},
        {"wait_s": -1.0},
        {"deadline_s": 0.0},
        {"ttl": 0},
        {"ttl": 256},
    ],
)
def test_what_cannot_be_is_refused(words: dict[str, float]) -> None:
    with pytest.raises(pystack.ConfigError):
        PingOptions(**words)  # type: ignore[arg-type]


# the command


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pystack", "ping", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_makes_its_own_link_and_is_the_same_every_time() -> None:
    words = ("server", "--delay", "40ms", "--jitter", "10ms", "--loss", "20%", "-c", "8")
    first, second = command(*words), command(*words)
    assert first.returncode == 0
    assert first.stdout == second.stdout
    assert command(*words, "--seed", "5").stdout != first.stdout
    assert re.search(r"^8 packets transmitted, \d received, ", first.stdout, re.MULTILINE)


def test_json_is_a_line_for_each_answer_and_the_summary() -> None:
    done = command("10.9.8.7", "--delay", "10ms", "-c", "2", "--json")
    first, second, summary = map(json.loads, done.stdout.splitlines())
    assert (first["seq"], first["ttl"], first["error"]) == (1, 64, None)
    assert second["time_ms"] == pytest.approx(20.0)
    assert (summary["address"], summary["received"]) == ("10.9.8.7", 2)
    assert summary["loss_percent"] == 0.0


def test_quiet_shows_the_summary_alone() -> None:
    lines = command("server", "-q").stdout.splitlines()
    assert len(lines) == 5
    assert lines[3].startswith("4 packets transmitted, 4 received")


LAB = """\
[hosts.a]
[hosts.b]
[hosts.lonely]
[switches.s]
[[links]]
between = ["a", "s"]
delay = "10ms"
[[links]]
between = ["b", "s"]
"""


def test_a_lab_is_a_place_to_stand(tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(LAB)
    done = command("b", "--lab", lab, "-c", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "icmp_seq=2 ttl=64 time=20.0 ms" in done.stdout
    assert "time=0.000 ms" in command("b", "--lab", lab, "--from", "b", "-c", "1").stdout
    done = command("lonely", "--lab", lab)
    assert (done.returncode, done.stderr) == (
        2,
        "pystack ping: lonely: Name or service not known\n",
    )
    done = command("b", "--lab", lab, "--real-time", "-c", "2", "-i", "0.01")
    assert done.returncode == 0, done.stderr


def test_a_name_that_none_can_be_is_trouble_too(tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(LAB)
    done = command("x" * 70, "--lab", lab)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"pystack ping: {'x' * 70}: Name or service not known\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["b", "--lab", "LAB", "--from", "s"], "--from s: it is a switch, not a pystack host"),
        (["b", "--lab", "LAB", "--from", "aa"], "has no such host; did you mean 'a'?"),
        (["b", "--lab", "LAB", "--delay", "1ms"], "--delay is for --via or a virtual link; the"),
        (["b", "--lab", "LAB", "--via", "tap0"], "--via and --lab are two places"),
        (["b", "--lab", "/none.toml"], "cannot read /none.toml"),
        (["b", "--from", "a"], "--from is for --lab; the client is on a virtual link"),
        (["b", "--gateway", "10.0.0.1"], "--gateway is for --via; the client is on a virtual link"),
        (["b", "--dela", "1ms"], "No such option: --dela"),
        (["b", "--delay", "soon"], "delay = 'soon' is not possible"),
        (["b", "-c", "0"], "-c 0: at least one request must be sent"),
        (["b", "-i", "x"], "'x' is not a time"),
        (["b", "--serve", "htp"], "there is no service 'htp'; did you mean 'http'?"),
        (["10.0.0.255"], "10.0.0.255 is not a host's address in 10.0.0.0/24"),
        (["bad name"], "bad name"),
        (["fd00::zz"], "'fd00::zz' is not an IPv6 address"),
        (["10.0.0.300"], "'10.0.0.300' is not an IP address"),
        (["fe80::1"], "fe80::1 is a link-local address"),
        (["fe80::1%eth0"], "fe80::1%eth0 is a link-local address"),
        (["-6", "10.0.0.2"], "10.0.0.2: Address family for hostname not supported"),
        (["-4", "fd00::2"], "fd00::2: Address family for hostname not supported"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(LAB)
    given = [str(lab) if word == "LAB" else word for word in words]
    monkeypatch.setattr(sys, "argv", ["pystack", "ping", *given])
    with pytest.raises(SystemExit) as caught:
        main()
    shown, said = capsys.readouterr()
    assert (caught.value.code, shown) == (2, "")
    assert sentence in said
    assert said.count("\n") == 1
