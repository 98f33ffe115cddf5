"""The options of socket(7), ip(7), ipv6(7), udp(7), tcp(7): one table, which docs/sockets.md shows.

Each line has its number (Linux's, as not every platform names all of them), its name, what becomes
of it here, how its value looks, and after the colon what is to be said of it; lines that begin with
blanks go on with the one before. What is not in it, or refused in it, is ENOPROTOOPT: an option is
never swallowed.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

SOCKET: Final = int(socket.SOL_SOCKET)
IP: Final = int(socket.IPPROTO_IP)
IPV6: Final = int(socket.IPPROTO_IPV6)
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


_TABLE: Final = """\
SOL_SOCKET
1 SO_DEBUG linux switch: remembered
2 SO_REUSEADDR linux switch: without it a port is EADDRINUSE while connections of it live or are in
    TIME-WAIT
3 SO_TYPE linux read-only
4 SO_ERROR linux read-only
5 SO_DONTROUTE linux switch: also MSG_DONTROUTE
6 SO_BROADCAST linux switch: EACCES without it
7 SO_SNDBUF linux: doubled when read, 4,608 at least; a stream holds as many bytes as were asked
    for, a datagram socket never waits
8 SO_RCVBUF linux: doubled when read, 2,304 at least; the window of a stream is what was asked for,
    and it grows no more; accepted sockets have the listener's
9 SO_KEEPALIVE linux switch
10 SO_OOBINLINE linux switch
11 SO_NO_CHECK linux datagrams switch: no checksum is sent
12 SO_PRIORITY otherwise: remembered, and set by IP_TOS as on Linux; no queue of a host looks at it
13 SO_LINGER linux struct size=8: 0 s: closing resets; more: as sockets that do not block, close
    returns at once
14 SO_BSDCOMPAT linux: does nothing
15 SO_REUSEPORT linux switch: connections and datagrams are shared out by a hash of both ends
16 SO_PASSCRED refused: is about processes of one machine
17 SO_PEERCRED refused: is about processes of one machine
18 SO_RCVLOWAT linux default=1: who waits is woken by so many bytes; what is there is returned
19 SO_SNDLOWAT linux read-only default=1: always 1
20 SO_RCVTIMEO linux struct size=16: kept by calls of `socket.socket` that block
21 SO_SNDTIMEO linux struct size=16: the same
25 SO_BINDTODEVICE linux name size=0: `lo`, `eth0` ... of the host; ENODEV for others
62 SO_BINDTOIFINDEX refused: see SO_BINDTODEVICE
26 SO_ATTACH_FILTER refused: there are no packet filters
27 SO_DETACH_FILTER refused: there are no packet filters
28 SO_PEERNAME linux struct read-only size=16
29 SO_TIMESTAMP linux datagrams switch: also SO_TIMESTAMP_NEW; the time that the host's clock shows
63 SO_TIMESTAMP_NEW linux datagrams switch
30 SO_ACCEPTCONN linux read-only
31 SO_PEERSEC refused: is about processes of one machine
32 SO_SNDBUFFORCE linux write-only
33 SO_RCVBUFFORCE linux write-only
34 SO_PASSSEC refused: is about processes of one machine
35 SO_TIMESTAMPNS linux datagrams switch: also SO_TIMESTAMPNS_NEW
64 SO_TIMESTAMPNS_NEW linux datagrams switch
36 SO_MARK otherwise: remembered; no route depends on it
37 SO_TIMESTAMPING otherwise streams: when text was handed down, left, and was acknowledged; the
    packet is not handed back, EINVAL for all that takes a card, and for stamps of what is received
65 SO_TIMESTAMPING_NEW otherwise streams: as SO_TIMESTAMPING
37 SO_TIMESTAMPING refused datagrams: there is no card whose queues it could be about
65 SO_TIMESTAMPING_NEW refused datagrams: there is no card whose queues it could be about
38 SO_PROTOCOL linux read-only
39 SO_DOMAIN linux read-only
40 SO_RXQ_OVFL linux datagrams switch: how many datagrams there was no room for, with the next
41 SO_WIFI_STATUS refused: there is no card whose queues it could be about
42 SO_PEEK_OFF refused: MSG_PEEK begins at the first byte
43 SO_NOFCS refused: there is no card whose queues it could be about
44 SO_LOCK_FILTER refused: there are no packet filters
45 SO_SELECT_ERR_QUEUE refused: there is no POLLPRI
46 SO_BUSY_POLL refused: there is no card whose queues it could be about
47 SO_MAX_PACING_RATE refused: see `TcpConfig.pacing`
49 SO_INCOMING_CPU refused: there is no card whose queues it could be about
50 SO_ATTACH_BPF refused: there are no packet filters
51 SO_ATTACH_REUSEPORT_CBPF refused: there are no packet filters
52 SO_ATTACH_REUSEPORT_EBPF refused: there are no packet filters
55 SO_MEMINFO refused
56 SO_INCOMING_NAPI_ID refused: there is no card whose queues it could be about
57 SO_COOKIE refused
60 SO_ZEROCOPY linux streams within=0..1: MSG_ZEROCOPY copies, and its notification says so
60 SO_ZEROCOPY refused datagrams: what is sent is copied once
61 SO_TXTIME refused: there is no queue that would keep it
IPPROTO_IP
1 IP_TOS linux: a stream leaves the two bits of ECN alone
2 IP_TTL linux default=64: 1 to 255, -1: the usual one
3 IP_HDRINCL refused: for raw sockets
4 IP_OPTIONS otherwise streams struct size=0: source routes only, and before connecting
4 IP_OPTIONS refused datagrams
5 IP_ROUTER_ALERT refused: for raw sockets
6 IP_RECVOPTS linux datagrams switch
7 IP_RETOPTS refused
8 IP_PKTINFO linux datagrams switch: also in sendmsg, where it chooses source and device
9 IP_PKTOPTIONS refused
10 IP_MTU_DISCOVER otherwise datagrams within=0..5: 0 unless set (Linux: 1), so that routers cut
    what is too large
10 IP_MTU_DISCOVER otherwise streams default=1 within=1..2: 1 and 2, which are the same, for TCP
    looks for the path's MTU always
11 IP_RECVERR linux switch: datagrams: with a queue of errors (MSG_ERRQUEUE), 64 long; streams: soft
    errors at once
12 IP_RECVTTL linux datagrams switch: and IP_TTL in sendmsg
13 IP_RECVTOS linux datagrams switch: and IP_TOS in sendmsg
14 IP_MTU linux read-only
15 IP_FREEBIND linux switch: bind to an address that is not here
16 IP_IPSEC_POLICY refused
17 IP_XFRM_POLICY refused
18 IP_PASSSEC refused
19 IP_TRANSPARENT refused
20 IP_RECVORIGDSTADDR linux datagrams switch
21 IP_MINTTL refused
22 IP_NODEFRAG refused: for raw sockets
23 IP_CHECKSUM refused
24 IP_BIND_ADDRESS_NO_PORT linux streams switch
25 IP_RECVFRAGSIZE refused
26 IP_RECVERR_RFC4884 refused
32 IP_MULTICAST_IF linux datagrams struct: an address, ip_mreq or ip_mreqn
33 IP_MULTICAST_TTL linux datagrams default=1 within=-1..255
34 IP_MULTICAST_LOOP linux datagrams switch default=1
35 IP_ADD_MEMBERSHIP linux datagrams struct write-only size=8: ip_mreq or ip_mreqn; reported to
    routers (IGMPv2)
36 IP_DROP_MEMBERSHIP linux datagrams struct write-only size=8
37 IP_UNBLOCK_SOURCE refused: groups have all sources (IGMPv2)
38 IP_BLOCK_SOURCE refused: groups have all sources (IGMPv2)
39 IP_ADD_SOURCE_MEMBERSHIP refused: groups have all sources (IGMPv2)
40 IP_DROP_SOURCE_MEMBERSHIP refused: groups have all sources (IGMPv2)
41 IP_MSFILTER refused: groups have all sources (IGMPv2)
42 MCAST_JOIN_GROUP linux datagrams struct write-only size=24
45 MCAST_LEAVE_GROUP linux datagrams struct write-only size=24
49 IP_MULTICAST_ALL linux datagrams default=1 within=0..1: 0: only groups that this socket has
    joined
50 IP_UNICAST_IF refused: see SO_BINDTODEVICE
51 IP_LOCAL_PORT_RANGE refused
IPPROTO_IPV6
1 IPV6_ADDRFORM refused: a socket stays of its family
2 IPV6_2292PKTINFO refused: of RFC 2292; see IPV6_PKTINFO
3 IPV6_2292HOPOPTS refused: of RFC 2292
4 IPV6_2292DSTOPTS refused: of RFC 2292
5 IPV6_2292RTHDR refused: of RFC 2292
6 IPV6_2292PKTOPTIONS refused: of RFC 2292
7 IPV6_CHECKSUM refused: for raw sockets
8 IPV6_2292HOPLIMIT refused: of RFC 2292; see IPV6_HOPLIMIT
9 IPV6_NEXTHOP refused
11 IPV6_FLOWINFO refused: flow labels are made by a hash of both ends (RFC 6437)
16 IPV6_UNICAST_HOPS linux default=-1 within=-1..255: -1: the usual one
17 IPV6_MULTICAST_IF linux datagrams: the number of an interface, 0: as the routes say
18 IPV6_MULTICAST_HOPS linux datagrams default=1 within=-1..255
19 IPV6_MULTICAST_LOOP linux datagrams default=1 within=0..1
20 IPV6_JOIN_GROUP linux datagrams struct write-only size=20: ipv6_mreq; reported to routers (MLDv2)
21 IPV6_LEAVE_GROUP linux datagrams struct write-only size=20
22 IPV6_ROUTER_ALERT refused: for raw sockets
23 IPV6_MTU_DISCOVER linux datagrams default=1 within=0..5: what is too large for the path is cut
    here, with 2 and more it is EMSGSIZE; no router cuts
23 IPV6_MTU_DISCOVER otherwise streams default=1 within=0..5: remembered, for TCP looks for the
    path's MTU always
24 IPV6_MTU otherwise read-only: of the path
25 IPV6_RECVERR linux switch: as IP_RECVERR
26 IPV6_V6ONLY linux switch: off unless set, so that `::` and ::ffff:0:0/96 are IPv4's too; before
    binding
27 IPV6_JOIN_ANYCAST refused
28 IPV6_LEAVE_ANYCAST refused
29 IPV6_MULTICAST_ALL linux datagrams switch default=1: 0: only groups that this socket has joined
30 IPV6_ROUTER_ALERT_ISOLATE refused: for raw sockets
31 IPV6_RECVERR_RFC4884 refused
32 IPV6_FLOWLABEL_MGR refused: see IPV6_FLOWINFO
33 IPV6_FLOWINFO_SEND refused: see IPV6_FLOWINFO
34 IPV6_IPSEC_POLICY refused
35 IPV6_XFRM_POLICY refused
36 IPV6_HDRINCL refused: for raw sockets
42 MCAST_JOIN_GROUP linux datagrams struct write-only size=136
43 MCAST_BLOCK_SOURCE refused: groups have all sources
44 MCAST_UNBLOCK_SOURCE refused: groups have all sources
45 MCAST_LEAVE_GROUP linux datagrams struct write-only size=136
46 MCAST_JOIN_SOURCE_GROUP refused: groups have all sources
47 MCAST_LEAVE_SOURCE_GROUP refused: groups have all sources
48 MCAST_MSFILTER refused: groups have all sources
49 IPV6_RECVPKTINFO linux datagrams switch: and IPV6_PKTINFO in sendmsg
50 IPV6_PKTINFO linux datagrams struct write-only size=20: source and interface of all that is sent;
    in sendmsg of one datagram
51 IPV6_RECVHOPLIMIT linux datagrams switch: and IPV6_HOPLIMIT in sendmsg
52 IPV6_HOPLIMIT refused: is a control message
53 IPV6_RECVHOPOPTS refused: no extension header is handed to programs
54 IPV6_HOPOPTS refused: no extension header is sent
55 IPV6_RTHDRDSTOPTS refused: no extension header is sent
56 IPV6_RECVRTHDR refused: no extension header is handed to programs
57 IPV6_RTHDR refused: no extension header is sent
58 IPV6_RECVDSTOPTS refused: no extension header is handed to programs
59 IPV6_DSTOPTS refused: no extension header is sent
60 IPV6_RECVPATHMTU refused: see IPV6_RECVERR
61 IPV6_PATHMTU refused: see IPV6_MTU
62 IPV6_DONTFRAG linux switch: datagrams; EMSGSIZE for what does not go in one packet
66 IPV6_RECVTCLASS linux datagrams switch: and IPV6_TCLASS in sendmsg
67 IPV6_TCLASS linux within=-1..255: a stream leaves the two bits of ECN alone
70 IPV6_AUTOFLOWLABEL refused: see IPV6_FLOWINFO
72 IPV6_ADDR_PREFERENCES refused: sources are chosen by RFC 6724
73 IPV6_MINHOPCOUNT refused
74 IPV6_RECVORIGDSTADDR linux datagrams switch
75 IPV6_TRANSPARENT refused
76 IPV6_UNICAST_IF refused: see SO_BINDTODEVICE
77 IPV6_RECVFRAGSIZE refused
78 IPV6_FREEBIND linux switch: as IP_FREEBIND
IPPROTO_UDP
1 UDP_CORK linux datagrams switch: also MSG_MORE
100 UDP_ENCAP refused
101 UDP_NO_CHECK6_TX refused
102 UDP_NO_CHECK6_RX refused
103 UDP_SEGMENT linux datagrams within=0..65535: also in sendmsg; up to 128 datagrams
104 UDP_GRO otherwise datagrams switch: remembered; datagrams come one by one, which it allows
IPPROTO_TCP
1 TCP_NODELAY linux switch: set, it flushes what a cork holds
2 TCP_MAXSEG linux: offered in the SYN, and bounds what is sent
3 TCP_CORK linux switch: 200 ms at most
4 TCP_KEEPIDLE linux
5 TCP_KEEPINTVL linux
6 TCP_KEEPCNT linux
7 TCP_SYNCNT linux: 7 where it is not set, not 6
8 TCP_LINGER2 linux
9 TCP_DEFER_ACCEPT linux: counted in SYN-ACKs, whose time-outs grow to 60 s
10 TCP_WINDOW_CLAMP otherwise: bounds the receive buffer, what is unread included
11 TCP_INFO otherwise read-only: 232 bytes; fields without a counterpart are 0
12 TCP_QUICKACK linux switch default=1
13 TCP_CONGESTION linux name size=1: the names of `pystack plugins`; reno is newreno
14 TCP_MD5SIG refused
16 TCP_THIN_LINEAR_TIMEOUTS refused
17 TCP_THIN_DUPACK linux: without any effect, as there since 4.16
18 TCP_USER_TIMEOUT linux
19 TCP_REPAIR refused
20 TCP_REPAIR_QUEUE refused
21 TCP_QUEUE_SEQ refused
22 TCP_REPAIR_OPTIONS refused
23 TCP_FASTOPEN otherwise: enough by itself; on a host with `fast_open` 0 is off
24 TCP_TIMESTAMP refused
25 TCP_NOTSENT_LOWAT linux
26 TCP_CC_INFO refused
27 TCP_SAVE_SYN refused
28 TCP_SAVED_SYN refused
29 TCP_REPAIR_WINDOW refused
30 TCP_FASTOPEN_CONNECT linux: enough by itself
31 TCP_ULP refused: TLS is the program's: `trio.SSLStream`
32 TCP_MD5SIG_EXT refused
33 TCP_FASTOPEN_KEY refused
34 TCP_FASTOPEN_NO_COOKIE linux
35 TCP_ZEROCOPY_RECEIVE refused
36 TCP_INQ refused
37 TCP_TX_DELAY refused: the link's `delay`
38 TCP_AO_ADD_KEY refused
39 TCP_AO_DEL_KEY refused
40 TCP_AO_INFO refused
41 TCP_AO_GET_KEYS refused
42 TCP_AO_REPAIR refused
43 TCP_IS_MPTCP linux read-only: always 0
44 TCP_RTO_MAX_MS otherwise: 60 s where it is not set, not 120; to the millisecond
45 TCP_RTO_MIN_US refused
46 TCP_DELACK_MAX_US refused
"""
_LEVELS: Final = {
    "SOL_SOCKET": SOCKET,
    "IPPROTO_IP": IP,
    "IPPROTO_IPV6": IPV6,
    "IPPROTO_TCP": TCP,
    "IPPROTO_UDP": UDP,
}
_HOW: Final = {"linux": How.AS_LINUX, "otherwise": How.OTHERWISE, "refused": How.REFUSED}
_KINDS: Final = {"streams": STREAM, "datagrams": DATAGRAM}
_ACCESS: Final = {"read-only": "r", "write-only": "w"}
_FORMS: Final = {form.value: form for form in Form}


def _row(level: int, line: str) -> Option:
    head, _, note = line.partition(": ")
    number, name, how, *words = head.split()
    found = {key: value for key, _, value in (word.partition("=") for word in words)}
    least, _, most = found.get("within", "").partition("..")
    usual_kinds = STREAM if level == TCP else BOTH
    return Option(
        level=level,
        number=int(number),
        name=name,
        how=_HOW[how],
        kinds=next((_KINDS[word] for word in words if word in _KINDS), usual_kinds),
        note=note,
        form=next((_FORMS[word] for word in words if word in _FORMS), Form.NUMBER),
        access=next((_ACCESS[word] for word in words if word in _ACCESS), "rw"),
        size=int(found.get("size", 4)),
        default=int(found.get("default", 0)),
        least=int(least) if least else None,
        most=int(most) if most else None,
    )


def _rows() -> Iterator[Option]:
    level = SOCKET
    for line in _TABLE.replace("\n    ", " ").splitlines():
        if line in _LEVELS:
            level = _LEVELS[line]
        else:
            yield _row(level, line)


OPTIONS: Final = tuple(_rows())
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
