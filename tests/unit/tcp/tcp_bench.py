"""A whole host at 10.0.0.1, and hands that hold the segments of a peer at 10.0.0.2."""

import sys
from collections.abc import Callable
from typing import Final

from stack_bench import HERE, PEER, Bench, frame_of, icmp_frame, ip_packet

from pystack.core.addresses import parse_ip4
from pystack.stack.tcp_socket import TcpSocket
from pystack.stack.tcp_table import TcpTable
from pystack.tcp.listener import Listener
from pystack.wire import icmp, ipv4, tcp
from pystack.wire.frame import Frame
from pystack.wire.tcp_options import TcpOptions, pack

PEER_ISS: Final = 2**32 - 50
ANY: Final = parse_ip4("0.0.0.0")


def calls_of(work: Callable[[], None]) -> int:
    """Return how many Python functions `work` enters: what it costs, on whatever machine."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


class TcpBench(Bench):
    """The bench, with a peer that is known already."""

    def __init__(self, *, mtu_bytes: int = 1500) -> None:
        super().__init__(mtu_bytes=mtu_bytes)
        self.know_peer()

    @property
    def table(self) -> TcpTable:
        """Return the host's TCP layer."""
        return self.host.tcp

    def segment(
        self,
        flags: int,
        *,
        ports: tuple[int, int] = (5000, 80),
        seq: int = PEER_ISS,
        ack: int = 0,
        wnd: int = 65535,
        payload: bytes = b"",
        at: float | None = None,
        mss: int | None = None,
        options: TcpOptions | None = None,
        src: int = PEER,
        dst: int = HERE,
    ) -> None:
        """Let a segment arrive, with all those options or with the MSS alone."""
        offered = options if options is not None or mss is None else TcpOptions(mss=mss)
        self.arrive(
            frame_of(make(flags, ports, seq, ack, wnd, payload, offered, src, dst)),
            at=self.scheduler.now if at is None else at,
        )

    def frame(
        self,
        flags: int,
        *,
        ports: tuple[int, int] = (5000, 80),
        seq: int = PEER_ISS,
        ack: int = 0,
        payload: bytes = b"",
    ) -> bytes:
        """Return the frame of a segment of the peer's."""
        return frame_of(make(flags, ports, seq, ack, 65535, payload, None, PEER))

    def arrive_together(self, *frames: bytes) -> None:
        """Let frames arrive in one batch."""
        for frame in frames:
            self.port.sink(Frame(frame), self.scheduler.now)
        self.scheduler.run_due(self.scheduler.now)

    def sent(self) -> list[tcp.Segment]:
        """Return the TCP segments sent since the last time."""
        found = []
        for frame in self.taken():
            if frame.data[12:14] == b"\x08\x00":
                packet = ipv4.parse(memoryview(frame.data)[14:])
                if packet.proto == ipv4.TCP:
                    found.append(tcp.parse(packet))
        return found

    def half_open_from(self, port: int) -> tcp.Segment:
        """Send a SYN to port 80 that is answered; return the SYN-ACK."""
        self.segment(tcp.SYN, ports=(port, 80), mss=1460)
        (answer,) = self.sent()
        return answer

    def accept_from(self, port: int, listener: Listener[TcpSocket]) -> TcpSocket:
        """Go through a handshake with a listener of port 80."""
        answer = self.half_open_from(port)
        self.segment(tcp.ACK, ports=(port, 80), seq=PEER_ISS + 1, ack=answer.seq + 1)
        assert listener.ready
        return listener.ready[-1]

    def icmp_about(
        self,
        code: int,
        segment: tcp.Segment,
        *,
        rest: int = 0,
        kind: int = 3,
        seq: int | None = None,
    ) -> None:
        """Let an ICMP error arrive that quotes a segment of ours."""
        quoted = (
            segment
            if seq is None
            else tcp.Segment(
                segment.src_port, segment.dst_port, seq, segment.ack, segment.flags, segment.wnd
            )
        )
        header = tcp.pack_header(quoted, HERE, PEER)
        whole_bytes = len(header) + len(segment.payload)
        body = ipv4.pack_header(HERE, PEER, ipv4.TCP, whole_bytes) + header
        self.arrive(icmp_frame(icmp.pack(kind, code, rest, body)))


def make(
    flags: int,
    ports: tuple[int, int],
    seq: int,
    ack: int,
    wnd: int,
    payload: bytes,
    offered: TcpOptions | None,
    src: int,
    dst: int = HERE,
) -> bytes:
    options = b"" if offered is None else pack(offered)
    segment = tcp.Segment(*ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, flags, wnd, options, payload)
    header = tcp.pack_header(segment, src, dst)
    return ip_packet(header + payload, ipv4.TCP, src=src, dst=dst)
