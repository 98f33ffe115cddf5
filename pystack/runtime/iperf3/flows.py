"""The streams of a test: how one end fills or drains each, and what it counts on the way."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import trio

from pystack.runtime.iperf3.datagrams import Arrivals, Header
from pystack.runtime.iperf3.parameters import Parameters
from pystack.runtime.iperf3.results import NO_RETRANSMITS, StreamResult
from pystack.runtime.streams import TcpStream

# A sender of datagrams that is to be as fast as it goes: nothing ever holds it back, so that it has
# to let time pass by itself. At most 128,000 datagrams a second.
_BURST_DATAGRAMS: Final = 64
_BURST_PAUSE_S: Final = 0.0005
_LOOK_S: Final = 0.001
_RECEIVE_BYTES: Final = 1024 * 1024
_PATTERN: Final = bytes(range(256))


class Quota:
    """How much all streams of one end have still to send, or to get."""

    __slots__ = ("_block", "_blocks", "_to_come", "received")

    def __init__(self, parameters: Parameters) -> None:
        size_bytes = parameters.block_bytes
        self._blocks: float = parameters.total_blocks or math.inf
        if parameters.total_bytes:  # in whole blocks too, so that the last may be more than asked
            self._blocks = min(self._blocks, -(-parameters.total_bytes // size_bytes))
        self._to_come = self._blocks * size_bytes
        self.received = trio.Event()  # all that was to come has come
        self._block = block_of(size_bytes)  # one for all streams: there may be 128 of 1 MiB

    @property
    def block(self) -> memoryview:
        """Return the bytes that are sent again and again."""
        return memoryview(self._block)

    def take(self) -> bool:
        """Take one block to be sent; False: it is all gone."""
        if self._blocks <= 0:
            return False
        self._blocks -= 1
        return True

    def came(self, size_bytes: int) -> None:
        """Note what was received."""
        self._to_come -= size_bytes
        if self._to_come <= 0:
            self.received.set()


class Pacer:
    """When the next block is due."""

    __slots__ = ("_due_at", "_seconds_per_block")

    def __init__(self, parameters: Parameters) -> None:
        rate = parameters.bitrate_bps
        self._seconds_per_block = parameters.block_bytes * 8 / rate if rate else 0.0
        self._due_at = trio.current_time()

    @property
    def is_free(self) -> bool:
        """Tell whether there is no rate to be kept."""
        return not self._seconds_per_block

    async def wait(self, most: int = 1) -> int:
        """Wait until the next block is due; return how many are, at most so many.

        Lateness is made up for, but not that of a second.
        """
        await trio.sleep_until(self._due_at)  # a checkpoint, if nothing else
        now = trio.current_time()
        due_at = max(self._due_at, now - 1.0)
        count = min(1 + int((now - due_at) / self._seconds_per_block), most)
        self._due_at = due_at + count * self._seconds_per_block
        return count


class Flow(Protocol):
    """One stream, as one end sees it."""

    number: int
    sends: bool  # this end fills it
    local: tuple[str, int]
    remote: tuple[str, int]

    async def run(self, quota: Quota) -> None:
        """Send until the quota is used up, or receive until the end of data."""
        ...

    def count(self) -> StreamResult:
        """Return what has gone by so far; its times are the caller's to say."""
        ...

    def cwnd_bytes(self) -> int | None:
        """Return the congestion window; None: there is none, or it is the other end's."""
        ...

    def close(self) -> None:
        """Let it go, without waiting for anything; what was counted stays known."""
        ...


class TcpFlow:
    """A stream over TCP."""

    __slots__ = (
        "_before",
        "_parameters",
        "_received",
        "local",
        "number",
        "remote",
        "sends",
        "stream",
    )

    def __init__(
        self, stream: TcpStream, number: int, parameters: Parameters, *, sends: bool
    ) -> None:
        self.stream = stream
        self.number = number
        self.sends = sends
        self.local, self.remote = stream.local_address, stream.remote_address
        self._parameters = parameters
        self._received = 0
        self._before = stream.written_bytes  # the cookie is not part of the test

    async def run(self, quota: Quota) -> None:
        """Send until the quota is used up, or receive until the end of data."""
        if self.sends:
            await self._send(quota)
            return
        while data := await self.stream.receive_some(_RECEIVE_BYTES):
            self._received += len(data)
            quota.came(len(data))

    async def _send(self, quota: Quota) -> None:
        pacer = Pacer(self._parameters)
        block = quota.block
        while quota.take():
            if not pacer.is_free:
                await pacer.wait()
            await self.stream.send_all(block)
        # An amount is only moved when it has arrived. iperf3 itself ends when it is queued.
        while True:
            await trio.sleep(_LOOK_S)
            if not self.stream.unacknowledged_bytes:
                return

    def count(self) -> StreamResult:
        """Return the bytes that were written, or received, and what was sent again."""
        if not self.sends:
            return StreamResult(number=self.number, total_bytes=self._received)
        return StreamResult(
            number=self.number,
            total_bytes=self.stream.written_bytes - self._before,
            retransmits=self.stream.info().retransmits,
        )

    def cwnd_bytes(self) -> int | None:
        """Return the congestion window of what this end sends."""
        return self.stream.info().cwnd_bytes if self.sends else None

    def close(self) -> None:
        """Close. What is queued still goes: iperf3's client may wait for the rest of a block."""
        self.stream.close()


class UdpFlow:
    """A stream of datagrams between two ports."""

    __slots__ = (
        "_arrivals",
        "_close",
        "_header",
        "_parameters",
        "_receive",
        "_received",
        "_send_many",
        "_sent",
        "local",
        "number",
        "remote",
        "sends",
    )

    def __init__(
        self,
        send: Callable[[Sequence[bytes]], None],
        receive: Callable[[], Awaitable[bytes]] | None,  # None: `datagram` is told
        close: Callable[[], None],
        number: int,
        parameters: Parameters,
        *,
        sends: bool,
        local: tuple[str, int],
        remote: tuple[str, int],
    ) -> None:
        self.number = number
        self.sends = sends
        self.local, self.remote = local, remote
        self._send_many = send
        self._receive = receive
        self._close = close
        self._parameters = parameters
        self._header = Header(counters_64bit=parameters.counters_64bit)
        self._arrivals = Arrivals()
        self._received = 0
        self._sent = 0

    async def run(self, quota: Quota) -> None:
        """Send until the quota is used up, or receive for ever."""
        if self.sends:
            await self._send(quota)
        elif self._receive is None:
            await trio.sleep_forever()
        else:
            while True:
                payload = await self._receive()
                self.datagram(payload, trio.current_time())
                quota.came(len(payload))

    def datagram(self, payload: bytes, now: float) -> None:
        """Count one that has come; what has no header is none of the test's."""
        if self.sends:
            return
        found = self._header.parse(payload)
        if found is not None:
            self._received += len(payload)
            self._arrivals.arrived(*found, now)

    async def _send(self, quota: Quota) -> None:
        pacer = Pacer(self._parameters)
        rest = bytes(quota.block[len(self._header.pack(0, 0.0)) :])
        more = True
        while more:
            if pacer.is_free:
                if self._sent:
                    await trio.sleep(_BURST_PAUSE_S)
                count = _BURST_DATAGRAMS
            else:
                count = await pacer.wait(_BURST_DATAGRAMS)
            now = trio.current_time()
            burst: list[bytes] = []
            while len(burst) < count and (more := quota.take()):
                self._sent += 1
                burst.append(self._header.pack(self._sent, now) + rest)
            if burst:
                self._send_many(burst)

    def count(self) -> StreamResult:
        """Return the bytes and datagrams, sent or received."""
        if self.sends:
            total_bytes = self._sent * self._parameters.block_bytes
            return StreamResult(number=self.number, total_bytes=total_bytes, packets=self._sent)
        arrivals = self._arrivals
        return StreamResult(
            number=self.number,
            total_bytes=self._received,
            jitter_s=arrivals.jitter_s,
            lost_packets=arrivals.lost,
            packets=arrivals.packets,
        )

    def cwnd_bytes(self) -> int | None:
        """UDP has none."""
        return None

    def close(self) -> None:
        """Close what belongs to this stream alone."""
        self._close()


def difference(
    later: StreamResult, earlier: StreamResult, start_s: float, end_s: float
) -> StreamResult:
    """Return what has gone by between two counts of one stream."""
    known = later.retransmits != NO_RETRANSMITS
    return StreamResult(
        number=later.number,
        total_bytes=later.total_bytes - earlier.total_bytes,
        retransmits=later.retransmits - max(earlier.retransmits, 0) if known else NO_RETRANSMITS,
        jitter_s=later.jitter_s,
        lost_packets=later.lost_packets - earlier.lost_packets,
        packets=later.packets - earlier.packets,
        start_s=start_s,
        end_s=end_s,
    )


def block_of(size_bytes: int) -> bytes:
    """Return the bytes that are sent again and again."""
    return (_PATTERN * (size_bytes // len(_PATTERN) + 1))[:size_bytes]
