"""The values that a script consists of. Times are in seconds, as the script has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class TimeKind(Enum):
    """How an event says when it is."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"  # to the moment at which the event before it was done
    ANY = "any"


@dataclass(frozen=True, slots=True)
class When:
    """The time of an event."""

    kind: TimeKind
    start_s: float = 0.0
    end_s: float | None = None  # None: an instant, no range


# expressions


class Ellipsis_(Enum):  # noqa: N801 - `Ellipsis` is Python's
    """`...`: whatever it is."""

    ANYTHING = "..."


ANYTHING: Final = Ellipsis_.ANYTHING


@dataclass(frozen=True, slots=True)
class Word:
    """A name: a constant, a flag."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A string. `open_end`: it goes on after what is written here."""

    data: bytes
    open_end: bool = False


@dataclass(frozen=True, slots=True)
class Either:
    """Bits of two expressions: `O_RDWR|O_NONBLOCK`."""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Listing:
    """`[1, 2]`, or a structure without names: `{..., 1000}`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Structure:
    """`{events=POLLIN, fd=3}`."""

    fields: dict[str, Expression]


@dataclass(frozen=True, slots=True)
class Applied:
    """`htons(80)`, `inet_addr("10.0.0.1")`."""

    name: str
    arguments: tuple[Expression, ...]


Expression = int | Word | Text | Either | Listing | Structure | Applied | Ellipsis_


# what is on the wire


class EcnCheck(Enum):
    """What a packet's line says of the TOS byte."""

    NOTHING = "nothing"
    ECN = "ecn"  # the two bits of RFC 3168
    ECT_EITHER = "ect01"
    TOS = "tos"  # all eight


@dataclass(frozen=True, slots=True)
class IpPart:
    """What a packet's line says of the IP header."""

    check: EcnCheck = EcnCheck.NOTHING
    tos: int = 0
    ttl: int | None = None  # None: not named


@dataclass(frozen=True, slots=True)
class TcpOption:
    """One option as bytes after kind and length; `data` is None for EOL and NOP."""

    kind: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class TcpPart:
    """A segment as a line tells it; numbers as in the script, which count from 0."""

    flags: int
    ace: int | None  # the three bits of accurate ECN as a number; None: told as flags
    seq: int
    size: int
    ack: int | None  # None: not named
    win: int | None
    urgent: int
    options: tuple[TcpOption, ...] | None  # None: `<...>`, whatever they are


@dataclass(frozen=True, slots=True)
class UdpPart:
    """A datagram."""

    size: int


@dataclass(frozen=True, slots=True)
class IcmpPart:
    """An ICMP message, and what the packet was that it is about."""

    kind: int
    code: int
    mtu_bytes: int | None
    ident: int
    quoted_proto: int
    quoted_seq: int
    quoted_size: int


@dataclass(frozen=True, slots=True)
class Packet:
    """A line with a packet."""

    inbound: bool
    ip: IpPart
    ports: tuple[int, int] | None  # source and destination; None: those of the socket under test
    part: TcpPart | UdpPart | IcmpPart


# what a program does


@dataclass(frozen=True, slots=True)
class Call:
    """A line with a system call and its result."""

    name: str
    arguments: tuple[Expression, ...]
    result: Expression
    errno_name: str | None  # None: it is to succeed, or to fail anyhow
    end_s: float | None  # when it is to return; None: at once


@dataclass(frozen=True, slots=True)
class Command:
    """A shell line."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Python, for looking at the connection's variables."""

    text: str


Action = Packet | Call | Command | Code


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a script."""

    line: int
    when: When
    action: Action
    source: str  # the line as it is written


@dataclass(slots=True)
class Script:
    """A whole script."""

    path: str
    options: list[tuple[int, str, str | None]] = field(default_factory=list)  # line, name, value
    init_command: Command | None = None
    init_line: int = 0
    events: list[Event] = field(default_factory=list)
