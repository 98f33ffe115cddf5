"""The neighbours on one link, of both IP versions, with the states of Linux's NUD (RFC 4861 7.3).

The states and their timers stand here once. ARP (RFC 826) and neighbor discovery are two ways to
ask (`solicit`) and two kinds of answers (`heard`, `answered`).

An entry is believed for a while (REACHABLE), then used on trial (STALE, DELAY) and asked again
(PROBE). Ageing costs nothing while nobody sends: it is looked at when an entry is used. Packets for
a station that is being looked for wait in a short queue; where nobody answers, `on_failed` gets
them back, so that their senders can be told.

A stranger can make up as many stations as a network has addresses. So those that have answered have
places of their own, which only others that answer can take; the rest is for whoever comes, and of
them the one goes that nothing was sent to for longest.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pystack.core.addresses import Ip, Mac, format_ip, format_mac, is_v6
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
QUEUE_BYTES: Final = 212_992  # of each; Linux's unres_qlen_bytes
TABLE_QUEUE_BYTES: Final = 4 * 1024 * 1024  # of all; the packet that waits for longest goes first
_HELD_COST_BYTES: Final = 512  # what one takes beside its bytes (measured: 440)
TABLE_ENTRIES: Final = 1024  # as Linux's gc_thresh3
PROVEN_ENTRIES: Final = 768  # of them, that have answered
# So many leave it open for long who has to go: until then nobody notes each use of an entry.
_FEW_ENTRIES: Final = TABLE_ENTRIES // 2


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
# Where it is waited for
_ASKED: Final = frozenset({NeighborState.INCOMPLETE, NeighborState.DELAY, NeighborState.PROBE})

# A packet that waits, and how to send it once the station is known.
Held = tuple[bytes, Callable[[Mac, float], None]]


class Neighbor:
    """What is known about one station."""

    __slots__ = (
        "address",
        "held",
        "held_bytes",
        "is_router",
        "mac",
        "probes",
        "proven",
        "state",
        "timer",
        "use_until",
    )

    def __init__(self, address: Ip) -> None:
        self.address = address
        self.state = NeighborState.INCOMPLETE
        self.mac: Mac | None = None  # None: not known (yet)
        self.is_router = False  # True: it has said so (IPv6 alone)
        self.proven = False  # True: it has answered, and has not been given up since
        self.held: deque[Held] = deque()
        self.held_bytes = 0
        self.probes = 0
        # While this lies ahead it is in its table, frames go to `mac`, and that changes nothing:
        # who has the entry (`Way`) need not ask. Of who has never answered it does in a table with
        # much room alone: else each use puts off that its place goes to another.
        self.use_until = -math.inf
        self.timer: Handle | None = None  # None: nothing to wait for in this state

    def __repr__(self) -> str:
        """Return it in the manner of `ip neighbour`."""
        mac = "" if self.mac is None else f" lladdr {format_mac(self.mac)}"
        router = " router" if self.is_router else ""
        return f"<{format_ip(self.address)}{mac}{router} {self.state.value}>"


@dataclass(slots=True)
class Timing:
    """What routers may set for the IPv6 neighbours of a link (RFC 4861 section 6.3.4)."""

    reachable_s: float = BASE_REACHABLE_S
    retrans_s: float = RETRANS_S


class NeighborTable:
    """The neighbours on one interface's link."""

    __slots__ = (
        "_counters",
        "_entries",
        "_held_bytes",
        "_proven",
        "_rng",
        "_scheduler",
        "_timing4",
        "_unproven",
        "_waited_for",
        "on_changed",
        "on_dropped",
        "on_failed",
        "solicit",
        "timing6",
    )

    def __init__(self, scheduler: Scheduler, rng: Random, counters: Counters) -> None:
        self._scheduler = scheduler
        self._rng = rng
        self._counters = counters
        self._entries: dict[int, Neighbor] = {}
        # The same in two parts, those first that will go first
        self._proven: OrderedDict[int, Neighbor] = OrderedDict()
        self._unproven: OrderedDict[int, Neighbor] = OrderedDict()
        self._waited_for: OrderedDict[int, Neighbor] = OrderedDict()  # by packets, the oldest first
        self._held_bytes = 0
        self._timing4 = Timing()
        self.timing6 = Timing()
        # The four ways out, set by the host that owns the table:
        # ask for an address, by broadcast or (with a MAC) the station that had it;
        self.solicit: Callable[[Ip, Mac | None, float], None] = lambda _address, _mac, _now: None
        # a packet was given up;
        self.on_failed: Callable[[bytes, float], None] = lambda _packet, _now: None
        # a packet was thrown away, for a reason that is counted;
        self.on_dropped: Callable[[str, bytes, float], None] = lambda reason, _packet, _now: (
            counters.add(reason)
        )
        # an entry changed its state.
        self.on_changed: Callable[[Neighbor, NeighborState, float], None] | None = None

    def lookup(self, address: Ip, now: float) -> Mac | None:
        """Return where to send a frame for `address`; None where it has to be looked for first."""
        entry = self._entries.get(address)
        if entry is None or entry.mac is None:
            return None
        if now >= entry.use_until:
            self._use_old(entry, now)
        return entry.mac

    def peek(self, address: Ip) -> Mac | None:
        """Return what is known of a station, without using it: its state stays."""
        entry = self._entries.get(address)
        return None if entry is None else entry.mac

    def doubt(self, address: Ip, now: float) -> None:
        """A transport gets no answer by way of this station: ask whether it is still there.

        The "negative advice" of RFC 1122 section 3.3.1.4. Nothing is forgotten until it is silent.
        """
        entry = self._entries.get(address)
        if entry is None or entry.state not in _BELIEVED:
            return  # it is being asked already
        entry.use_until = math.inf if entry.proven else -math.inf
        entry.probes = 0
        self._enter(entry, NeighborState.PROBE, now)
        self._probe(entry, now)

    def hold(self, address: Ip, packet: bytes, send: Callable[[Mac, float], None]) -> None:
        """Keep a packet until `address` is found: then `send(mac, now)`; start looking for it."""
        now = self._scheduler.now
        entry = self._entries.get(address)
        if entry is None:
            entry = self._insert(address, now)
        elif not entry.proven:
            self._unproven.move_to_end(address)
        if entry.state is NeighborState.FAILED or entry.timer is None:
            entry.probes = 0
            self._enter(entry, NeighborState.INCOMPLETE, now)
            self._probe(entry, now)
        cost_bytes = len(packet) + _HELD_COST_BYTES
        entry.held.append((packet, send))
        entry.held_bytes += cost_bytes
        self._held_bytes += cost_bytes
        self._waited_for.setdefault(address, entry)
        while len(entry.held) > QUEUE_PACKETS or entry.held_bytes > QUEUE_BYTES:
            self._drop_oldest(entry, now)
        while self._held_bytes > TABLE_QUEUE_BYTES:
            self._drop_oldest(next(iter(self._waited_for.values())), now)

    def arp_arrived(self, packet: arp.ArpPacket, now: float, *, for_us: bool) -> None:
        """Learn from a request or a reply whose sender is known to be a proper station.

        RFC 826: an entry that exists is updated by any packet; a new one is made only when the
        packet is for us (a reply that nobody asked for makes none).
        """
        if packet.op != arp.REPLY or not for_us:
            self.heard(packet.spa, packet.sha, now, create=for_us)
            return
        entry = self._entries.get(packet.spa)
        # A reply that nobody waits for says where the station is, not that it hears us.
        if entry is not None and entry.state in _ASKED:
            self.answered(packet.spa, packet.sha, now, solicited=True)
        else:
            self.heard(packet.spa, packet.sha, now, create=False)

    def heard(self, address: Ip, mac: Mac, now: float, *, create: bool) -> None:
        """Learn where a station is from what it says without having been asked.

        An ARP request, and the source's link-layer address of neighbor discovery (RFC 4861
        sections 6.2.6, 6.3.4, 7.2.3 and 8.3). `create`: also of one that is not known yet.
        """
        entry = self._entries.get(address)
        if entry is None:
            if not create:
                return
            entry = self._insert(address, now)
        if entry.mac != mac or entry.state is NeighborState.FAILED:
            entry.mac = mac
            self._distrust(entry, now)
        self._release(entry, now)

    def answered(
        self,
        address: Ip,
        mac: Mac | None,
        now: float,
        *,
        solicited: bool,
        override: bool = True,
    ) -> bool:
        """Take what a station, or another for it, answers (RFC 4861 section 7.2.5).

        `mac` is None where an answer has none. `solicited`: we have asked, so it hears us;
        without `override` it may not take the place of what is known. Of a station that nobody
        has looked for, nothing is learned. Returns whether the answer was taken.
        """
        entry = self._entries.get(address)
        if entry is None:
            return False
        known = entry.mac  # None: looked for, or given up
        if mac is None:
            mac = known
        if mac is None:
            return False
        if known is not None and mac != known and not override:
            if entry.state is NeighborState.REACHABLE:
                self._distrust(entry, now)
            return False
        entry.mac = mac
        if solicited:
            self._set_timer(entry, None)
            timing = self.timing6 if is_v6(address) else self._timing4
            entry.use_until = now + timing.reachable_s * self._rng.uniform(0.5, 1.5)
            self._enter(entry, NeighborState.REACHABLE, now)
        elif mac != known:
            self._distrust(entry, now)
        self._release(entry, now)
        return True

    def find(self, address: Ip) -> Neighbor | None:
        """Return the entry of a station; None: nothing is known of it."""
        return self._entries.get(address)

    def entries(self, now: float) -> list[Neighbor]:
        """Return what is known, REACHABLE ones that have run out shown as STALE."""
        for entry in self._entries.values():
            if entry.state is NeighborState.REACHABLE and now >= entry.use_until:
                self._enter(entry, NeighborState.STALE, now)
        return list(self._entries.values())

    def clear(self) -> None:
        """Forget all and stop all timers; what was held is dropped."""
        for entry in self._entries.values():
            self._set_timer(entry, None)
            entry.use_until = -math.inf
            if entry.held:
                self._counters.add("neighbor_cleared", len(entry.held))
        self._entries.clear()
        self._proven.clear()
        self._unproven.clear()
        self._waited_for.clear()
        self._held_bytes = 0

    def _use_old(self, entry: Neighbor, now: float) -> None:
        # RFC 4861 section 7.3.3: use it, and find out soon whether it is still true.
        if entry.state is NeighborState.REACHABLE:
            self._enter(entry, NeighborState.STALE, now)
        if not entry.proven:
            self._unproven.move_to_end(entry.address)
        if entry.state is NeighborState.STALE:
            self._enter(entry, NeighborState.DELAY, now)
            entry.probes = 0
            if entry.proven or len(self._entries) < _FEW_ENTRIES:
                entry.use_until = math.inf  # or until the timer says otherwise
            self._set_timer(entry, now + DELAY_FIRST_PROBE_S)

    def _distrust(self, entry: Neighbor, now: float) -> None:
        """Use what is known of a station on trial from now on."""
        self._set_timer(entry, None)
        entry.use_until = -math.inf
        self._enter(entry, NeighborState.STALE, now)

    def _timeout(self, entry: Neighbor, now: float) -> None:
        entry.timer = None
        if entry.probes < MAX_PROBES:
            if entry.state is NeighborState.DELAY:
                self._enter(entry, NeighborState.PROBE, now)
            self._probe(entry, now)
            return
        entry.mac, entry.use_until = None, -math.inf
        held = self._take_held(entry)
        self._enter(entry, NeighborState.FAILED, now)
        self._counters.add("neighbor_failed")
        if entry.proven:
            entry.proven = False
            del self._proven[entry.address]
            self._unproven[entry.address] = entry
        self._unproven.move_to_end(entry.address, last=False)
        for packet, _ in held:
            self.on_failed(packet, now)

    def _probe(self, entry: Neighbor, now: float) -> None:
        entry.probes += 1
        timing = self.timing6 if is_v6(entry.address) else self._timing4
        self._set_timer(entry, now + timing.retrans_s)
        self.solicit(entry.address, entry.mac, now)

    def _release(self, entry: Neighbor, now: float) -> None:
        if not entry.held:
            return
        assert entry.mac is not None
        for _, send in self._take_held(entry):
            send(entry.mac, now)

    def _take_held(self, entry: Neighbor) -> deque[Held]:
        """Return what waits for a station, which waits no more."""
        held, entry.held = entry.held, deque()
        self._held_bytes -= entry.held_bytes
        entry.held_bytes = 0
        self._waited_for.pop(entry.address, None)
        return held

    def _drop_oldest(self, entry: Neighbor, now: float) -> None:
        packet, _ = entry.held.popleft()
        cost_bytes = len(packet) + _HELD_COST_BYTES
        entry.held_bytes -= cost_bytes
        self._held_bytes -= cost_bytes
        if not entry.held:
            del self._waited_for[entry.address]
        self.on_dropped("neighbor_queue_full", packet, now)

    def _insert(self, address: Ip, now: float) -> Neighbor:
        if len(self._entries) >= TABLE_ENTRIES:
            self._evict(self._unproven, now)
        if len(self._entries) == _FEW_ENTRIES:
            for unproven in self._unproven.values():
                unproven.use_until = -math.inf
        entry = self._entries[address] = self._unproven[address] = Neighbor(address)
        return entry

    def _evict(self, part: OrderedDict[int, Neighbor], now: float) -> None:
        """Forget the first of a part, and what waits for it."""
        address, entry = part.popitem(last=False)
        del self._entries[address]
        entry.use_until = -math.inf
        self._set_timer(entry, None)
        for packet, _ in self._take_held(entry):
            self.on_dropped("neighbor_table_full", packet, now)

    def _prove(self, entry: Neighbor, now: float) -> None:
        """Give a station that has answered its place: the one that has not for longest goes."""
        if not entry.proven:
            if len(self._proven) >= PROVEN_ENTRIES:
                self._evict(self._proven, now)
            entry.proven = True
            del self._unproven[entry.address]
            self._proven[entry.address] = entry
        self._proven.move_to_end(entry.address)

    def _enter(self, entry: Neighbor, state: NeighborState, now: float) -> None:
        old, entry.state = entry.state, state
        if state is NeighborState.REACHABLE:
            self._prove(entry, now)
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


class OneNeighbor(NeighborTable):
    """Who is on a link without stations, such as a TUN device: whoever it is, at its other end.

    Nobody is asked for, and nothing is remembered.
    """

    def __init__(self, scheduler: Scheduler, rng: Random, counters: Counters, station: Mac) -> None:
        super().__init__(scheduler, rng, counters)
        self._station = station

    def lookup(self, address: Ip, now: float) -> Mac | None:
        """Return the other end."""
        return self._station

    def peek(self, address: Ip) -> Mac | None:
        """Return the other end."""
        return self._station

    def doubt(self, address: Ip, now: float) -> None:
        """There is nobody else who could be asked."""
