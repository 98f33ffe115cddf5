"""One episode of an environment: a connection in a world of its own, whose window is set.

It knows nothing of its environment, so that this can be collected while the world stands still.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio

from pystack import Network
from pystack.core.errors import ConfigError
from pystack.gym.interval import Interval
from pystack.gym.meter import Meter
from pystack.gym.scene import Scene, SceneMaker
from pystack.gym.world import World

LEAST_SEGMENTS: Final = 2  # of the window
MOST_BYTES: Final = 1 << 28  # of the window; far more than any line here holds
FIRST_SEGMENTS: Final = 10  # of the window
OPENS_WITHIN_S: Final = 120.0  # of virtual time: else the network of one's own is wrong


class Episode:
    """A connection that was opened, and stands still between two steps."""

    def __init__(self, seed: int, *, steered: bool, pace: float | None) -> None:
        """`pace`: send at so many windows in a round trip; None: in bursts, as ACKs come."""
        self._seed, self._steered, self._pace = seed, steered, pace
        self._meter: Meter | None = None  # None: the connection is not open yet
        self._window_bytes = 0.0
        self._make: SceneMaker | None = None  # None: it was called
        self.world = World(self._program, seed)

    def begin(self, make: SceneMaker) -> None:
        """Make the network, and open the connection. Raises ConfigError, and what `make` does."""
        self._make = make
        self.world.run_until(OPENS_WITHIN_S)
        if self._meter is None:
            raise ConfigError(f"the connection did not open within {OPENS_WITHIN_S:.0f} s")

    @property
    def is_over(self) -> bool:
        """Tell whether the connection has ended."""
        return self._meter is None or self._meter.is_over

    def pass_time(self, interval_s: float) -> Interval:
        """Let an interval pass, and return what it was like."""
        self.world.run_until(self.world.now + interval_s)
        assert self._meter is not None
        return self._meter.interval(self.world.now, interval_s)

    def steer(self, factor: float, gain: float) -> None:
        """Set the window to so many times what it was, and pace by it, times `gain`."""
        meter = self._meter
        if not self._steered or meter is None or meter.is_over:
            return
        least_bytes = LEAST_SEGMENTS * meter.segment_bytes
        self._window_bytes = min(max(self._window_bytes * factor, least_bytes), MOST_BYTES)
        rate_bps = None
        if self._pace is not None and meter.srtt_s:
            rate_bps = self._pace * gain * self._window_bytes * 8 / meter.srtt_s
        # Whom the network's own code has closed has no window any more, until it is over.
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            meter.stream.steer(cwnd_bytes=int(self._window_bytes), pacing_bps=rate_bps)

    async def _program(self) -> None:
        async with Network(seed=self._seed) as net, trio.open_nursery() as nursery:
            assert self._make is not None
            scene, self._make = await self._make(net, nursery), None
            if not isinstance(scene, Scene):
                raise ConfigError(f"network gave {scene!r}: it gives a Scene")
            self._meter = Meter(scene)
            self._window_bytes = float(FIRST_SEGMENTS * self._meter.segment_bytes)
            self.steer(1.0, 1.0)
            self.world.stop()
            await trio.sleep_forever()
