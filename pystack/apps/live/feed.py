"""The feed: what everybody who looks is told, cut into ticks, made once for all of them.

It watches only while somebody looks. A tick is made when the first of the viewers wants it, ten
times a second at most, and less often where there are many. Each is JSON text, the same for all.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import trio

from pystack.apps.live.gate import make_token
from pystack.apps.live.items import ended_json, item_json
from pystack.apps.live.tape import FRAMES_A_CUT, FRAMES_OF_LINKS_A_CUT, Tape
from pystack.apps.live.world import HostWorld, World
from pystack.apps.world import of_this_run
from pystack.runtime.control.control import Control

if TYPE_CHECKING:
    from pystack.runtime.host import Host

TICK_S: Final = 0.1
VIEWERS_A_TICK: Final = 10  # for so many a tick may be made each TICK_S; for more, less often
MOST_TICK_S: Final = 1.0
SLOW_S: Final = 1.0  # how often what changes seldom is told
HISTORY_TICKS: Final = 1800  # three minutes
BACKLOG_TICKS: Final = 300  # of them are told to whoever comes
MOST_HISTORY_BYTES: Final = 12 << 20
DEAR_S: Final = 0.05  # from one ladder to the next: to make one takes 10 ms at most
MOST_VIEWERS: Final = 200
ROWS: Final = 32  # connections in a tick, those that have moved last
SLOWLY: Final = ("neighbors", "routes", "counters")

_feeds: Final[trio.lowlevel.RunVar[WeakKeyDictionary[Host, Feed]]] = trio.lowlevel.RunVar(
    "pystack.apps.live.feeds"
)


def feed_of(host: Host) -> Feed:
    """Return the feed of a host, the one that all its services share."""
    feeds = of_this_run(_feeds, WeakKeyDictionary)
    if host not in feeds:
        feeds[host] = Feed(HostWorld(host))
    return feeds[host]


@dataclass(slots=True)
class Tick:
    """One tick, ready to be sent."""

    number: int
    at: float
    text: str


class Feed:
    """Watches a world for those who look at it."""

    def __init__(self, world: World) -> None:
        self.world = world
        frames = FRAMES_OF_LINKS_A_CUT if world.is_network else FRAMES_A_CUT
        self.tape = Tape(frames_a_cut=frames)
        self.token: str | None = None  # None: nobody may change anything
        self.control = Control(world.of, may_change=False)
        self._viewers = 0
        self._number = 0
        self._tick_at = -1e9
        self._slow_at = -1e9
        self._ticks: deque[Tick] = deque(maxlen=HISTORY_TICKS)
        self._ticks_bytes = 0
        self._remembered: dict[str, object] = {}  # in this tick
        self._remembered_at = 0
        self._free_at = -1e9  # when what takes long may be made again, in Trio's time
        self._one_by_one = trio.Lock()
        self.downloads = 0  # that are under way

    def allow(self, control: Control) -> str:
        """Let whoever knows a new token change what `control` can; return it as a URL's fragment.

        A fragment is not sent to any server, and stands in no log of one.
        """
        self.control, self.token = control, make_token()
        return f"#token={self.token}"

    def remembered(self, key: str, make: Callable[[], object]) -> object:
        """Return what is made at most once a tick, for all who ask for it."""
        if self._remembered_at != self._number:
            self._remembered_at = self._number
            self._remembered.clear()
        if key not in self._remembered:
            self._remembered[key] = make()
        return self._remembered[key]

    async def free(self) -> None:
        """Wait for one's turn to make what takes long, and which is to be made without a wait."""
        async with self._one_by_one:
            await trio.sleep_until(self._free_at)

    def took_long(self) -> None:
        """Have the next that takes long wait, whoever asks for it."""
        self._free_at = trio.current_time() + DEAR_S

    # viewers

    @property
    def is_full(self) -> bool:
        """Tell whether there are as many viewers as there may be."""
        return self._viewers >= MOST_VIEWERS

    @property
    def viewers(self) -> int:
        """Return how many look."""
        return self._viewers

    def enter(self) -> None:
        """Count a viewer in; the first makes it watch."""
        self._viewers += 1
        if self._viewers == 1:
            self.world.watch(self.tape)

    def leave(self) -> None:
        """Count a viewer out; with the last, all is as if there had been none."""
        self._viewers -= 1
        if not self._viewers:
            self.world.unwatch(self.tape)
            self.tape.clear()
            self._ticks.clear()
            self._ticks_bytes = 0

    # ticks

    @property
    def interval_s(self) -> float:
        """Return how far ticks are apart, at least."""
        return min(TICK_S * max(1.0, self._viewers / VIEWERS_A_TICK), MOST_TICK_S)

    def due(self) -> Tick:
        """Return the newest tick; a new one, if it is time."""
        now = trio.current_time()
        if now - self._tick_at >= self.interval_s * 0.95 or not self._ticks:
            self._tick_at = now
            self._make(now)
        return self._ticks[-1]

    @property
    def next_at(self) -> float:
        """Return when the next tick is due, in Trio's time."""
        return self._tick_at + self.interval_s

    def after(self, number: int) -> list[Tick]:
        """Return the ticks after this number, the newest `BACKLOG_TICKS` of them at most."""
        behind = min(self._number - number, len(self._ticks), BACKLOG_TICKS)
        return [self._ticks[at] for at in range(len(self._ticks) - behind, len(self._ticks))]

    def oldest_after(self, number: int) -> Tick | None:
        """Return the first of them; None: there is none."""
        behind = min(self._number - number, len(self._ticks), BACKLOG_TICKS)
        return self._ticks[-behind] if behind else None

    def _make(self, now: float) -> None:
        self._number += 1
        self.world.tell_missed(self.tape)
        cut, at = self.tape.cut(), self.world.now()
        self.world.look_again(self.tape)
        value: dict[str, object] = {
            "tick": self._number,
            "at": at,
            "frames": cut.frames,
            "bytes": cut.frame_bytes,
            "places": cut.places,
            "left_out": cut.left_out,
            "events_left_out": cut.events_left_out,
            "ss": self.control.call("ss", {"order": "active", "limit": ROWS}),
            "items": [item_json(kept) for kept in cut.items],
            "ended": [ended_json(kept) for kept in cut.ended],
            "viewers": self._viewers,
        }
        call = self.control.call
        if links := call("links"):
            value["links"] = links
        if self.control.world.driver.paused:
            value["paused"] = True
        if now - self._slow_at >= SLOW_S * 0.95:
            self._slow_at = now
            value["slow"] = {name: call(name) for name in SLOWLY}
        text = json.dumps(value, separators=(",", ":"))
        self._ticks_bytes += len(text)
        if len(self._ticks) == HISTORY_TICKS:
            self._ticks_bytes -= len(self._ticks[0].text)
        self._ticks.append(Tick(self._number, at, text))
        while self._ticks_bytes > MOST_HISTORY_BYTES and len(self._ticks) > 1:
            self._ticks_bytes -= len(self._ticks.popleft().text)
