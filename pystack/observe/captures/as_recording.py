"""Captures of somebody's own as recordings: one conversation of a file, and what belongs to it.

A file is read twice: first for its conversations, then for the frames of one of them, with the ARP,
Neighbor Discovery, DNS and ICMP that it needed. Only these are kept. Frames that were seen at two
places are one passage. What nobody can know from such a file is said (`Recording.unknown`).
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from pystack.core.addresses import parse_ip
from pystack.core.errors import ConfigError
from pystack.observe.captures import link_types
from pystack.observe.captures.capture_file import CapturedFrame, CaptureFile
from pystack.observe.captures.fate import conclude, read_back
from pystack.observe.captures.input import open_input
from pystack.observe.captures.needs import (
    is_to_many,
    names_in,
    note_answers,
    note_station,
    told_of,
)
from pystack.observe.captures.pairs import AFTER_S, Pairs, between, identity, seen_of
from pystack.observe.captures.words import (
    EACH_LINK,
    EACH_ONCE,
    ONE_PLACE,
    PAIRED,
    unknown_of,
    vantage_of,
)
from pystack.observe.flows import Flow, FlowTable
from pystack.observe.passage import SEEN, Passage
from pystack.observe.reading import End, Read, read_or_quote
from pystack.observe.recording import MOST_ITEMS, Recording
from pystack.wire import dns_framing, ethernet, headers, ipv4
from pystack.wire.frame import Frame

MOST_KEPT_BYTES: Final = 120 << 20  # of frames; more of a conversation nobody reads
_SPOOLED_BYTES: Final = 16 << 20  # of what comes through a pipe, in memory
_BEFORE_S: Final = 60.0  # how long before a conversation its look-ups may have been
_LOOKED_AT: Final = 5000  # frames, to find out whether they are there for each place again
_LEAST_BYTES: Final = 60  # of such: shorter ones may be the same and mean something else
_NOBODY_YET: Final = "::"  # who asks whether the address that it wants is free (RFC 4862 5.4)
_OURS: Final = "pystack"  # how the name of the program begins that writes our captures
_MOST_PLACES: Final = 64  # at which a conversation is seen
_MOST_CABLES: Final = 1024  # links of a network that can be shown
_KIND: Final = slice(12, 15)  # of an Ethernet frame: its type, and the packet's first byte
_PLAIN4: Final = ethernet.IS_IPV4 + bytes((ipv4.PLAIN,))
_CABLE: Final = re.compile("the link between (.+) and (.+)")


@dataclass(slots=True)
class Survey:
    """What a file holds: its conversations, and who is who."""

    path: str
    flows: list[Flow]
    names: dict[str, str]  # by address: the file's own, then what DNS answered
    began_ns: int = 0
    frames: int = 0
    cut: int = 0  # frames of which a part alone was kept
    left_out: int = 0  # conversations that found no room
    link_types: set[int] = field(default_factory=set)
    places: list[str] = field(default_factory=list)
    dropped: int = 0
    secrets: str = ""
    trouble: str = ""
    stations: dict[bytes, set[str]] = field(default_factory=dict)  # addresses of ARP and ND, by MAC
    sent_from_here: dict[int, bool] = field(default_factory=dict)  # by a flow's number, its `a` is
    by_place: bool = True  # frames are seen again at the next place; False: each is there once
    is_ours: bool = False  # comments say what befell a frame
    cables: dict[int, tuple[str, str]] = field(default_factory=dict)  # nodes, by interface
    _conversations: list[Flow] = field(default_factory=list)  # once they are known
    _nodes: dict[bytes, str] = field(default_factory=dict)  # what `node_of` has found

    @property
    def how(self) -> str:
        """Return how frames of several places belong together: a key of `unknown_of`."""
        if not self.is_ours or not self.cables:
            return PAIRED if len(self.places) > 1 and self.by_place else ONE_PLACE
        return EACH_LINK if self.by_place else EACH_ONCE

    def node_of(self, mac: bytes) -> str:
        """Return the name of the node whose station this is; "" if nobody knows."""
        name = self._nodes.get(mac)
        if name is None:
            addresses = self.stations.get(mac, ())
            name = next((self.names[each] for each in addresses if each in self.names), "")
            if mac in self.stations:
                self._nodes[mac] = name
        return name

    def neighbors(self, own: set[str]) -> set[str]:
        """Return all addresses of the stations that have one of these."""
        return own.union(*(each for each in self.stations.values() if each & own))

    @property
    def best(self) -> Flow:
        """Return the conversation that most was said in. ConfigError: there is none."""
        if not self.flows:
            what = f"{self.frames:,} frames, and" if self.frames else "no frames:"
            raise ConfigError(f"{self.path} holds {what} no conversation of TCP or UDP")
        flows = self.conversations
        of_tcp = [flow for flow in flows if flow.protocol == "tcp"]
        return max(of_tcp or flows, key=lambda flow: sum(flow.text_bytes) or sum(flow.frames))

    @property
    def conversations(self) -> list[Flow]:
        """Return the flows, each at the place where it was seen first."""
        if len(self.places) < 2 or not self.by_place:
            return self.flows
        if not self._conversations:
            self._conversations = self._first_seen()
        return self._conversations

    def _first_seen(self) -> list[Flow]:
        same: dict[tuple[str, frozenset[End]], list[Flow]] = {}
        for flow in self.flows:
            same.setdefault(between(flow), []).append(flow)
        first: set[int] = set()
        for each in same.values():
            for at, flow in enumerate(each):
                near = each[max(at - _MOST_PLACES, 0) : at + _MOST_PLACES]
                first.add(id(seen_of(flow, near)[0]))
        return [flow for flow in self.flows if id(flow) in first]

    def elsewhere(self, flow: Flow) -> list[Flow]:
        """Return what was seen of a conversation at all places, the earliest first."""
        return seen_of(flow, [each for each in self.flows if between(each) == between(flow)])

    def before_next(self, flow: Flow, ended_at: float) -> float:
        """Return the last instant before the next conversation between the same ends."""
        later = (
            each.began_at
            for each in self.flows
            if each.began_at > ended_at and between(each) == between(flow)
        )
        return math.nextafter(min(later, default=math.inf), -math.inf)


class Capture:
    """A capture that is read as often as needed; what comes through a pipe is kept for that."""

    def __init__(self, source: str | Path | BinaryIO) -> None:
        """`source`: a path, `-` for standard input, or an open file. ConfigError."""
        self._file, self.path, self._owned = open_input(source)
        if not self._file.seekable():
            spool = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 - see `close`
            shutil.copyfileobj(self._file, spool)
            self._close()
            self._file, self._owned = spool, True  # type: ignore[assignment]
        try:
            self.survey = self._look_through()
        except BaseException:
            self._close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._close()

    def recording(self, flow: Flow | None = None) -> Recording:
        """Return what there is of a conversation; None: of the one that most was said in."""
        flow = self.survey.best if flow is None else flow
        kept = _Kept(self.survey, flow)
        for frame in self._read():
            kept.take(frame)
        return kept.recording()

    def passages(self, flow: Flow | None = None) -> Iterator[Passage]:
        """Yield frames of a conversation as they are read, without pairing or keeping them."""
        kept = _Kept(self.survey, self.survey.best if flow is None else flow)
        for frame in self._read():
            passage = kept.passage_of(frame)
            if passage is not None:
                yield passage

    def _close(self) -> None:
        if self._owned:
            self._file.close()

    def _read(self) -> CaptureFile:
        self._file.seek(0)
        return CaptureFile(self._file, self.path)

    def _look_through(self) -> Survey:
        table = FlowTable()
        survey = Survey(self.path, [], {}, by_place=self._is_by_place())
        capture = self._read()
        answers: dict[str, str] = {}
        for frame in capture:
            if not survey.frames:
                survey.began_ns = frame.at_ns
            survey.frames += 1
            survey.cut += len(frame.data) < frame.original_length
            survey.link_types.add(frame.link_type)
            at = (frame.at_ns - survey.began_ns) / 1e9
            place = frame.place if survey.by_place else ""
            seen = table.feed(at, frame.data, frame.link_type, place)
            if seen is None:
                note_station(survey.stations, frame)
                continue
            if frame.direction:
                from_here = (frame.direction == "out") == seen.from_a
                survey.sent_from_here.setdefault(seen.flow.number, from_here)
            if seen.kind == "datagram" and dns_framing.PORT in (seen.flow.a[1], seen.flow.b[1]):
                note_answers(answers, frame)
        survey.flows = list(table)
        survey.names = answers | capture.names
        survey.left_out = table.left_out
        survey.places = [each.name for each in capture.interfaces if each.frames]
        survey.dropped, survey.secrets = capture.dropped, capture.secrets
        survey.trouble = capture.trouble
        survey.is_ours = capture.program.startswith(_OURS)
        for number, each in enumerate(capture.interfaces):
            if not survey.is_ours or len(survey.cables) >= _MOST_CABLES:
                break
            if found := _CABLE.fullmatch(each.description):
                survey.cables[number] = found[1], found[2]
        return survey

    def _is_by_place(self) -> bool:
        """Tell whether frames are in the file again for each place that they came by."""
        at: dict[bytes, str] = {}
        for frame in islice(self._read(), _LOOKED_AT):
            if len(frame.data) > _LEAST_BYTES:
                key = identity(link_types.as_ethernet(frame.data, frame.link_type))
                if at.setdefault(key, frame.place) != frame.place:
                    return True
        return len(set(at.values())) < 2


def conversations(source: str | Path | BinaryIO) -> list[Flow]:
    """Return all conversations of a file, by their beginning. ConfigError: it is no capture."""
    capture = Capture(source)
    capture.close()
    return capture.survey.conversations


def recording_of(source: str | Path | BinaryIO, flow: Flow | None = None) -> Recording:
    """Return a conversation of a capture, with what belongs to it. ConfigError, in one sentence.

    `flow`: one of `conversations`; None: the one of TCP that most was said in.
    """
    capture = Capture(source)
    try:
        return capture.recording(flow)
    finally:
        capture.close()


class _Kept:
    """Keeps what belongs to a conversation."""

    def __init__(self, survey: Survey, flow: Flow) -> None:
        self._survey = survey
        self._flow = flow
        self._items: list[Passage] = []
        self._bytes = 0
        self._left_out = 0
        self._number = 0
        self._made_up = False
        self._names = survey.names
        self._own = {flow.a[0], flow.b[0]}
        self._neighbors = survey.neighbors(self._own)
        self._asked: set[str] = {survey.names[end] for end in self._own if end in survey.names}
        same = survey.elsewhere(flow)
        self._began_at = min(each.began_at for each in same)
        self._from = self._began_at - _BEFORE_S
        ended_at = max(each.ended_at for each in same)
        self._until = min(ended_at + AFTER_S, survey.before_next(flow, ended_at))
        self._pairs = Pairs() if survey.how == PAIRED else None
        # A host that talks with itself: its two programs are told apart by their ports.
        self._alone = self._name(flow.a[0]) == self._name(flow.b[0])
        self._proto = _PROTOCOLS[flow.protocol]
        self._ends = dict(self._directions())
        self._has: set[str] = set()  # "arp", "dns", "cut"

    def _directions(self) -> Iterator[tuple[bytes, tuple[str, str]]]:
        """Yield how each direction's addresses and ports lie in a frame, and its nodes."""
        for (src, src_port), (dst, dst_port) in (
            (self._flow.a, self._flow.b),
            (self._flow.b, self._flow.a),
        ):
            key = headers.pack_ends(parse_ip(src), parse_ip(dst), src_port, dst_port)
            yield key, (self._node((src, src_port)), self._node((dst, dst_port)))

    def take(self, frame: CapturedFrame) -> None:
        """Keep a frame if it belongs here and there is room."""
        passage = self.passage_of(frame)
        if passage is None:
            return
        if self._pairs is not None and self._pairs.takes(passage):
            return
        self._bytes += len(frame.data)
        if self._bytes > MOST_KEPT_BYTES or len(self._items) >= MOST_ITEMS:
            self._left_out += 1
            return
        self._items.append(passage)

    def passage_of(self, frame: CapturedFrame) -> Passage | None:
        """Return a frame as a passage; None: it does not belong here."""
        at = (frame.at_ns - self._survey.began_ns) / 1e9
        if not self._from <= at <= self._until:
            return None
        ends = self._ends_of(frame, at)
        if ends is None:
            return None
        self._number += 1
        if frame.link_type != link_types.ETHERNET:
            self._made_up = True
        passage = Passage(
            frame.place or "the capture",
            *self._hop(frame, ends),
            Frame(link_types.as_ethernet(frame.data, frame.link_type)),
            at,
            self._number,
            end=SEEN,
            ended_at=at,
        )
        for comment in frame.comments if self._survey.is_ours else ():
            read_back(passage, comment)
        return passage

    def _hop(self, frame: CapturedFrame, ends: tuple[str, str]) -> tuple[str, str]:
        """Return who put a frame on a link and who is at its other end; else the ends."""
        survey = self._survey
        cable = survey.cables.get(frame.interface)
        if survey.how != EACH_LINK or cable is None:
            return ends
        sender = survey.node_of(frame.data[ethernet.SRC])
        if sender not in cable:
            sender = next((each for each in ends if each in cable), cable[0])
            if ends[1] == sender:
                sender = cable[cable[0] == sender]
        return sender, cable[cable[0] == sender]

    def recording(self) -> Recording:
        """Return what was kept."""
        survey, flow = self._survey, self._flow
        client, server = self._node(flow.a), self._node(flow.b)
        vantage = vantage_of(flow, from_here=survey.sent_from_here.get(flow.number))
        how = survey.how
        self._items.sort(key=lambda passage: passage.entered_at)  # as they stand, mostly
        for number, passage in enumerate(self._items, 1):
            passage.number = number
        if self._pairs is not None:
            self._pairs.judge(self._items)
            how = how if self._pairs.paired else ONE_PLACE
        elif how != ONE_PLACE:
            conclude(self._items)
        vantage = vantage if how == ONE_PLACE else ""
        made_up = sorted(survey.link_types - {link_types.ETHERNET}) if self._made_up else []
        return Recording(
            items=self._items,
            names={}
            if self._alone
            else {end: self._name(end) for end in (*self._own, *survey.names)},
            order=self._order(client, server),
            links=[(*cable, "") for cable in survey.cables.values()],
            began_at=self._items[0].entered_at if self._items else 0.0,
            wall_clock_offset_s=survey.began_ns / 1e9,
            knows_inside=False,
            vantage=vantage,
            secrets=survey.secrets,
            left_out=self._left_out,
            left_out_after=len(self._items),
            title=str(flow),
            client=client,
            server=server,
            unknown=unknown_of(
                flow,
                vantage=vantage,
                how=how,
                has=self._has,
                link_names=[link_types.name_of(each) for each in made_up],
                conversations=len(survey.conversations),
                cut=survey.cut,
                dropped=survey.dropped,
                has_secrets=bool(survey.secrets),
                trouble=survey.trouble,
            ),
        )

    def _order(self, client: str, server: str) -> list[str]:
        """Return the nodes from the client to the server, then those beside the way."""
        ways: dict[str, list[str]] = {}
        for one, other in self._survey.cables.values():
            ways.setdefault(one, []).append(other)
            ways.setdefault(other, []).append(one)
        before: dict[str, str] = {server: ""}
        waiting = [server]
        while waiting:
            node = waiting.pop(0)
            for near in ways.get(node, ()):
                if near not in before:
                    before[near] = node
                    waiting.append(near)
        order = [client]
        while before.get(order[-1]):
            order.append(before[order[-1]])
        order += [] if order[-1] == server else [server]
        if self._survey.how != EACH_LINK:
            return [client, server]
        return order + [node for node in ways if node not in order]

    def _name(self, address: str) -> str:
        return self._names.get(address, address)

    def _node(self, end: End) -> str:
        """Return the name of who is at an end."""
        name = self._name(end[0])
        return f"{name}:{end[1]}" if self._alone else name

    def _ends_of(self, frame: CapturedFrame, at: float) -> tuple[str, str] | None:
        """Return the names of who sent a frame and who is to get it; None: not of this."""
        known = self._plain(frame)
        if known is not None:
            return known if at >= self._began_at else None
        read = read_or_quote(frame.data, frame.link_type)
        if read is None:
            return self._discovery(frame)
        src, dst = read.ends
        if read.transport == self._flow.protocol and self._flow.is_between(src, dst):
            if at < self._began_at or at > self._until:
                return None
            if len(frame.data) < frame.original_length:
                self._has.add("cut")
            if read.quotes:
                return self._name(read.quotes.rpartition(" ")[2]), self._node(src)
            return self._node(src), self._node(dst)
        if dns_framing.PORT in (src[1], dst[1]) and self._asks(frame, read, (src, dst), at):
            self._has.add("dns")
            return self._name(src[0]), self._name(dst[0])
        return None

    def _plain(self, frame: CapturedFrame) -> tuple[str, str] | None:
        """Return the ends of a frame that is plainly of this conversation (HOT); most are."""
        data = frame.data
        start = data[_KIND]
        if start == _PLAIN4 and len(data) >= headers.V4_END:
            ends = self._ends.get(data[headers.ENDS4]) if data[23] == self._proto else None
        elif start[:2] == ethernet.IS_IPV6 and len(data) > headers.V6_END:
            ends = self._ends.get(data[headers.ENDS6]) if data[20] == self._proto else None
        else:
            return None
        if ends is not None and len(data) < frame.original_length:
            self._has.add("cut")
        return ends if frame.link_type == link_types.ETHERNET else None

    def _asks(self, frame: CapturedFrame, read: Read, ends: tuple[End, End], at: float) -> bool:
        """Tell whether a message of DNS is about the name of one of the ends."""
        if read.quotes or at > self._began_at or not self._asked:
            return False
        names = names_in(frame)
        return bool(names & self._asked) and not self._own.isdisjoint(end[0] for end in ends)

    def _discovery(self, frame: CapturedFrame) -> tuple[str, str] | None:
        """Return the ends of an ARP or ND message about one of the conversation's neighbors."""
        told = told_of(frame)
        if told is None:
            return None
        sender, target, _ = told
        if ":" in sender + target and ":" not in self._flow.a[0]:
            return None  # Neighbor Discovery, for which IPv4 does not ask
        if sender == _NOBODY_YET:
            return None
        if sender not in self._neighbors and target not in self._neighbors:
            return None
        self._has.add("arp")
        return self._name(sender), "" if is_to_many(frame) else self._name(target)


_PROTOCOLS: Final = {"tcp": ipv4.TCP, "udp": ipv4.UDP}
