"""Switch: a learning bridge (IEEE 802.1D clause 7). It knows stations by where they were heard.

Frames for a station that is known go out of its port alone, all others out of every port but the
one they came by. Entries age without a timer: they are looked at when they are used. Which ports
take part where switches form a ring is the topology's to say (`block`, `renew`), and so is which
frames come too late to be of the tree as it is: what goes to other switches is stamped for that.
"""

from collections.abc import Iterator
from typing import Final

from pystack.core.addresses import format_mac
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.core.units import parse_time_s
from pystack.link.port import Port
from pystack.observe.observer import Dropped, Event, Observer
from pystack.topology.doors import Completing
from pystack.wire import ethernet
from pystack.wire.frame import Frame

AGEING_S: Final = 300.0  # IEEE 802.1D table 7-5, recommended; Linux's bridges too
TABLE_ENTRIES: Final = 8192  # what a small switch has
# IEEE 802.1D 7.12.6: 01:80:C2:00:00:00 to 0F (spanning tree, pause, LLDP) never leave a link.
_DST: Final = ethernet.DST
_SRC: Final = ethernet.SRC
_RESERVED: Final = b"\x01\x80\xc2\x00\x00"


class Bridged(Frame):
    """A frame between switches, with the number of the tree that it was put on its way in."""

    __slots__ = ("tree",)

    def __init__(self, frame: Frame, tree: int) -> None:
        self.data = self.head = frame.data
        self.checksum = frame.checksum
        self.gso_bytes = frame.gso_bytes
        self.headers = frame.headers
        self.tree = tree


class _Entry:
    """Where a station was heard, and when."""

    __slots__ = ("heard_at", "port")

    def __init__(self, port: int, heard_at: float) -> None:
        self.port = port
        self.heard_at = heard_at


class Switch:
    """Forwards frames between its ports. It has no address, and is transparent."""

    def __init__(
        self,
        name: str,
        *,
        ageing: str | float = AGEING_S,
        table_entries: int = TABLE_ENTRIES,
    ) -> None:
        """`ageing`: how long a silent station is remembered (seconds, or "300s").

        `table_entries`: how many are remembered; others are not learned, and frames to them
        flooded.
        """
        self.ageing_s = parse_time_s(ageing)
        if not isinstance(table_entries, int) or table_entries < 1:
            raise ConfigError(f"a switch remembers one station or more, not {table_entries!r}")
        self.name = name
        self.table_entries = table_entries
        self.counters = Counters()
        self.observers: list[Observer] = []
        self.ports: list[Port] = []
        self.tree = 0  # the number of the tree, which is another after each change of ways
        self._trunks: dict[int, int] = {}  # ports to other switches, since which tree
        self._blocked: set[int] = set()
        self._table: dict[bytes, _Entry] = {}
        self._swept_at = 0.0

    def plug(self, port: Port) -> int:
        """Add a port; return its number."""
        number = len(self.ports)
        self.ports.append(port)
        self.replug(number, port)
        return number

    def replug(self, number: int, port: Port) -> None:
        """Replace a port by another."""
        # What came over a link may have its checksum still to be filled in.
        if not port.fills_checksums:
            port = Completing(port, self._drop)
        self.ports[number] = port
        port.attach(lambda frame, now: self._arrived(number, frame, now))

    def block(self, numbers: set[int]) -> None:
        """Let exactly these ports carry nothing; what was learned from others than before goes."""
        if numbers != self._blocked:
            self._blocked = set(numbers)
            self._table.clear()  # IEEE 802.1D 17.11: after a change of the topology, learn anew

    def trunk(self, number: int) -> None:
        """Know that there is another switch behind a port."""
        self._trunks.setdefault(number, 0)

    def renew(self, number: int, tree: int) -> None:
        """Forget who was behind a port, and take nothing by it that is of a tree before this."""
        self._trunks[number] = tree
        self._table = {mac: entry for mac, entry in self._table.items() if entry.port != number}

    @property
    def blocked(self) -> frozenset[int]:
        """Return the ports that carry nothing, so that there are no loops."""
        return frozenset(self._blocked)

    def forget(self) -> None:
        """Forget all stations, as when the power goes."""
        self._table.clear()

    def stations(self, now: float) -> Iterator[tuple[str, int]]:
        """Go through what is known and not too old: MAC address and number of the port."""
        for mac, entry in self._table.items():
            if now - entry.heard_at < self.ageing_s:
                yield format_mac(mac), entry.port

    def _arrived(self, number: int, frame: Frame, now: float) -> None:
        data = frame.data
        counters = self.counters
        counters["frames_in"] += 1
        if number in self._blocked:
            self._drop("switch_blocked_port", frame, now)
            return
        if len(data) < ethernet.HEADER_BYTES:
            self._drop("eth_runt", frame, now)
            return
        src = data[_SRC]
        if src[0] & 1:
            self._drop("eth_bad_source", frame, now)
            return
        may_teach = True
        if self._trunks:
            since = self._trunks.get(number)
            if isinstance(frame, Bridged):
                if since is not None and frame.tree < since:
                    self._drop("switch_old_tree", frame, now)
                    return
                if frame.tree != self.tree:  # what has come so far is right in this tree as well
                    frame = Bridged(frame, self.tree)
            elif since:
                may_teach = False  # damaged, or made anew, on its way: of which tree, who knows?
            elif frame.__class__ is Frame:
                frame = Bridged(frame, self.tree)
        known = self._table.get(src)
        if known is None:
            if may_teach:
                self._learn(src, number, now)
        elif may_teach or known.port == number:
            known.heard_at = now
            if known.port != number:
                known.port = number
                counters["switch_moved"] += 1
        if data[0] & 1:
            if data[:5] == _RESERVED and data[5] < 16:
                self._drop("switch_reserved_address", frame, now)
                return
        else:
            entry = self._table.get(data[_DST])
            if entry is not None:
                if now - entry.heard_at < self.ageing_s:
                    if entry.port == number:
                        self._drop("switch_same_port", frame, now)
                        return
                    counters["frames_out"] += 1
                    self.ports[entry.port].send(frame, now)
                    return
                del self._table[data[_DST]]
                counters["switch_aged"] += 1
        self._flood(number, frame, now)

    def _flood(self, number: int, frame: Frame, now: float) -> None:
        self.counters["switch_flooded"] += 1
        for other, port in enumerate(self.ports):
            if other != number and other not in self._blocked:
                self.counters["frames_out"] += 1
                port.send(frame, now)

    def _learn(self, src: bytes, number: int, now: float) -> None:
        if len(self._table) >= self.table_entries and not self._sweep(now):
            self.counters["switch_table_full"] += 1
            return
        self._table[src] = _Entry(number, now)
        self.counters["switch_learned"] += 1

    def _sweep(self, now: float) -> bool:
        """Forget all that is too old; tell whether there is room now."""
        # The whole table is gone through at most once in a tenth of the ageing time, else a flood
        # of made-up addresses would cost a walk through it for each frame.
        if now - self._swept_at >= self.ageing_s / 10:
            self._swept_at = now
            fresh = {
                mac: entry
                for mac, entry in self._table.items()
                if now - entry.heard_at < self.ageing_s
            }
            self.counters["switch_aged"] += len(self._table) - len(fresh)
            self._table = fresh
        return len(self._table) < self.table_entries

    def _drop(self, reason: str, frame: Frame, now: float) -> None:
        self.counters.add(reason)
        if self.observers:
            event: Event = Dropped(now, self.name, None, reason, frame.data)
            for observer in self.observers:
                observer.on_event(event)

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return f"<Switch {self.name} with {len(self.ports)} ports>"
