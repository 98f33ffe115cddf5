"""A stream that tells about itself as pystack's own do, for tests of the story."""

import trio

from pystack.runtime.streams import LinkInfo
from pystack.tcp.info import HandshakeSegment, TcpInfo
from pystack.tcp.states import TcpState

ISS = 2**32 - 100
IRS = 3_735_928_559

HANDSHAKE = (
    HandshakeSegment(10.0, False, "SYN", IRS, 0, 64240, "mss 1460, sackOK, nop, wscale 7"),
    HandshakeSegment(10.000132, True, "SYN ACK", ISS, IRS + 1, 65535, "mss 1460, nop, wscale 8"),
    HandshakeSegment(10.000441, False, "ACK", IRS + 1, ISS + 1, 502, ""),
)

INFO = TcpInfo(
    state=TcpState.ESTABLISHED,
    congestion="newreno",
    iss=ISS,
    irs=IRS,
    snd_una=ISS + 1,
    snd_nxt=ISS + 1,
    rcv_nxt=IRS + 79,
    snd_wnd_bytes=64256,
    rcv_wnd_bytes=1_048_576,
    snd_mss_bytes=1460,
    rcv_mss_bytes=1460,
    snd_wind_shift=7,
    rcv_wind_shift=8,
    sack_permitted=False,
    timestamps=False,
    srtt_s=0.000309,
    rttvar_s=0.000155,
    min_rtt_s=0.000309,
    rto_s=0.2,
    cwnd_bytes=14600,
    ssthresh_bytes=2**31 - 1,
    flight_size_bytes=0,
    segments_sent=1,
    segments_received=3,
    bytes_sent=0,
    bytes_acked=0,
    bytes_received=78,
    retransmits=0,
    established_at=10.000441,
)


class TellingStream(trio.abc.HalfCloseableStream):
    """Wraps any stream; what it tells is made up."""

    handshake = HANDSHAKE
    local_address = ("10.77.0.2", 80)
    remote_address = ("10.77.0.1", 43210)
    link = LinkInfo("tap0", "02:00:00:00:00:02", "5e:a1:08:3c:77:10", 1500, None)

    def __init__(self, inner: trio.abc.HalfCloseableStream) -> None:
        self._inner = inner

    def info(self) -> TcpInfo:
        return INFO

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._inner.receive_some(max_bytes)

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def aclose(self) -> None:
        await self._inner.aclose()
