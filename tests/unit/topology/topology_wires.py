"""Ports that keep what they are given, and frames to give."""

from pystack.core.addresses import BROADCAST_MAC, Ip4, Mac, parse_ip4
from pystack.link.port import FrameSink
from pystack.wire import arp, ethernet, icmp, ipv4, udp
from pystack.wire.frame import Frame
from pystack.wire.packet import Packet


def mac(number: int) -> Mac:
    """Return the MAC address 02:00:00:00:00:`number`."""
    return Mac(b"\x02" + number.to_bytes(5, "big"))


class Wire:
    """A port whose other end is the test: it keeps what is sent and delivers what it is told to."""

    gso_max_bytes = 0
    uso_max_bytes = 0
    fills_checksums = True

    def __init__(self, mtu_bytes: int = 1500) -> None:
        self.mtu_bytes = mtu_bytes
        self.sent: list[tuple[float, bytes]] = []
        self.sink: FrameSink | None = None

    def attach(self, sink: FrameSink) -> None:
        self.sink = sink

    def send(self, frame: Frame, now: float) -> None:
        self.sent.append((now, frame.data))

    def close(self) -> None:
        self.sink = None

    def arrive(self, frame: Frame | bytes, now: float = 0.0) -> None:
        """Let a frame arrive here."""
        assert self.sink is not None
        self.sink(frame if isinstance(frame, Frame) else Frame(frame), now)

    def take(self) -> list[bytes]:
        """Return what was sent since the last time, without the instants."""
        frames = [data for _, data in self.sent]
        self.sent.clear()
        return frames

    def packets(self) -> list[Packet]:
        """Return the IP packets among what was sent since the last time."""
        return [
            ipv4.parse(memoryview(data)[14:]) for data in self.take() if data[12:14] == b"\x08\x00"
        ]


def frame(src: int, dst: int | None, size: int = 60) -> bytes:
    """Return a frame between two stations; None: to all."""
    to = BROADCAST_MAC if dst is None else mac(dst)
    return ethernet.pack(to, mac(src), 0x88B5, bytes(size - 14))


def arp_request(src: int, spa: str, tpa: str) -> bytes:
    packet = arp.pack(arp.REQUEST, mac(src), parse_ip4(spa), parse_ip4(tpa))
    return ethernet.pack(BROADCAST_MAC, mac(src), ethernet.ARP, packet)


def datagram(
    src: str,
    dst: str,
    *,
    to: Mac,
    payload: bytes = b"hello",
    ttl: int = 64,
    flags_offset: int = 0,
    ident: int = 7,
    options: bytes = b"",
) -> bytes:
    """Return a frame with a UDP datagram from station 1."""
    source, target = parse_ip4(src), parse_ip4(dst)
    body = udp.pack(source, target, 1000, 2000, payload)
    header = ipv4.pack_header(
        source,
        target,
        ipv4.UDP,
        len(body),
        ttl=ttl,
        flags_offset=flags_offset,
        ident=ident,
        options=options,
    )
    return ethernet.pack(to, mac(1), ethernet.IPV4, header + body)


def icmp_of(packet: Packet) -> tuple[int, int, int, Ip4]:
    """Return (type, code, the four bytes after, source) of an ICMP message."""
    message = icmp.parse(packet.payload)
    return message.kind, message.code, message.rest, packet.src
