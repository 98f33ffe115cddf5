"""Lookout: what those who watch links want to know of the hosts at their ends.

Why a host dropped a frame as it arrived, which no link can know; and the frames of interfaces that
have no link: of a TAP device, an attached port, the loopback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from pystack.observe.observer import Dropped, Event, FrameSeen
from pystack.observe.passage import ARRIVED, SEEN, Passage, PassageWatcher

LOOPBACK: Final = "lo"  # the interface of which each frame is seen twice at one place


class Lookout:
    """An observer of hosts, and the first of the watchers of their links."""

    def __init__(
        self,
        watchers: Callable[[str], Iterable[PassageWatcher]],
        has_link: Callable[[str, str], bool] = lambda host, interface: False,
    ) -> None:
        """`watchers`: of a host, by its name; `has_link`: whether an interface has a link."""
        self._watchers = watchers
        self._has_link = has_link
        self._arrived: Passage | None = None  # the last; None: it was refused
        self._is_inside = False  # the host has it, and no door before it holds it back

    def on_event(self, event: Event) -> None:
        """Take note of a drop, and of a frame."""
        if isinstance(event, Dropped):
            passage = self._arrived
            if passage is not None and self._refuses(event, passage):
                passage.refused = event.reason
                self._arrived = None
        elif isinstance(event, FrameSeen):
            if not self._has_link(event.host, event.interface):
                self._pass(event)
            if not event.sent:
                self._is_inside = True

    def on_passage(self, passage: Passage) -> None:
        """Take note of one that arrives, before its receiver gets it."""
        if passage.end == ARRIVED:
            self._arrived, self._is_inside = passage, False

    def _refuses(self, drop: Dropped, passage: Passage) -> bool:
        """Tell whether what was dropped is what has arrived."""
        if drop.host != passage.receiver or drop.at != passage.ended_at:
            return False
        frame = passage.frame if passage.arrived is None else passage.arrived
        return drop.data in frame.data if drop.data else self._is_inside

    def _pass(self, event: FrameSeen) -> None:
        """Make a passage of what an interface without a link saw."""
        sender, receiver = (event.host, "") if event.sent else ("", event.host)
        if event.interface == LOOPBACK:
            if not event.sent:
                return  # it is the one that was sent
            receiver = sender
        place = f"{event.host}/{event.interface}"
        passage = Passage(place, sender, receiver, event.frame, event.at)
        passage.end, passage.ended_at = SEEN, event.at
        if not event.sent:
            self._arrived, self._is_inside = passage, True
        for watcher in self._watchers(event.host):
            watcher.on_passage(passage)
