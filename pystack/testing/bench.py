"""Bench: what one test in virtual time stands on. It runs the test, and tells how it went."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.calendar import DEFAULT_EPOCH
from pystack.core.errors import ConfigError
from pystack.core.schedules import Schedule
from pystack.observe.ladder import TROUBLE, Ladder
from pystack.observe.recording import Recording
from pystack.runtime.borrowed.world import Extent
from pystack.runtime.driver.exception_groups import unwrapped
from pystack.runtime.driver.virtual import DeadlockError, VirtualTimeoutError, parse_until, run
from pystack.runtime.network import Network
from pystack.topology.addressing import DEFAULT_IP, IpVersions
from pystack.topology.spec import SubnetWords

if TYPE_CHECKING:
    from pystack.runtime.aio.loop import EventLoop

RUNGS: Final = 40  # of the ladder that a failure shows
RECORDED: Final = 4000  # frames and events, for `net.ladder()`; the oldest go first


class Bench:
    """One test's world. With Hypothesis, one after the other: each example has its own."""

    def __init__(
        self,
        seed: int,
        capture: Path | None,
        *,
        ip: IpVersions = DEFAULT_IP,
        subnet: str | None = None,
        subnet6: str | None = None,
        seal: bool = True,
        schedule: Schedule = "fifo",
        timeout_s: str | float | None = None,
        world: Extent = "hosts",
        epoch: str | float | datetime = DEFAULT_EPOCH,
    ) -> None:
        """`capture`: where to write all frames; None: nowhere.

        `timeout_s`: what the test gets of virtual time. Raises ConfigError.
        """
        if timeout_s is not None:
            parse_until(timeout_s)
        self.seed = seed
        self.capture = capture
        self.failed = False
        self._subnets: SubnetWords = {"ip": ip}
        if subnet is not None:
            self._subnets["subnet"] = subnet
        if subnet6 is not None:
            self._subnets["subnet6"] = subnet6
        self._seal, self._world, self._epoch = seal, world, epoch
        self._schedule: Schedule = schedule
        self._timeout_s = timeout_s
        self._network: Network | None = None  # None: the test takes none
        self._given: Network | None = None  # what the fixture gave: the first one
        self._was_opened = False
        self._recording = Recording()
        self._origin = 0.0
        self._now: Callable[[], float] = float  # the time of the world that it runs in
        self._is_first = True  # run of the test
        self._ended_at: float | None = None  # None: it has not run

    def make_network(self) -> Network:
        """Return the network for the test that is to come, not open yet."""
        self._network = Network(
            seed=self.seed,
            schedule=self._schedule,
            seal=self._seal,
            world=self._world,
            epoch=self._epoch,
            **self._subnets,
        )
        self._was_opened = False
        self._given = self._given or self._network
        return self._network

    def run(
        self,
        async_fn: Callable[[], Awaitable[object]],
        *,
        clock: object = None,
        instruments: Sequence[object] = (),
    ) -> None:
        """Run the test in virtual time, in its network, and raise what it raised.

        Groups of one error are unwrapped. The network is closed, and its tasks are cancelled.
        """
        __tracebackhide__ = True
        if clock is not None:
            raise ConfigError(
                "a test in virtual time has its own clock: leave out the fixture that brings "
                f"another ({type(clock).__name__}, as autojump_clock does)"
            )
        if self._was_opened:
            async_fn = self._renewed(async_fn)
        error: BaseException | None = None
        try:
            run(self._main, async_fn, instruments, seed=self.seed, until=self._timeout_s)
        except BaseException as raised:
            error = unwrapped(raised) if isinstance(raised, BaseExceptionGroup) else raised
        if error is None:
            return
        # Their traceback is that of whatever noticed it, which says nothing.
        is_noticed = isinstance(error, DeadlockError | VirtualTimeoutError)
        raise error.with_traceback(None) if is_noticed else error

    def keep_capture(self) -> None:
        """Put a classic pcap of the same beside the capture, for tools that know no other."""
        from pystack.observe.captures.capture_file import CaptureFile
        from pystack.observe.captures.pcap import PcapWriter
        from pystack.wire.frame import Frame

        if self.capture is None or not self.capture.exists():
            return
        with self.capture.with_suffix(".pcap").open("wb") as file:
            writer = PcapWriter(file)
            for frame in CaptureFile(self.capture):
                writer.write(Frame(frame.data), frame.at_ns / 1e9)

    async def _main(
        self, async_fn: Callable[[], Awaitable[object]], instruments: Sequence[object]
    ) -> None:
        for instrument in instruments:
            trio.lowlevel.add_instrument(instrument)  # type: ignore[arg-type]
        self._recording, self._now = Recording(), trio.current_time
        self._origin = trio.current_time()
        try:
            if self._network is None:
                await async_fn()
                return
            async with self.opened():
                await async_fn()
        finally:
            self.ended()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Network]:
        """Open the network, and write down what is seen of it."""
        assert self._network is not None
        self._was_opened = True
        async with self._network as net:
            net.record(RECORDED)
            if self.capture is not None:
                net.capture(self.capture)
            try:
                yield net
            finally:
                # As it is now: how the network closes is not part of the test.
                self._recording = net.recording()

    def ended(self) -> None:
        """Know that the test has ended now."""
        self._ended_at = self._now() - self._origin

    def begin_in(self, loop: EventLoop) -> None:
        """Begin, where it is asyncio that runs the test."""
        self._recording, self._origin, self._now = Recording(), loop.time(), loop.time

    def ended_in_asyncio(self) -> None:
        """Know that the test has ended now, while its network is still open."""
        self.ended()
        if self._network is not None and self._was_opened:
            self._recording = self._network.recording()

    def renewed_in_asyncio(
        self, test: Callable[..., Awaitable[object]]
    ) -> Callable[..., Awaitable[object]]:
        """Return the test; run anew, as by Hypothesis, it gets an unused network each time."""
        if self._is_first:
            self._is_first = False
            return test

        async def run(*args: object, **words: object) -> None:
            renewed = self._renewed(partial(test, *args, **words))
            async with self.opened():
                await renewed()

        return test if self._network is None else run

    def _renewed(
        self, async_fn: Callable[[], Awaitable[object]]
    ) -> Callable[[], Awaitable[object]]:
        """Return the test with an unused network instead of the old one."""
        old = self._given
        if old is None or not isinstance(async_fn, partial):
            return async_fn
        new = self.make_network()
        args = [new if value is old else value for value in async_fn.args]
        words = {word: new if value is old else value for word, value in async_fn.keywords.items()}
        return partial(async_fn.func, *args, **words)

    def report(self, replay: str) -> list[str]:
        """Return what one wants to know of a failure, as lines. `replay`: the command."""
        lines = [f"seed: {self.seed}", f"again: {replay}"]
        if self.capture is not None and self.capture.exists():
            lines.append(f"pcap: {self.capture}")
        if self._ended_at is not None:
            lines.append(f"ended: at {self._ended_at:.6f} s of virtual time")
        ladder = Ladder.of(
            self._recording, origin=self._origin, last=RUNGS, most=RUNGS, notes=TROUBLE
        )
        if shown := ladder.lines(window=False):
            lines += ["the last that was seen:", "", *shown]
        return lines
