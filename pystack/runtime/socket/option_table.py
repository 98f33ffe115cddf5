"""The options of socket(7), ip(7), udp(7) and tcp(7): one table, which docs/sockets.md shows.

What is not in it, or refused in it, is ENOPROTOOPT: an option is never swallowed. Numbers are
Linux's, as not every platform names all of them.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

SOCKET: Final = int(socket.SOL_SOCKET)
IP: Final = int(socket.IPPROTO_IP)
TCP: Final = int(socket.IPPROTO_TCP)
UDP: Final = int(socket.IPPROTO_UDP)

STREAM: Final = frozenset({int(socket.SOCK_STREAM)})
DATAGRAM: Final = frozenset({int(socket.SOCK_DGRAM)})
BOTH: Final = STREAM | DATAGRAM


class How(Enum):
    """What becomes of an option here."""

    AS_LINUX = "as Linux"
    OTHERWISE = "otherwise"
    REFUSED = "refused"


class Form(Enum):
    """What a value looks like."""

    NUMBER = "number"
    SWITCH = "switch"  # a number that is read back as 0 or 1
    STRUCT = "struct"
    NAME = "name"  # text


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of one level, for sockets of one kind or both."""

    level: int
    number: int
    name: str
    how: How
    kinds: frozenset[int]
    note: str
    form: Form
    access: str  # "rw", "r", "w"
    size: int  # in bytes, of a STRUCT or a NAME: shorter ones are EINVAL
    default: int
    least: int | None  # None: any number is taken
    most: int | None

    @property
    def key(self) -> tuple[int, int]:
        """Return level and number."""
        return self.level, self.number


LINUX, OTHER, NO = How.AS_LINUX, How.OTHERWISE, How.REFUSED
_SWITCH, _STRUCT, _NAME = Form.SWITCH, Form.STRUCT, Form.NAME


def _row(
    level: int,
    number: int,
    name: str,
    how: How,
    note: str = "",
    *,
    on: frozenset[int] = BOTH,
    form: Form = Form.NUMBER,
    access: str = "rw",
    size: int = 4,
    default: int = 0,
    within: tuple[int, int] | None = None,
) -> Option:
    least, most = (None, None) if within is None else within
    return Option(
        level=level,
        number=number,
        name=name,
        how=how,
        kinds=on,
        note=note,
        form=form,
        access=access,
        size=size,
        default=default,
        least=least,
        most=most,
    )


_tcp = partial(_row, TCP, on=STREAM)

_NO_FILTERS = "there are no packet filters"
_NO_CARD = "there is no card whose queues it could be about"
_LOCAL_ONLY = "is about processes of one machine"

OPTIONS: Final[tuple[Option, ...]] = (
    _row(SOCKET, 1, "SO_DEBUG", LINUX, "remembered", form=_SWITCH),
    _row(
        SOCKET,
        2,
        "SO_REUSEADDR",
        LINUX,
        "without it a port is EADDRINUSE while connections of it live or are in TIME-WAIT",
        form=_SWITCH,
    ),
    _row(SOCKET, 3, "SO_TYPE", LINUX, access="r"),
    _row(SOCKET, 4, "SO_ERROR", LINUX, access="r"),
    _row(SOCKET, 5, "SO_DONTROUTE", LINUX, "also MSG_DONTROUTE", form=_SWITCH),
    _row(SOCKET, 6, "SO_BROADCAST", LINUX, "EACCES without it", form=_SWITCH),
    _row(
        SOCKET,
        7,
        "SO_SNDBUF",
        LINUX,
        "doubled when read, 4,608 at least; a stream holds as many bytes as were asked for, "
        "a datagram socket never waits",
    ),
    _row(
        SOCKET,
        8,
        "SO_RCVBUF",
        LINUX,
        "doubled when read, 2,304 at least; the window of a stream is what was asked for, and it "
        "grows no more; accepted sockets have the listener's",
    ),
    _row(SOCKET, 9, "SO_KEEPALIVE", LINUX, form=_SWITCH),
    _row(SOCKET, 10, "SO_OOBINLINE", LINUX, form=_SWITCH),
    _row(SOCKET, 11, "SO_NO_CHECK", LINUX, "no checksum is sent", on=DATAGRAM, form=_SWITCH),
    _row(
        SOCKET,
        12,
        "SO_PRIORITY",
        OTHER,
        "remembered, and set by IP_TOS as on Linux; no queue of a host looks at it",
    ),
    _row(
        SOCKET,
        13,
        "SO_LINGER",
        LINUX,
        "0 s: closing resets; more: as sockets that do not block, close returns at once",
        form=_STRUCT,
        size=8,
    ),
    _row(SOCKET, 14, "SO_BSDCOMPAT", LINUX, "does nothing"),
    _row(
        SOCKET,
        15,
        "SO_REUSEPORT",
        LINUX,
        "connections and datagrams are shared out by a hash of both ends",
        form=_SWITCH,
    ),
    _row(SOCKET, 16, "SO_PASSCRED", NO, _LOCAL_ONLY),
    _row(SOCKET, 17, "SO_PEERCRED", NO, _LOCAL_ONLY),
    _row(
        SOCKET,
        18,
        "SO_RCVLOWAT",
        LINUX,
        "who waits is woken by so many bytes; what is there is returned",
        default=1,
    ),
    _row(SOCKET, 19, "SO_SNDLOWAT", LINUX, "always 1", access="r", default=1),
    _row(SOCKET, 20, "SO_RCVTIMEO", LINUX, "remembered", form=_STRUCT, size=16),
    _row(SOCKET, 21, "SO_SNDTIMEO", LINUX, "remembered", form=_STRUCT, size=16),
    _row(
        SOCKET,
        25,
        "SO_BINDTODEVICE",
        LINUX,
        "`lo`, `eth0` ... of the host; ENODEV for others",
        form=_NAME,
        size=0,
    ),
    _row(SOCKET, 62, "SO_BINDTOIFINDEX", NO, "see SO_BINDTODEVICE"),
    _row(SOCKET, 26, "SO_ATTACH_FILTER", NO, _NO_FILTERS),
    _row(SOCKET, 27, "SO_DETACH_FILTER", NO, _NO_FILTERS),
    _row(SOCKET, 28, "SO_PEERNAME", LINUX, form=_STRUCT, size=16, access="r"),
    _row(
        SOCKET,
        29,
        "SO_TIMESTAMP",
        LINUX,
        "also SO_TIMESTAMP_NEW; the world's time, since 1970 where it is real",
        on=DATAGRAM,
        form=_SWITCH,
    ),
    _row(SOCKET, 63, "SO_TIMESTAMP_NEW", LINUX, on=DATAGRAM, form=_SWITCH),
    _row(SOCKET, 30, "SO_ACCEPTCONN", LINUX, access="r"),
    _row(SOCKET, 31, "SO_PEERSEC", NO, _LOCAL_ONLY),
    _row(SOCKET, 32, "SO_SNDBUFFORCE", LINUX, access="w"),
    _row(SOCKET, 33, "SO_RCVBUFFORCE", LINUX, access="w"),
    _row(SOCKET, 34, "SO_PASSSEC", NO, _LOCAL_ONLY),
    _row(
        SOCKET,
        35,
        "SO_TIMESTAMPNS",
        LINUX,
        "also SO_TIMESTAMPNS_NEW",
        on=DATAGRAM,
        form=_SWITCH,
    ),
    _row(SOCKET, 64, "SO_TIMESTAMPNS_NEW", LINUX, on=DATAGRAM, form=_SWITCH),
    _row(SOCKET, 36, "SO_MARK", OTHER, "remembered; no route depends on it"),
    _row(
        SOCKET,
        37,
        "SO_TIMESTAMPING",
        OTHER,
        "when text was handed down, left, and was acknowledged; the packet is not handed back, "
        "EINVAL for all that takes a card, and for stamps of what is received",
        on=STREAM,
    ),
    _row(SOCKET, 65, "SO_TIMESTAMPING_NEW", OTHER, "as SO_TIMESTAMPING", on=STREAM),
    _row(SOCKET, 37, "SO_TIMESTAMPING", NO, _NO_CARD, on=DATAGRAM),
    _row(SOCKET, 65, "SO_TIMESTAMPING_NEW", NO, _NO_CARD, on=DATAGRAM),
    _row(SOCKET, 38, "SO_PROTOCOL", LINUX, access="r"),
    _row(SOCKET, 39, "SO_DOMAIN", LINUX, access="r"),
    _row(
        SOCKET,
        40,
        "SO_RXQ_OVFL",
        LINUX,
        "how many datagrams there was no room for, with the next",
        on=DATAGRAM,
        form=_SWITCH,
    ),
    _row(SOCKET, 41, "SO_WIFI_STATUS", NO, _NO_CARD),
    _row(SOCKET, 42, "SO_PEEK_OFF", NO, "MSG_PEEK begins at the first byte"),
    _row(SOCKET, 43, "SO_NOFCS", NO, _NO_CARD),
    _row(SOCKET, 44, "SO_LOCK_FILTER", NO, _NO_FILTERS),
    _row(SOCKET, 45, "SO_SELECT_ERR_QUEUE", NO, "there is no POLLPRI"),
    _row(SOCKET, 46, "SO_BUSY_POLL", NO, _NO_CARD),
    _row(SOCKET, 47, "SO_MAX_PACING_RATE", NO, "see `TcpConfig.pacing`"),
    _row(SOCKET, 49, "SO_INCOMING_CPU", NO, _NO_CARD),
    _row(SOCKET, 50, "SO_ATTACH_BPF", NO, _NO_FILTERS),
    _row(SOCKET, 51, "SO_ATTACH_REUSEPORT_CBPF", NO, _NO_FILTERS),
    _row(SOCKET, 52, "SO_ATTACH_REUSEPORT_EBPF", NO, _NO_FILTERS),
    _row(SOCKET, 55, "SO_MEMINFO", NO),
    _row(SOCKET, 56, "SO_INCOMING_NAPI_ID", NO, _NO_CARD),
    _row(SOCKET, 57, "SO_COOKIE", NO),
    _row(
        SOCKET,
        60,
        "SO_ZEROCOPY",
        LINUX,
        "MSG_ZEROCOPY copies, and its notification says so",
        on=STREAM,
        within=(0, 1),
    ),
    _row(SOCKET, 60, "SO_ZEROCOPY", NO, "what is sent is copied once", on=DATAGRAM),
    _row(SOCKET, 61, "SO_TXTIME", NO, "there is no queue that would keep it"),
    _row(IP, 1, "IP_TOS", LINUX, "a stream leaves the two bits of ECN alone"),
    _row(IP, 2, "IP_TTL", LINUX, "1 to 255, -1: the usual one", default=64),
    _row(IP, 3, "IP_HDRINCL", NO, "for raw sockets"),
    _row(
        IP,
        4,
        "IP_OPTIONS",
        OTHER,
        "source routes only, and before connecting",
        on=STREAM,
        form=_STRUCT,
        size=0,
    ),
    _row(IP, 4, "IP_OPTIONS", NO, on=DATAGRAM),
    _row(IP, 5, "IP_ROUTER_ALERT", NO, "for raw sockets"),
    _row(IP, 6, "IP_RECVOPTS", LINUX, on=DATAGRAM, form=_SWITCH),
    _row(IP, 7, "IP_RETOPTS", NO),
    _row(
        IP,
        8,
        "IP_PKTINFO",
        LINUX,
        "also in sendmsg, where it chooses source and device",
        on=DATAGRAM,
        form=_SWITCH,
    ),
    _row(IP, 9, "IP_PKTOPTIONS", NO),
    _row(
        IP,
        10,
        "IP_MTU_DISCOVER",
        OTHER,
        "0 unless set (Linux: 1), so that routers cut what is too large",
        on=DATAGRAM,
        within=(0, 5),
    ),
    _row(
        IP,
        10,
        "IP_MTU_DISCOVER",
        OTHER,
        "1 and 2, which are the same, for TCP looks for the path's MTU always",
        on=STREAM,
        default=1,
        within=(1, 2),
    ),
    _row(
        IP,
        11,
        "IP_RECVERR",
        LINUX,
        "datagrams: with a queue of errors (MSG_ERRQUEUE), 64 long; streams: soft errors at once",
        form=_SWITCH,
    ),
    _row(IP, 12, "IP_RECVTTL", LINUX, "and IP_TTL in sendmsg", on=DATAGRAM, form=_SWITCH),
    _row(IP, 13, "IP_RECVTOS", LINUX, "and IP_TOS in sendmsg", on=DATAGRAM, form=_SWITCH),
    _row(IP, 14, "IP_MTU", LINUX, access="r"),
    _row(IP, 15, "IP_FREEBIND", LINUX, "bind to an address that is not here", form=_SWITCH),
    _row(IP, 16, "IP_IPSEC_POLICY", NO),
    _row(IP, 17, "IP_XFRM_POLICY", NO),
    _row(IP, 18, "IP_PASSSEC", NO),
    _row(IP, 19, "IP_TRANSPARENT", NO),
    _row(
        IP,
        20,
        "IP_RECVORIGDSTADDR",
        LINUX,
        on=DATAGRAM,
        form=_SWITCH,
    ),
    _row(IP, 21, "IP_MINTTL", NO),
    _row(IP, 22, "IP_NODEFRAG", NO, "for raw sockets"),
    _row(IP, 23, "IP_CHECKSUM", NO),
    _row(IP, 24, "IP_BIND_ADDRESS_NO_PORT", LINUX, on=STREAM, form=_SWITCH),
    _row(IP, 25, "IP_RECVFRAGSIZE", NO),
    _row(IP, 26, "IP_RECVERR_RFC4884", NO),
    _row(
        IP,
        32,
        "IP_MULTICAST_IF",
        LINUX,
        "an address, ip_mreq or ip_mreqn",
        on=DATAGRAM,
        form=_STRUCT,
        size=4,
    ),
    _row(IP, 33, "IP_MULTICAST_TTL", LINUX, on=DATAGRAM, default=1, within=(-1, 255)),
    _row(IP, 34, "IP_MULTICAST_LOOP", LINUX, on=DATAGRAM, form=_SWITCH, default=1),
    _row(
        IP,
        35,
        "IP_ADD_MEMBERSHIP",
        LINUX,
        "ip_mreq or ip_mreqn; reported to routers (IGMPv2)",
        on=DATAGRAM,
        form=_STRUCT,
        size=8,
        access="w",
    ),
    _row(IP, 36, "IP_DROP_MEMBERSHIP", LINUX, on=DATAGRAM, form=_STRUCT, size=8, access="w"),
    _row(IP, 37, "IP_UNBLOCK_SOURCE", NO, "groups have all sources (IGMPv2)"),
    _row(IP, 38, "IP_BLOCK_SOURCE", NO, "groups have all sources (IGMPv2)"),
    _row(IP, 39, "IP_ADD_SOURCE_MEMBERSHIP", NO, "groups have all sources (IGMPv2)"),
    _row(IP, 40, "IP_DROP_SOURCE_MEMBERSHIP", NO, "groups have all sources (IGMPv2)"),
    _row(IP, 41, "IP_MSFILTER", NO, "groups have all sources (IGMPv2)"),
    _row(IP, 42, "MCAST_JOIN_GROUP", LINUX, on=DATAGRAM, form=_STRUCT, size=24, access="w"),
    _row(IP, 45, "MCAST_LEAVE_GROUP", LINUX, on=DATAGRAM, form=_STRUCT, size=24, access="w"),
    _row(
        IP,
        49,
        "IP_MULTICAST_ALL",
        LINUX,
        "0: only groups that this socket has joined",
        on=DATAGRAM,
        default=1,
        within=(0, 1),
    ),
    _row(IP, 50, "IP_UNICAST_IF", NO, "see SO_BINDTODEVICE"),
    _row(IP, 51, "IP_LOCAL_PORT_RANGE", NO),
    _row(UDP, 1, "UDP_CORK", LINUX, "also MSG_MORE", on=DATAGRAM, form=_SWITCH),
    _row(UDP, 100, "UDP_ENCAP", NO),
    _row(UDP, 101, "UDP_NO_CHECK6_TX", NO),
    _row(UDP, 102, "UDP_NO_CHECK6_RX", NO),
    _row(
        UDP,
        103,
        "UDP_SEGMENT",
        LINUX,
        "also in sendmsg; up to 128 datagrams",
        on=DATAGRAM,
        within=(0, 0xFFFF),
    ),
    _row(
        UDP,
        104,
        "UDP_GRO",
        OTHER,
        "remembered; datagrams come one by one, which it allows",
        on=DATAGRAM,
        form=_SWITCH,
    ),
    _tcp(1, "TCP_NODELAY", LINUX, "set, it flushes what a cork holds", form=_SWITCH),
    _tcp(2, "TCP_MAXSEG", LINUX, "offered in the SYN, and bounds what is sent"),
    _tcp(3, "TCP_CORK", LINUX, "200 ms at most", form=_SWITCH),
    _tcp(4, "TCP_KEEPIDLE", LINUX),
    _tcp(5, "TCP_KEEPINTVL", LINUX),
    _tcp(6, "TCP_KEEPCNT", LINUX),
    _tcp(7, "TCP_SYNCNT", LINUX, "7 where it is not set, not 6"),
    _tcp(8, "TCP_LINGER2", LINUX),
    _tcp(9, "TCP_DEFER_ACCEPT", LINUX, "counted in SYN-ACKs, whose time-outs grow to 60 s"),
    _tcp(10, "TCP_WINDOW_CLAMP", OTHER, "bounds the receive buffer, what is unread included"),
    _tcp(11, "TCP_INFO", OTHER, "232 bytes; fields without a counterpart are 0", access="r"),
    _tcp(12, "TCP_QUICKACK", LINUX, form=_SWITCH, default=1),
    _tcp(
        13,
        "TCP_CONGESTION",
        LINUX,
        "the names of `pystack plugins`; reno is newreno",
        form=_NAME,
        size=1,
    ),
    _tcp(14, "TCP_MD5SIG", NO),
    _tcp(16, "TCP_THIN_LINEAR_TIMEOUTS", NO),
    _tcp(17, "TCP_THIN_DUPACK", LINUX, "without any effect, as there since 4.16"),
    _tcp(18, "TCP_USER_TIMEOUT", LINUX),
    _tcp(19, "TCP_REPAIR", NO),
    _tcp(20, "TCP_REPAIR_QUEUE", NO),
    _tcp(21, "TCP_QUEUE_SEQ", NO),
    _tcp(22, "TCP_REPAIR_OPTIONS", NO),
    _tcp(23, "TCP_FASTOPEN", OTHER, "enough by itself; on a host with `fast_open` 0 is off"),
    _tcp(24, "TCP_TIMESTAMP", NO),
    _tcp(25, "TCP_NOTSENT_LOWAT", LINUX),
    _tcp(26, "TCP_CC_INFO", NO),
    _tcp(27, "TCP_SAVE_SYN", NO),
    _tcp(28, "TCP_SAVED_SYN", NO),
    _tcp(29, "TCP_REPAIR_WINDOW", NO),
    _tcp(30, "TCP_FASTOPEN_CONNECT", LINUX, "enough by itself"),
    _tcp(31, "TCP_ULP", NO, "TLS is the program's: `trio.SSLStream`"),
    _tcp(32, "TCP_MD5SIG_EXT", NO),
    _tcp(33, "TCP_FASTOPEN_KEY", NO),
    _tcp(34, "TCP_FASTOPEN_NO_COOKIE", LINUX),
    _tcp(35, "TCP_ZEROCOPY_RECEIVE", NO),
    _tcp(36, "TCP_INQ", NO),
    _tcp(37, "TCP_TX_DELAY", NO, "the link's `delay`"),
    _tcp(38, "TCP_AO_ADD_KEY", NO),
    _tcp(39, "TCP_AO_DEL_KEY", NO),
    _tcp(40, "TCP_AO_INFO", NO),
    _tcp(41, "TCP_AO_GET_KEYS", NO),
    _tcp(42, "TCP_AO_REPAIR", NO),
    _tcp(43, "TCP_IS_MPTCP", LINUX, "always 0", access="r"),
    _tcp(44, "TCP_RTO_MAX_MS", OTHER, "60 s where it is not set, not 120; to the millisecond"),
    _tcp(45, "TCP_RTO_MIN_US", NO),
    _tcp(46, "TCP_DELACK_MAX_US", NO),
)

_BY_KEY: Final = {(kind, *row.key): row for row in OPTIONS for kind in row.kinds}


def linux_numbers(platform: object) -> dict[tuple[int, int], int]:
    """Return Linux's number of each option for which `platform` (a `socket`) has another one."""
    return {
        (row.level, own): row.number
        for row in OPTIONS
        if (own := getattr(platform, row.name, row.number)) != row.number
    }


_FROM_PLATFORM: Final = linux_numbers(socket)


def linux_number(level: int, number: int) -> int:
    """Return the number that the table has for an option that a program names by its platform's."""
    return _FROM_PLATFORM.get((level, number), number)


def find_option(kind: int, level: int, number: int) -> Option | None:
    """Return the row of an option for sockets of a kind; None: it is unknown, or refused."""
    row = _BY_KEY.get((kind, level, number))
    return None if row is None or row.how is How.REFUSED else row


def name_of(kind: int, level: int, number: int) -> str:
    """Return what an option is called, for an error; also of one that is refused, or unknown."""
    row = _BY_KEY.get((kind, level, number))
    return f"level {level}, option {number}" if row is None else row.name
