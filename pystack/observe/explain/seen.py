"""What a telling has seen so far: conversations, questions, packets on their way. All bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pystack.observe.amounts import count
from pystack.observe.explain.conversation import Conversation
from pystack.observe.explain.kept import Kept
from pystack.observe.explain.ledger import Ledger, Leg
from pystack.observe.explain.reading import Ends, Read
from pystack.observe.observer import LookUp, Milestone, NeighborChanged, RouteChosen
from pystack.observe.passage import SEEN, Passage
from pystack.observe.reading import is_by_opener
from pystack.observe.recording import Recording
from pystack.wire import dns_framing, ethernet

MOST_CONVERSATIONS: Final = 40
MOST_NOTES: Final = 400
MOST_UNDER_WAY: Final = 2_000  # packets that are followed from link to link
DNS_PORT: Final = dns_framing.PORT

T = TypeVar("T")


@dataclass(slots=True)
class Asking:
    """A question to the neighbours: who has this address?"""

    node: str
    target: str
    kept: Kept
    times: int = 1
    lost: int = 0
    answer: Kept | None = None
    answered_at: float | None = None
    last_at: float = 0.0
    more: list[Kept] = field(default_factory=list)


@dataclass(slots=True)
class Datagram:
    """A UDP datagram, and what became of it."""

    kept: Kept
    at: float
    arrived_at: float | None = None
    repeats: Datagram | None = None
    answers: Datagram | None = None
    lost: str = ""


@dataclass(slots=True)
class Exchange:
    """The datagrams between two sockets."""

    ends: Ends
    nodes: tuple[str, str]
    datagrams: list[Datagram] = field(default_factory=list)
    count: int = 0
    sizes: list[int] = field(default_factory=lambda: [0, 0])  # bytes, by direction
    sent: list[int] = field(default_factory=lambda: [0, 0])
    last_at: float = 0.0
    lost: int = 0


@dataclass(slots=True)
class Journey:
    """A packet on its way over links."""

    hops: list[Kept] = field(default_factory=list)


@dataclass(slots=True)
class Totals:
    """What crossed the links, each frame once for each link."""

    frames: int = 0
    lost: int = 0
    frame_bytes: int = 0
    link_bytes: int = 0  # headers of Ethernet
    ip_bytes: int = 0
    transport_bytes: int = 0
    application_bytes: int = 0
    other_bytes: int = 0  # ARP, ND and the like


class Seen:
    """All of it."""

    def __init__(self, about: Recording) -> None:
        self.about = about
        self.names = dict(about.names)
        self.began_at: float | None = None
        self.ended_at = about.began_at
        self.ledger = Ledger()
        self.totals = Totals()
        self.one_place = False  # of some frames nobody knows when they arrived
        self.conversations: OrderedDict[tuple[Ends, int], Conversation] = OrderedDict()
        self.more_conversations = 0
        self.look_ups: list[LookUp] = []
        self.routes: list[RouteChosen] = []
        self.milestones: list[Milestone] = []
        self.neighbors_changed: list[NeighborChanged] = []
        self.askings: list[Asking] = []
        self.exchanges: OrderedDict[frozenset[tuple[str, int]], Exchange] = OrderedDict()
        self.icmps: list[Kept] = []
        self.early_states: dict[tuple[str, int, str, int], list[tuple[float, str]]] = {}
        self.journeys: list[Journey] = []  # of packets that are told of hop by hop
        self.end: tuple[Leg, float] | None = None  # the last arrival that belongs to the subject
        self.beginnings: dict[Hashable, Leg] = {}  # of questions without an answer yet
        self._by_ends: dict[frozenset[tuple[str, int]], Conversation] = {}
        self._under_way: OrderedDict[Hashable, Journey] = OrderedDict()
        self._crossed: set[str] = set()
        self._macs: dict[str, str] = {}

    # who is who

    def who(self, address: str) -> str:
        """Return the node with an address, or the address itself."""
        return self.names.get(address, address)

    def named(self, address: str) -> str:
        """Return the node with its address: "server (10.0.0.9)"."""
        name = self.names.get(address)
        return f"{name} ({address})" if name and name != address else address

    def _both(self, ends: Ends) -> tuple[str, str]:
        """Return who is at both ends; programs of one host are told apart by their ports."""
        src, src_port, dst, dst_port = ends
        one, other = self.who(src), self.who(dst)
        return (f"{one}:{src_port}", f"{other}:{dst_port}") if one == other else (one, other)

    def places(self) -> list[str]:
        """Return the nodes that talked."""
        found: dict[str, None] = {}
        for conversation in self.conversations.values():
            found |= dict.fromkeys(side.node for side in conversation.sides)
        for exchange in self.exchanges.values():
            found |= dict.fromkeys(exchange.nodes)
        return list(found)

    def departs_here(self, passage: Passage, frame: Read) -> bool:
        """Tell whether this is the packet's first link: its sender puts it there."""
        if frame.kind == "neighbor":
            return passage.end != SEEN or bool(passage.sender) or not self.about.knows_inside
        if passage.end == SEEN and self.about.knows_inside:
            return bool(passage.sender)
        name = self.names.get(frame.src)
        return name is None or not passage.sender or name == passage.sender

    def arrives_here(self, passage: Passage, frame: Read) -> bool:
        """Tell whether it is the last: the receiver is who it is for."""
        if passage.end == SEEN and self.about.knows_inside and not passage.receiver:
            return not self.about.links  # a TAP: nobody else tells of the other end
        name = self.names.get(frame.dst)
        return name is None or not passage.receiver or name == passage.receiver

    # counting

    def count_frame(self, passage: Passage, frame: Read) -> None:
        """Count a frame on a link, by what each layer has of it."""
        totals = self.totals
        totals.frames += 1
        self.one_place = self.one_place or passage.end == SEEN
        totals.frame_bytes += frame.frame_bytes
        if frame.kind in ("tcp", "udp"):
            totals.link_bytes += frame.frame_bytes - frame.packet_bytes
            totals.ip_bytes += frame.header_bytes
            totals.transport_bytes += frame.transport_bytes
            totals.application_bytes += frame.size
        else:
            totals.link_bytes += min(ethernet.HEADER_BYTES, frame.frame_bytes)
            totals.other_bytes += max(frame.frame_bytes - ethernet.HEADER_BYTES, 0)
        if passage.lost:
            totals.lost += 1

    def note(self, notes: list[T], item: T) -> None:
        """Keep an event, as long as there is room."""
        if len(notes) < MOST_NOTES:
            notes.append(item)

    def spans(self, begin: float, end: float) -> None:
        """The subject takes at least from here to there."""
        self.began_at = begin if self.began_at is None else min(self.began_at, begin)
        self.ended_at = max(self.ended_at, end)

    def last_arrival(self, leg: Leg, frame: Read, at: float) -> None:
        """Something of a conversation arrived: it may be where the story ends."""
        self.end = (leg, at)
        self.spans(at, at)

    def departed(self, kept: Kept) -> None:
        """A packet leaves its sender: follow it, if its kind of way was not told of yet."""
        frame, at = kept.read, kept.passage.entered_at
        self._macs[frame.src_mac] = kept.passage.sender
        if frame.kind not in ("tcp", "udp", "icmp"):
            return
        self._under_way.pop(frame.key, None)
        while len(self._under_way) >= MOST_UNDER_WAY:
            self._under_way.popitem(last=False)
        self._under_way[frame.key] = journey = Journey([kept])
        if frame.kind == "icmp":
            return
        self.spans(at, at)
        way = f"{frame.src} {frame.dst}"
        if way not in self._crossed and len(self.journeys) < 8 and DNS_PORT not in frame.ends:
            back = f"{frame.dst} {frame.src}"
            if back not in self._crossed:
                self.journeys.append(journey)
            self._crossed.add(way)

    def journey(self, kept: Kept) -> None:
        """A packet is on its next link."""
        journey = self._under_way.get(kept.read.key)
        if journey is None:
            return
        if len(journey.hops) < 64:
            journey.hops.append(kept)
        if kept.lost:
            journey.hops[0].lost_on = kept.passage

    def copied(self, kept: Kept) -> None:
        """A line has made two of one."""
        conversation = self.conversation_of(kept.read) if kept.read.kind == "tcp" else None
        if conversation is not None:
            conversation.noticed("copy", kept)

    def first_of(self, kept: Kept, at: float | None = None) -> Kept:
        """Return a packet as it was on its first link; note when it was there."""
        journey = self._under_way.get(kept.read.key)
        first = kept if journey is None else journey.hops[0]
        if at is not None and first.arrived_at is None:
            first.arrived_at = at
        return first

    def lost(self, kept: Kept) -> None:
        """A frame did not arrive."""
        frame = kept.read
        if frame.kind == "udp":
            exchange = self.exchanges.get(_pair(frame.ends))
            if exchange is not None:
                exchange.lost += 1
                for datagram in exchange.datagrams:
                    if datagram.kept.read.key == frame.key and datagram.arrived_at is None:
                        datagram.lost = kept.passage.lost or kept.passage.refused
        elif frame.kind == "neighbor":
            for asking in self.askings:
                if asking.target == frame.target and asking.answered_at is None:
                    asking.lost += 1

    # conversations

    def flow_of(self, frame: Read) -> Hashable:
        """Return what a frame belongs to."""
        if frame.kind in ("tcp", "udp"):
            return _pair(frame.ends)
        if frame.kind == "icmp" and frame.about is not None:
            return _pair(frame.about)
        if frame.kind == "neighbor":
            return ("neighbor", frame.target)
        return (frame.kind, frame.src, frame.dst)

    def conversation_of(self, frame: Read) -> Conversation | None:
        """Return the connection of a segment."""
        return self._by_ends.get(_pair(frame.ends))

    def conversation_at(
        self, local: tuple[str, int], remote: tuple[str, int]
    ) -> tuple[Conversation | None, int]:
        """Return the connection between two ends, and which side the first is."""
        found = self._by_ends.get(frozenset((local, remote)))
        return found, 0 if found is None or found.ends[:2] == local else 1

    def is_another(self, known: Conversation, frame: Read) -> bool:
        """Tell whether a SYN begins a new connection between the same ends."""
        first = known.sides[0].syn
        return first is None or first.read.seq != frame.seq

    def begin(self, frame: Read) -> Conversation | None:
        """Begin a connection with the first segment that is seen of it."""
        if len(self.conversations) >= MOST_CONVERSATIONS:
            self.more_conversations += 1
            return None
        src, src_port, dst, dst_port = ends = frame.ends
        if not is_by_opener(frame.kind, frame.flags, src_port, dst_port):
            ends = (dst, dst_port, src, src_port)
        nodes = self._both(ends)
        conversation = Conversation(ends, nodes, len(self.conversations) + 1)
        for number, key in enumerate((ends, (*ends[2:], *ends[:2]))):
            conversation.sides[number].states += self.early_states.pop(key, [])
        self.conversations[ends, conversation.number] = conversation
        self._by_ends[_pair(ends)] = conversation
        return conversation

    # neighbours

    def neighbor_departs(self, kept: Kept, leg: Leg) -> None:
        """Somebody asks who has an address."""
        frame, node = kept.read, kept.passage.sender
        if frame.op != "ask":
            return
        leg.is_question = True
        key = ("neighbor", node, frame.target)
        for asking in reversed(self.askings):
            if (asking.node, asking.target) == (node, frame.target) and asking.answer is None:
                if kept.passage.entered_at > asking.last_at:  # the same frame on other links: no
                    asking.times += 1
                    asking.more.append(kept)
                    leg.original = self.beginnings.get(key)
                    asking.last_at = kept.passage.entered_at
                return
        if self.about.knows_inside and self.names.get(frame.src, node) != node:
            return  # a switch passes it on
        if len(self.askings) < MOST_NOTES:
            self.beginnings[key] = leg
            at = kept.passage.entered_at
            self.askings.append(Asking(node or self.who(frame.src), frame.target, kept, last_at=at))

    def neighbor_arrives(self, kept: Kept, at: float) -> None:
        """Somebody hears who has it."""
        frame = kept.read
        if frame.op != "answer":
            return
        for asking in reversed(self.askings):
            if asking.target == frame.target and asking.answered_at is None:
                receiver = kept.passage.receiver
                if receiver in ("", asking.node) or self.who(frame.dst) == asking.node:
                    asking.answer, asking.answered_at = kept, at
                    self.beginnings.pop(("neighbor", asking.node, asking.target), None)
                    return

    # datagrams

    def datagram_departs(self, kept: Kept, leg: Leg) -> None:
        """A datagram leaves its sender."""
        frame, at = kept.read, kept.passage.entered_at
        if dns_framing.MULTICAST_PORT in frame.ends:
            return
        key = _pair(frame.ends)
        exchange = self.exchanges.get(key)
        if exchange is None:
            if len(self.exchanges) >= MOST_CONVERSATIONS * 4:
                return
            nodes = self._both(frame.ends)
            exchange = self.exchanges[key] = Exchange(frame.ends, nodes)
        direction = 0 if (frame.src, frame.src_port) == exchange.ends[:2] else 1
        exchange.count += 1
        exchange.sent[direction] += 1
        exchange.sizes[direction] += frame.size
        exchange.last_at = at
        datagram = Datagram(kept, at)
        question = ("datagram", kept.passage.sender, frame.dst_port, frame.data[2:])
        if direction == 0 and (len(self.beginnings) < MOST_UNDER_WAY):
            leg.original = self.beginnings.get(question)
            self.beginnings.setdefault(question, leg)
        if len(exchange.datagrams) < MOST_NOTES:
            for before in reversed(exchange.datagrams):
                if before.kept.read.src != frame.src:
                    continue
                if before.kept.read.data == frame.data:
                    datagram.repeats = before
                break
            exchange.datagrams.append(datagram)

    def datagram_arrives(self, kept: Kept, at: float) -> None:
        """It is there."""
        exchange = self.exchanges.get(_pair(kept.read.ends))
        if exchange is None:
            return
        exchange.last_at = at
        for datagram in reversed(exchange.datagrams):
            if datagram.kept.read.key == kept.read.key and datagram.arrived_at is None:
                datagram.arrived_at = at
                datagram.lost = ""
                break
        if kept.read.src == exchange.ends[2]:  # an answer: what was asked is done with
            for key in [key for key in self.beginnings if isinstance(key, tuple)]:
                leg = self.beginnings[key]
                if key[0] == "datagram" and leg.flow == _pair(kept.read.ends):
                    del self.beginnings[key]

    def icmp(self, kept: Kept) -> None:
        """An ICMP message."""
        if kept.read.is_error:
            self.note(self.icmps, kept)
            if kept.read.about is not None:
                conversation = self._by_ends.get(_pair(kept.read.about))
                if conversation is not None and len(conversation.errors) < 32:
                    conversation.errors.append(kept)

    def unknown(self) -> list[str]:
        """Return what this recording cannot know, as sentences."""
        about = self.about
        found: list[str] = []
        found += about.unknown
        if not about.knows_inside and not found:
            where = f" ({about.vantage})" if about.vantage else ""
            found += [
                f"The frames were seen at one place{where}: how long each was on its way to there, "
                "and from there on, is not known; nor which link or queue lost what is missing.",
                "What the hosts knew is not in a capture: states, congestion windows, timers, and "
                "why just then something was sent. It is inferred from the segments where it can.",
                "When a program asked for something, and when it got it, is not in a capture: only "
                "when the frames for it passed.",
            ]
        if about.left_out:
            where = "at the beginning"
            if about.left_out_after:
                where = f"after the first {about.left_out_after:,}"
            verb = "is" if about.left_out == 1 else "are"
            found.append(f"{count(about.left_out, 'item')} {where} found no room, and {verb} lost.")
        for conversation in self.conversations.values():
            if conversation.sides[0].syn is None:
                found.append(
                    f"The connection to {self.named(conversation.ends[2])}, port "
                    f"{conversation.ends[3]}, was there before the recording began: what its ends "
                    "agreed on in the handshake (window scaling, SACK, timestamps) is not known."
                )
        if self.more_conversations:
            found.append(
                f"Not told of: {count(self.more_conversations, 'segment')} of connections beyond "
                f"the first {MOST_CONVERSATIONS}."
            )
        return found


def _pair(ends: Ends) -> frozenset[tuple[str, int]]:
    return frozenset((ends[:2], ends[2:]))
