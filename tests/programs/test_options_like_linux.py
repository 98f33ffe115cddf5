"""The options of socket(7), ip(7) and udp(7), on this machine's Linux and on a host of ours.

`option_table.py` says of each what it does here; the page of the docs shows that table.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from like_linux import Socket, on_both, on_ours, real_linux

from pystack.runtime.socket import option_numbers
from pystack.runtime.socket.option_table import (
    BOTH,
    DATAGRAM,
    IP,
    IPV6,
    OPTIONS,
    SOCKET,
    STREAM,
    TCP,
    UDP,
    How,
    Option,
    linux_numbers,
)

PAGE = Path(__file__).parents[2] / "docs" / "sockets.md"
VALUES = (-1, 0, 1, 2, 6, 64, 255, 256, 5000, 1 << 24)
ODD = (b"", b"\1", b"\0\0", struct.pack("ii", 1, 0), struct.pack("@ll", 1, 5), bytes(40))
KINDS = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM}
FAMILIES = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
LEVELS = {
    SOCKET: range(90),
    IP: range(60),
    IPV6: range(85),
    UDP: (*range(12), *range(100, 108)),
}
ROWS = {(kind, *row.key): row for row in OPTIONS for kind in row.kinds}

# By option and value: why it is read otherwise than on Linux.
MEANT = {
    "SO_SNDBUF": "send buffers begin at another size",
    "SO_RCVBUF": "a datagram socket's is 1 MiB",
    "IP_MTU_DISCOVER": "datagrams may be cut by routers; streams look for the path's MTU always",
    "IP_OPTIONS": "only source routes, and of another look when read back",
    "IPV6_MTU": "how large fragments are is the path's to say",
    "SO_BINDTODEVICE": "devices have other names",
    "SO_TIMESTAMPING": "what takes a card is refused, and stamps of what is received",
    "SO_TIMESTAMPING_NEW": "as SO_TIMESTAMPING",
    "SO_RCVLOWAT": "a stream's is half of its largest buffer at most, which is another",
}

TITLES = {
    SOCKET: "Options of socket(7): level `SOL_SOCKET`",
    IP: "Options of ip(7): level `IPPROTO_IP`",
    IPV6: "Options of ipv6(7): level `IPPROTO_IPV6`",
    UDP: "Options of udp(7): level `IPPROTO_UDP`",
    TCP: "Options of tcp(7): level `IPPROTO_TCP`",
}
KIND_WORDS = {BOTH: "", STREAM: "streams", DATAGRAM: "datagrams"}
ACCESS_WORDS = {"rw": "", "r": "read only", "w": "write only"}
HOW_WORDS = {
    How.AS_LINUX: "works as Linux",
    How.OTHERWISE: "works otherwise",
    How.REFUSED: "refused",
}


def said(call: Callable[[], object]) -> str:
    try:
        return repr(call())
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def asked(made: Socket, level: int, number: int) -> dict[str, str]:
    """Return what one option answers, read first and then set to one value after the other."""
    found = {
        "first": said(lambda: made.getsockopt(level, number)),
        "short": said(lambda: made.getsockopt(level, number, 1)),
    }
    for value in (*VALUES, *ODD):
        result = said(lambda: made.setsockopt(level, number, value))  # noqa: B023 - called at once
        back = said(lambda: made.getsockopt(level, number))
        found[repr(value)] = f"{result}, {back}"
    return found


async def ask_all(
    kind: socket.SocketKind, family: socket.AddressFamily
) -> dict[tuple[int, int], dict[str, str]]:
    found = {}
    for level, numbers in LEVELS.items():
        for number in numbers:
            with trio.socket.socket(family, kind) as made:
                found[level, number] = asked(made, level, number)
    return found


def is_for_root_alone(answers: dict[str, str]) -> bool:
    """Tell whether Linux keeps an option from who runs the tests; hosts of ours are root's."""
    refusals = ("EACCES", "EPERM")
    return os.geteuid() != 0 and any(answer.startswith(refusals) for answer in answers.values())


@real_linux
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_option_that_works_as_linuxs_answers_as_linuxs(
    kind: socket.SocketKind, family: socket.AddressFamily
) -> None:
    real, ours = on_both(lambda: ask_all(kind, family))
    differing = {}
    for key, answers in ours.items():
        row = ROWS.get((kind, *key))
        if row is None or row.how is How.REFUSED or row.name in MEANT:
            continue
        if is_for_root_alone(real[key]):
            continue
        found = {
            value: (real[key][value], said)
            for value, said in answers.items()
            if said != real[key][value]
        }
        if found:
            differing[row.name] = found
    assert differing == {}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_refused_or_unknown_is_never_swallowed(
    kind: socket.SocketKind, family: socket.AddressFamily
) -> None:
    async def program() -> None:
        for level, numbers in LEVELS.items():
            for number in numbers:
                row = ROWS.get((kind, level, number))
                is_theirs = level != IPV6 or family == socket.AF_INET6
                if row is not None and row.how is not How.REFUSED and is_theirs:
                    continue
                with trio.socket.socket(family, kind) as made:
                    for value in (1, bytes(40)):
                        answer = said(lambda: made.setsockopt(level, number, value))  # noqa: B023
                        assert answer == "ENOPROTOOPT", (level, number)
                    answer = said(lambda: made.getsockopt(level, number))  # noqa: B023
                    assert answer in ("ENOPROTOOPT", "ENOTSUP"), (level, number)

    on_ours(program)


def test_every_option_of_linux_is_in_the_table() -> None:
    named = {row.name for row in OPTIONS}
    known = {
        name
        for name in dir(socket)
        if name.startswith(("SO_", "IP_", "IPV6_")) and not name.startswith(("SO_VM_", "SO_J1939"))
    }
    other_names = {"IP_DEFAULT_MULTICAST_LOOP", "IP_DEFAULT_MULTICAST_TTL", "IP_MAX_MEMBERSHIPS"}
    # IP_RETOPTS; a value in a routing header
    assert known - named - other_names == {"IP_RECVRETOPTS", "IPV6_RTHDR_TYPE_0"}


def shown() -> str:
    """Return the tables as the page is to show them."""
    lines = []
    for level, title in TITLES.items():
        lines += [f"## {title}", "", "| option | | note |", "| --- | --- | --- |"]
        for row in OPTIONS:
            if row.level == level:
                words = ["" if level in (UDP, TCP) else KIND_WORDS[row.kinds]]
                words += [ACCESS_WORDS[row.access], row.note]
                note = "; ".join(filter(None, words))
                lines.append(f"| `{row.name}` | {HOW_WORDS[row.how]} | {note} |")
        lines.append("")
    return "\n".join(lines)


def test_the_page_shows_the_table() -> None:
    assert shown() in PAGE.read_text("utf-8"), shown()


def test_numbers_that_code_asks_about_are_the_tables() -> None:
    known = {row.name: row.number for row in OPTIONS}
    asked_about = {name: n for name, n in vars(option_numbers).items() if isinstance(n, int)}
    assert asked_about.items() <= known.items()


def test_what_another_platform_calls_by_other_numbers_is_found_by_them() -> None:
    macos = SimpleNamespace(SO_REUSEADDR=4, SO_REUSEPORT=0x200, TCP_NODELAY=1, TCP_MAXSEG=2)
    assert linux_numbers(macos) == {(SOCKET, 4): 2, (SOCKET, 0x200): 15}
    assert linux_numbers(socket) == {}  # Linux's own


@pytest.mark.parametrize(
    ("number", "name"), [(16, "SO_PASSCRED"), (1000, f"level {SOCKET}, option 1000")]
)
def test_an_option_that_is_refused_is_called_by_its_name(number: int, name: str) -> None:
    async def program() -> None:
        with trio.socket.socket() as made, pytest.raises(OSError, match=f": {name}$"):
            made.setsockopt(SOCKET, number, 1)

    on_ours(program)


def test_each_option_has_one_row_for_each_kind_of_socket() -> None:
    seen: list[tuple[int, int, int]] = []
    for row in OPTIONS:
        seen += [(kind, *row.key) for kind in row.kinds]
    assert len(seen) == len(set(seen))


def test_options_of_tcp_are_a_streams_and_those_of_udp_a_datagrams() -> None:
    assert {row.kinds for row in OPTIONS if row.level == TCP} == {STREAM}
    assert {row.kinds for row in OPTIONS if row.level == UDP if row.how is not How.REFUSED} == {
        DATAGRAM
    }


@pytest.mark.parametrize("row", [row for row in OPTIONS if row.how is How.OTHERWISE])
def test_a_difference_has_its_words(row: Option) -> None:
    assert row.note
