"""resolv.conf(5), as glibc reads it."""

import socket
from pathlib import Path

import pytest

from pystack.core.addresses import parse_ip
from pystack.core.errors import ConfigError
from pystack.runtime.outside.resolv_conf import ResolvConf, Server, Watched, given, parse

HOME = """
# made by a daemon
; another comment
nameserver 192.0.2.1
nameserver\t2001:db8::53
nameserver fe80::1%eth0
nameserver 192.0.2.4
domain old.example
search a.example  b.example
options edns0 trust-ad timeout:2 attempts:9
options rotate ndots:2
sortlist 1.2.3.4
"""


def test_everything_of_a_file_is_read() -> None:
    found = parse(HOME)
    assert found == ResolvConf(
        servers=(Server("192.0.2.1"), Server("2001:db8::53"), Server("fe80::1%eth0")),
        search=("a.example", "b.example"),
        options=("edns0", "trust-ad", "timeout:2", "attempts:9", "rotate", "ndots:2"),
        timeout_s=2.0,
        rotate=True,
    )
    v4, v6 = socket.AF_INET, socket.AF_INET6
    assert [server.family for server in found.servers] == [v4, v6, v6]


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "nameserver\n", "nameserver example.org\n", "nameserver 1.2.3\n", "\0\n"],
)
def test_without_a_server_this_very_machine_is_asked(text: str) -> None:
    assert parse(text).servers == (Server("127.0.0.1"),)


@pytest.mark.parametrize(
    ("options", "timeout_s"),
    [("timeout:0", 5.0), ("timeout:x", 5.0), ("timeout:99", 30.0), ("timeout", 5.0)],
)
def test_a_time_that_cannot_be_is_the_usual_one_or_the_longest(
    options: str, timeout_s: float
) -> None:
    assert parse(f"options {options}\n").timeout_s == timeout_s


def test_the_file_for_programs_inside_says_the_same_of_other_servers() -> None:
    inside = [parse_ip("10.77.0.1"), parse_ip("fd77::1")]
    assert parse(HOME).text_for(inside) == (
        "nameserver 10.77.0.1\nnameserver fd77::1\nsearch a.example b.example\n"
        "options edns0 trust-ad timeout:2 attempts:9 rotate ndots:2\n"
    )
    assert parse("").text_for(inside[:1]) == "nameserver 10.77.0.1\nsearch .\n"


def test_servers_are_given_as_addresses_with_their_ports() -> None:
    assert given(["192.0.2.1", "[::1]:5353", "127.0.0.1:54", "fe80::1%eth0"]).servers == (
        Server("192.0.2.1", 53),
        Server("::1", 5353),
        Server("127.0.0.1", 54),
        Server("fe80::1%eth0", 53),
    )
    for wrong in ([], "192.0.2.1", ["ns.example"], ["192.0.2.1:0"], ["fe80::1%"]):
        with pytest.raises(ConfigError):
            given(wrong)


def test_a_file_that_changes_is_read_again_and_looked_at_once_a_second(tmp_path: Path) -> None:
    now = 100.0
    path = tmp_path / "resolv.conf"
    watched = Watched(path, lambda: now)
    assert watched.now().servers == (Server("127.0.0.1"),)
    path.write_text("nameserver 192.0.2.1\n")
    now = 100.9
    assert watched.now().servers == (Server("127.0.0.1"),)
    now = 101.0
    assert watched.now().servers == (Server("192.0.2.1"),)
    path.write_text("nameserver 192.0.2.22\n")
    now = 102.5
    assert watched.now().servers == (Server("192.0.2.22"),)
    path.unlink()
    now = 104.0
    assert watched.now().servers == (Server("127.0.0.1"),)
