"""The neighbours on one link: ARP (RFC 826) with the states of Linux's NUD (after RFC 4861).

An entry is believed for a while (REACHABLE), then used on trial (STALE, DELAY) and asked again
(PROBE). Ageing costs nothing while nobody sends: it is looked at when an entry is used. Packets for
a station that is being looked for wait in a short queue; where nobody answers, `on_failed` gets
them back, so that their senders can be told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Final

from pystack.core.addresses import Ip4, Mac
from pystack.core.counters import Counters
from pystack.core.rng import Random
from pystack.core.scheduler import Handle, Scheduler
from pystack.wire import arp

BASE_REACHABLE_S: Final = 30.0  # RFC 4861 section 10, REACHABLE_TIME; each entry 0.5 to 1.5 of it
DELAY_FIRST_PROBE_S: Final = 5.0  # RFC 4861 section 10
RETRANS_S: Final = 1.0  # RFC 4861 section 10, RETRANS_TIMER; RFC 1122 2.3.2.1: at most one a second
MAX_PROBES: Final = 3  # RFC 4861 section 10, MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT
# Per neighbour, while it is looked for; the oldest goes first. The 119 fragments of the largest
# datagram over an MTU of 576 have room.
QUEUE_PACKETS: Final = 128
TABLE_ENTRIES: Final = 1024  # as Linux's gc_thresh3


class NeighborState(Enum):
    """How well a neighbour is known."""

    INCOMPLETE = "INCOMPLETE"
    REACHABLE = "REACHABLE"
    STALE = "STALE"
    DELAY = "DELAY"
    PROBE = "PROBE"
    FAILED = "FAILED"


# Where the station is believed to be there, with proof or without
_BELIEVED: Final = frozenset({NeighborState.REACHABLE, NeighborState.STALE, NeighborState.DELAY})

# A packet that waits, and how to send it once the station is known.
Held = tuple[bytes, Callable[[Mac, float], None]]


class Neighbor:
    """What is known about one station."""

    __slots__ = ("address", "held", "mac", "probes", "reachable_until", "state", "timer")

    def __init__(self, address: Ip4) -> None:
        self.address = address
        self.state = NeighborState.INCOMPLETE
        self.mac: Mac | None = None  # None: not known (yet)
        self.held: list[Held] = []
        self.probes = 0
        self.reachable_until = -math.inf
        self.timer: Handle | None = None  # None: nothing to wait for in this state


class NeighborTable:
    """The neighbours on one interface's link."""

    __slots__ = (
        "_counters",
        "_entries",
        "_rng",
        "_scheduler",
        "on_changed",
        "on_failed",
        "solicit",
    )

    def __init__(self, scheduler: Scheduler, rng: Random, counters: Counters) -> None:
        self._scheduler = scheduler
        self._rng = rng
        self._counters = counters
        self._entries: dict[int, Neighbor] = {}
        # The three ways out, set by the host that owns the table:
        # ask for an address, by broadcast or (with a MAC) the station that had it;
        self.solicit: Callable[[Ip4, Mac | None, float], None] = lambda _address, _mac, _now: None
        # a packet was given up;
        self.on_failed: Callable[[bytes, float], None] = lambda _packet, _now: None
        # an entry changed its state.
        self.on_changed: Callable[[Neighbor, NeighborState, float], None] | None = None

    def lookup(self, address: Ip4, now: float) -> Mac | None:
        """Return where to send a frame for `address`; None where it has to be looked for first."""
        entry = self._entries.get(address)
        if entry is None or entry.mac is None:
            return None
        if now >= entry.reachable_until:
            self._use_old(entry, now)
        return entry.mac

    def peek(self, address: Ip4) -> Mac | None:
        """Return what is known of a station, without using it: its state stays."""
        entry = self._entries.get(address)
        return None if entry is None else entry.mac

    def doubt(self, address: Ip4, now: float) -> None:
        """A transport gets no answer by way of this station: ask whether it is still there.

        The "negative advice" of RFC 1122 section 3.3.1.4. Nothing is forgotten until it is silent.
        """
        entry = self._entries.get(address)
        if entry is None or entry.state not in _BELIEVED:
            return  # it is being asked already
        entry.reachable_until = -math.inf
        entry.probes = 0
        self._enter(entry, NeighborState.PROBE, now)
        self._probe(entry, now)

    def hold(self, address: Ip4, packet: bytes, send: Callable[[Mac, float], None]) -> None:
        """Keep a packet until `address` is found: then `send(mac, now)`; start looking for it."""
        now = self._scheduler.now
        entry = self._entries.get(address)
        if entry is None:
            entry = self._insert(address)
            if entry is None:
                self._counters.add("neighbor_table_full")
                return
        if entry.state is NeighborState.FAILED or entry.timer is None:
            entry.probes = 0
            self._enter(entry, NeighborState.INCOMPLETE, now)
            self._probe(entry, now)
        if len(entry.held) >= QUEUE_PACKETS:
            entry.held.pop(0)
            self._counters.add("neighbor_queue_full")
        entry.held.append((packet, send))

    def arp_arrived(self, packet: arp.ArpPacket, now: float, *, for_us: bool) -> None:
        """Learn from a request or a reply whose sender is known to be a proper station.

        RFC 826: an entry that exists is updated by any packet; a new one is made only when the
        packet is for us (a reply that nobody asked for makes none).
        """
        entry = self._entries.get(packet.spa)
        solicited = packet.op == arp.REPLY and for_us
        if entry is None:
            if not for_us or solicited:
                return
            entry = self._insert(packet.spa)
            if entry is None:
                self._counters.add("neighbor_table_full")
                return
        changed = entry.mac != packet.sha
        entry.mac = packet.sha
        if solicited and entry.state in (
            NeighborState.INCOMPLETE,
            NeighborState.DELAY,
            NeighborState.PROBE,
        ):
            self._set_timer(entry, None)
            entry.reachable_until = now + BASE_REACHABLE_S * self._rng.uniform(0.5, 1.5)
            self._enter(entry, NeighborState.REACHABLE, now)
        elif changed or entry.state is NeighborState.FAILED:
            self._set_timer(entry, None)
            entry.reachable_until = -math.inf
            self._enter(entry, NeighborState.STALE, now)
        self._release(entry, now)

    def entries(self, now: float) -> list[Neighbor]:
        """Return what is known, REACHABLE ones that have run out shown as STALE."""
        for entry in self._entries.values():
            if entry.state is NeighborState.REACHABLE and now >= entry.reachable_until:
                self._enter(entry, NeighborState.STALE, now)
        return list(self._entries.values())

    def clear(self) -> None:
        """Forget all and stop all timers; what was held is dropped."""
        for entry in self._entries.values():
            self._set_timer(entry, None)
            if entry.held:
                self._counters.add("neighbor_cleared", len(entry.held))
        self._entries.clear()

    def _use_old(self, entry: Neighbor, now: float) -> None:
        # RFC 4861 section 7.3.3: use it, and find out soon whether it is still true.
        if entry.state is NeighborState.REACHABLE:
            self._enter(entry, NeighborState.STALE, now)
        if entry.state is NeighborState.STALE:
            self._enter(entry, NeighborState.DELAY, now)
            entry.probes = 0
            self._set_timer(entry, now + DELAY_FIRST_PROBE_S)

    def _timeout(self, entry: Neighbor, now: float) -> None:
        entry.timer = None
        if entry.probes < MAX_PROBES:
            if entry.state is NeighborState.DELAY:
                self._enter(entry, NeighborState.PROBE, now)
            self._probe(entry, now)
            return
        entry.mac = None
        held, entry.held = entry.held, []
        self._enter(entry, NeighborState.FAILED, now)
        self._counters.add("neighbor_failed")
        for packet, _ in held:
            self.on_failed(packet, now)

    def _probe(self, entry: Neighbor, now: float) -> None:
        entry.probes += 1
        self._set_timer(entry, now + RETRANS_S)
        self.solicit(entry.address, entry.mac, now)

    def _release(self, entry: Neighbor, now: float) -> None:
        held, entry.held = entry.held, []
        for _, send in held:
            assert entry.mac is not None
            send(entry.mac, now)

    def _insert(self, address: Ip4) -> Neighbor | None:
        if len(self._entries) >= TABLE_ENTRIES and not self._evict():
            return None
        entry = self._entries[address] = Neighbor(address)
        return entry

    def _evict(self) -> bool:
        # The oldest entry that nothing waits for, one that is in use only where there is no other:
        # a flood of strangers drives out strangers. All waiting: under attack, or too small.
        for in_use in (False, True):
            for address, entry in self._entries.items():
                if entry.timer is None and (entry.state is NeighborState.REACHABLE) is in_use:
                    del self._entries[address]
                    return True
        return False

    def _enter(self, entry: Neighbor, state: NeighborState, now: float) -> None:
        old, entry.state = entry.state, state
        if self.on_changed is not None and old is not state:
            self.on_changed(entry, old, now)

    def _set_timer(self, entry: Neighbor, when: float | None) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer = (
            None
            if when is None
            else self._scheduler.call_at(when, lambda now: self._timeout(entry, now))
        )
