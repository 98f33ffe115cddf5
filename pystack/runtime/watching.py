"""A connection watched: samples of its window, its round trips and a queue, as they come.

A sample is taken at its instant and handed over at the same instant, when what made it is done: to
a callback, or into a buffer from which an async iterator reads. Watching changes nothing of what
happens in the world.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.errors import ConfigError
from pystack.core.ranges import FROM_ONE
from pystack.core.scheduler import Handle
from pystack.core.units import parse_time_s
from pystack.runtime.driver.driver import Waiter
from pystack.tcp import live
from pystack.tcp.live import TcpSample, What
from pystack.tcp.states import OVER

if TYPE_CHECKING:
    from pystack.link.link import Link
    from pystack.link.pipe import Pipe
    from pystack.runtime.bare_host import BareHost
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.tcp.connection import Connection

DEFAULT_BUFFER: Final = 4096


class Watch:
    """Samples of one connection: `async for sample in watch`, until it ends or `close`.

    Also a context manager, which closes it.
    """

    def __init__(
        self,
        host: BareHost,
        socket: TcpSocket,
        every: str | float | None,
        link: Link | Pipe | None,
        buffer: int,
        on_sample: Callable[[TcpSample], None] | None,
    ) -> None:
        self._host, self._connection = host, socket.connection
        self._every_s = None if every is None else _interval_s(every)
        self._pipe = None if link is None else _direction(host, link)
        FROM_ONE.check("buffer", buffer)
        self._samples: deque[TcpSample] = deque()
        self._buffer = buffer
        self._on_sample = on_sample
        self._waiter = Waiter(host.driver)
        self._ended = False
        self.forget: Callable[[], object] = lambda: None  # called at its end, by whoever keeps it
        self._waking = False  # `_hand_over` is asked for
        self.left_out = 0
        """How many samples there was no room for: the oldest go."""
        self._rate_from: tuple[float, int] | None = None  # None: nothing was seen yet
        self._rate_bps: float | None = None  # None: not for a whole round trip yet
        self._end: Callable[[], None] | None = None  # None: it goes by time
        self._timer: Handle | None = None  # None: it goes by ACKs
        if self._connection.state in OVER:
            self._ended = True
        elif self._every_s is None:
            self._end = live.watch(self._connection, self._told)
        else:
            self._begun_at, self._ticks = host.now(), 0
            self._arm()

    @property
    def ended(self) -> bool:
        """Tell whether no more samples come: the connection is over, or the watch was closed."""
        return self._ended

    def close(self) -> None:
        """Watch no more; what is in the buffer can still be read."""
        if self._ended:
            return
        self._ended = True
        self.forget()
        if self._end is not None:
            self._end()
        if self._timer is not None:
            self._timer.cancel()
        self._soon()

    def __aiter__(self) -> Watch:
        """Return itself."""
        return self

    async def __anext__(self) -> TcpSample:
        """Wait for the next sample. BusyResourceError: another task does."""
        if self._on_sample is not None:
            raise ConfigError(
                "this watch hands its samples to on_sample: there are none to wait for"
            )
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._samples:
            if self._ended:
                raise StopAsyncIteration
            await self._waiter.wait()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return self._samples.popleft()

    def taken(self) -> list[TcpSample]:
        """Return all that is in the buffer, without waiting, and empty it."""
        samples = list(self._samples)
        self._samples.clear()
        return samples

    def __enter__(self) -> Watch:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Watch no more."""
        self.close()

    def _told(self, conn: Connection, now: float, what: What, rtt_s: float | None) -> None:
        rate_bps = None if conn.rates is not None else self._rate(conn, now, conn.rtt.srtt_s or 0.0)
        self._take(live.sample(conn, now, what, rtt_s, rate_bps, *self._queue()))

    def _arm(self) -> None:
        assert self._every_s is not None
        self._ticks += 1
        at = self._begun_at + self._ticks * self._every_s  # so that no error adds up
        self._timer = self._host.driver.scheduler.call_at(at, self._tick, self._upkeep)

    def _upkeep(self) -> str:
        """A program that waits for a sample gets further with it; else nobody does."""
        return "" if self._waiter.busy else "watching a connection"

    def _tick(self, now: float) -> None:
        conn = self._connection
        if conn.state in OVER:
            self.close()
            return
        rate_bps = None if conn.rates is not None else self._rate(conn, now, 0.0)
        self._take(live.sample(conn, now, "interval", None, rate_bps, *self._queue()))
        self._arm()

    def _rate(self, conn: Connection, now: float, over_s: float) -> float | None:
        """Return how fast data was delivered, over `over_s` at least."""
        delivered_bytes = live.delivered_bytes(conn)
        if self._rate_from is None:
            self._rate_from = now, delivered_bytes
            return None
        since, before_bytes = self._rate_from
        if now > since and now - since >= over_s:
            self._rate_bps = (delivered_bytes - before_bytes) * 8 / (now - since)
            self._rate_from = now, delivered_bytes
        return self._rate_bps

    def _queue(self) -> Iterable[int | None]:
        pipe = self._pipe
        return (None, None) if pipe is None else (pipe.waiting_bytes(), pipe.waiting())

    def _take(self, sample: TcpSample) -> None:
        if len(self._samples) >= self._buffer:
            self._samples.popleft()
            self.left_out += 1
        self._samples.append(sample)
        self._soon()

    def _soon(self) -> None:
        if not self._waking:
            self._waking = True
            self._host.driver.scheduler.call_soon(self._hand_over)

    def _hand_over(self, _now: float) -> None:
        self._waking = False
        on_sample = self._on_sample
        if on_sample is None:
            self._waiter.wake()
            return
        was_open = not self._ended
        while self._samples:
            on_sample(self._samples.popleft())
            if was_open and self._ended:  # by `on_sample`, which wants no more
                self._samples.clear()


def _interval_s(every: str | float) -> float:
    interval_s = parse_time_s(every)
    if not interval_s > 0:
        raise ConfigError(f"every is {every!r}: it is a time above 0, or None for every ACK")
    return interval_s


def _direction(host: BareHost, link: Link | Pipe) -> Pipe:
    from pystack.link.link import Link  # a host on a TAP device has no use for it
    from pystack.link.pipe import Pipe

    if isinstance(link, Pipe):
        return link
    if not isinstance(link, Link):
        raise ConfigError(f"{link!r} is no link: give one of net.link, or its link.a_to_b")
    if host.name in link.ends:
        return (link.a_to_b, link.b_to_a)[link.ends.index(host.name)]
    raise ConfigError(
        f"the link {link.name} does not begin at {host.name}: say which direction is meant, "
        "link.a_to_b or link.b_to_a"
    )
