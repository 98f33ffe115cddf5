"""Captures of somebody's own as recordings: one conversation of a file, and what belongs to it.

A file is read twice: first for its conversations, then for the frames of one of them, with the ARP,
Neighbor Discovery, DNS and ICMP that it needed. Only these are kept. Frames that were seen at two
places are one passage. What nobody can know from such a file is said (`Recording.unknown`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from pystack.core.addresses import format_ip, format_ip4, unpack_ip6
from pystack.core.errors import ConfigError, WireError
from pystack.observe import link_types
from pystack.observe.capture_file import CapturedFrame, CaptureFile
from pystack.observe.captured_words import unknown_of, vantage_of
from pystack.observe.flow_reading import End, Read, read_frame
from pystack.observe.flows import Flow, FlowTable
from pystack.observe.input import open_input
from pystack.observe.passage import ARRIVED, LOST, SEEN, Change, Passage
from pystack.observe.recording import MOST_ITEMS, Recording
from pystack.wire import arp, dns_framing, ethernet, icmpv6
from pystack.wire.frame import Frame

MOST_KEPT_BYTES: Final = 120 << 20  # of frames; more of a conversation nobody reads
_SPOOLED_BYTES: Final = 16 << 20  # of what comes through a pipe, in memory
_MOST_NAMES: Final = 4096
_BEFORE_S: Final = 60.0  # how long before a conversation its look-ups may have been
_AFTER_S: Final = 1.0
_TO: Final = " > "  # between the places that a frame was seen at
_PAIRED_WITHIN_S: Final = 10.0  # a frame is at its second place by then
_MOST_OPEN: Final = 65536  # frames that wait to be seen at their second place


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
        return [flow for flow in self.flows if self.elsewhere(flow)[0] is flow]

    def elsewhere(self, flow: Flow) -> list[Flow]:
        """Return what was seen of a conversation at all places, the earliest first."""
        same = [
            each
            for each in self.flows
            if each.number == flow.number
            or (
                each.place != flow.place
                and each.protocol == flow.protocol
                and each.is_between(flow.a, flow.b)
                and each.began_at <= flow.ended_at + _AFTER_S
                and flow.began_at <= each.ended_at + _AFTER_S
            )
        ]
        return sorted(same, key=lambda each: (each.began_at, each.number))


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
        survey = Survey(self.path, [], {})
        capture = self._read()
        answers: dict[str, str] = {}
        for frame in capture:
            if not survey.frames:
                survey.began_ns = frame.at_ns
            survey.frames += 1
            survey.cut += len(frame.data) < frame.original_length
            survey.link_types.add(frame.link_type)
            at = (frame.at_ns - survey.began_ns) / 1e9
            seen = table.feed(at, frame.data, frame.link_type, frame.place)
            if seen is None:
                _note_station(survey.stations, frame)
                continue
            if frame.direction:
                from_here = (frame.direction == "out") == seen.from_a
                survey.sent_from_here.setdefault(seen.flow.number, from_here)
            if seen.kind == "datagram" and dns_framing.PORT in (seen.flow.a[1], seen.flow.b[1]):
                _note_answers(answers, frame)
        survey.flows = list(table)
        survey.names = answers | capture.names
        survey.left_out = table.left_out
        survey.places = [each.name for each in capture.interfaces if each.frames]
        survey.dropped, survey.secrets = capture.dropped, capture.secrets
        survey.trouble = capture.trouble
        return survey


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
        self._asked: set[str] = {survey.names[end] for end in self._own if end in survey.names}
        same = survey.elsewhere(flow)
        self._began_at = min(each.began_at for each in same)
        self._from = self._began_at - _BEFORE_S
        self._until = max(each.ended_at for each in same) + _AFTER_S
        self._pairs = _Pairs() if len(survey.places) > 1 else None
        self._has: set[str] = set()  # "arp", "dns", "cut"

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
        return Passage(
            frame.place or "the capture",
            *ends,
            Frame(link_types.as_ethernet(frame.data, frame.link_type)),
            at,
            self._number,
            end=SEEN,
            ended_at=at,
        )

    def recording(self) -> Recording:
        """Return what was kept."""
        survey, flow = self._survey, self._flow
        client, server = self._name(flow.a[0]), self._name(flow.b[0])
        vantage = vantage_of(flow, from_here=survey.sent_from_here.get(flow.number))
        paired = self._pairs is not None and self._pairs.paired > 0
        if self._pairs is not None:
            self._pairs.judge(self._items)
        made_up = sorted(survey.link_types - {link_types.ETHERNET}) if self._made_up else []
        return Recording(
            items=self._items,
            names={end: self._name(end) for end in (*self._own, *survey.names)},
            order=[client, server],
            began_at=self._items[0].entered_at if self._items else 0.0,
            wall_clock_offset_s=survey.began_ns / 1e9,
            knows_inside=False,
            vantage="" if paired else vantage,
            secrets=survey.secrets,
            left_out=self._left_out,
            title=str(flow),
            client=client,
            server=server,
            unknown=unknown_of(
                flow,
                vantage="" if paired else vantage,
                paired=paired,
                has=self._has,
                link_names=[link_types.name_of(each) for each in made_up],
                conversations=len(survey.conversations),
                cut=survey.cut,
                dropped=survey.dropped,
                left_out=self._left_out,
                has_secrets=bool(survey.secrets),
                trouble=survey.trouble,
            ),
        )

    def _name(self, address: str) -> str:
        return self._names.get(address, address)

    def _ends_of(self, frame: CapturedFrame, at: float) -> tuple[str, str] | None:
        """Return the names of who sent a frame and who is to get it; None: not of this."""
        read = read_frame(frame.data, frame.link_type)
        if read is None:
            return self._discovery(frame)
        src, dst = read.ends
        if read.proto == _PROTOCOLS[self._flow.protocol] and self._flow.is_between(src, dst):
            if at < self._began_at or at > self._until:
                return None
            if len(frame.data) < frame.original_length:
                self._has.add("cut")
            if read.quotes:
                return self._name(read.quotes.rpartition(" ")[2]), self._name(src[0])
            return self._name(src[0]), self._name(dst[0])
        if dns_framing.PORT in (src[1], dst[1]) and self._asks(frame, read, (src, dst), at):
            self._has.add("dns")
            return self._name(src[0]), self._name(dst[0])
        return None

    def _asks(self, frame: CapturedFrame, read: Read, ends: tuple[End, End], at: float) -> bool:
        """Tell whether a message of DNS is about the name of one of the ends."""
        if read.quotes or at > self._began_at or not self._asked:
            return False
        names = _names_in(frame)
        return bool(names & self._asked) and not self._own.isdisjoint(end[0] for end in ends)

    def _discovery(self, frame: CapturedFrame) -> tuple[str, str] | None:
        """Return the ends of an ARP or ND message about one of the conversation's neighbors."""
        told = _told_of(frame)
        if told is None:
            return None
        sender, target, _ = told
        own = self._own | {
            address
            for addresses in self._survey.stations.values()
            if addresses & self._own
            for address in addresses
        }
        if sender not in own and target not in own:
            return None
        self._has.add("arp")
        return self._name(sender), "" if _is_to_many(frame) else self._name(target)


_PROTOCOLS: Final = {"tcp": 6, "udp": 17}


class _Pairs:
    """Finds frames that were seen at two places: on their way out, and at the other end."""

    def __init__(self) -> None:
        self.paired = 0
        self._open: dict[bytes, Passage] = {}
        self._to: dict[tuple[str, str], str] = {}  # where what one sends at a place is seen next

    def takes(self, passage: Passage) -> bool:
        """Tell whether it is one that was seen elsewhere before: that one has arrived then."""
        key = _identity(passage.frame.data)
        first = self._open.get(key)
        if (
            first is None
            or first.place == passage.place
            or passage.entered_at - first.entered_at > _PAIRED_WITHIN_S
        ):
            if len(self._open) >= _MOST_OPEN:
                self._open.pop(next(iter(self._open)))
            self._open[key] = passage
            return False
        at = passage.entered_at
        if passage.place in first.place.split(_TO)[1:]:
            first.changes.append(Change("duplicate", at))
            passage.copy_of, passage.entered_at, passage.place = (
                first,
                first.entered_at,
                first.place,
            )
            passage.end, passage.arrives_at = ARRIVED, at
            return False
        first.end, first.ended_at, first.arrives_at = ARRIVED, at, at
        if passage.frame.data != first.frame.data:
            first.arrived = passage.frame
        self._to[first.place.partition(_TO)[0], first.sender] = passage.place
        first.place = f"{first.place}{_TO}{passage.place}"
        self.paired += 1
        return True

    def judge(self, passages: Iterable[Passage]) -> None:
        """Call those lost that were seen where they began and not where others arrived."""
        for passage in passages:
            to = self._to.get((passage.place, passage.sender))
            if passage.end == SEEN and to is not None:
                passage.end, passage.lost = LOST, f"not seen at {to}"


def _identity(data: bytes) -> bytes:
    """Return what of a frame stays the same on its way, whichever routers it passes."""
    kind = data[ethernet.TYPE]
    if kind == ethernet.IS_IPV4:
        # Without TTL and header checksum, which each router changes, and the two ECN bits
        return data[14:15] + data[16:22] + data[23:24] + data[26:]
    if kind == ethernet.IS_IPV6:
        return data[18:21] + data[22:]
    return data


def _note_station(stations: dict[bytes, set[str]], frame: CapturedFrame) -> None:
    told = _told_of(frame)
    if told is not None and len(stations) < _MOST_NAMES:
        stations.setdefault(told[2], set()).add(told[0])


def _told_of(frame: CapturedFrame) -> tuple[str, str, bytes] | None:
    """Return who says something by ARP or ND, about which address, and its station."""
    found = link_types.network_at(frame.data, frame.link_type)
    if found is None:
        return None
    ethertype, at = found
    data = frame.data
    mac = link_types.sender_mac(data, frame.link_type)
    if ethertype == ethernet.ARP:
        try:
            packet = arp.parse(memoryview(data)[at:])
        except WireError:
            return None
        return format_ip4(packet.spa), format_ip4(packet.tpa), packet.sha
    if ethertype != ethernet.IPV6 or len(data) < at + 64 or data[at + 6] != 58:
        return None
    if data[at + 40] not in (icmpv6.NEIGHBOR_SOLICITATION, icmpv6.NEIGHBOR_ADVERTISEMENT):
        return None
    sender = format_ip(unpack_ip6(data[at + 8 : at + 24]))
    target = format_ip(unpack_ip6(data[at + 48 : at + 64]))
    if data[at + 40] == icmpv6.NEIGHBOR_ADVERTISEMENT:
        return target, format_ip(unpack_ip6(data[at + 24 : at + 40])), mac
    return sender, target, mac


def _is_to_many(frame: CapturedFrame) -> bool:
    return frame.link_type == link_types.ETHERNET and bool(frame.data[0] & 1)


def _dns_payload(frame: CapturedFrame) -> bytes:
    """Return a datagram's text, where IP has neither options nor extension headers."""
    found = link_types.network_at(frame.data, frame.link_type)
    if found is None:
        return b""
    ethertype, at = found
    header_bytes = 40 if ethertype == ethernet.IPV6 else (frame.data[at] & 0xF) * 4
    start = at + header_bytes + 8
    size = int.from_bytes(frame.data[start - 4 : start - 2], "big") - 8
    return frame.data[start : start + max(size, 0)]


def _parsed(frame: CapturedFrame, use: Callable[[object], None]) -> None:
    try:
        from pystack.wire import dns  # 50 ms, and an extra

        use(dns.parse_message(_dns_payload(frame)))
    except (ConfigError, WireError):
        pass


def _note_answers(answers: dict[str, str], frame: CapturedFrame) -> None:
    """Note under which name an address was asked for."""
    if len(answers) >= _MOST_NAMES:
        return

    def note(message: object) -> None:
        questions, records = message.questions, message.answers  # type: ignore[attr-defined]
        for record in records:
            if questions and record.address is not None:
                answers.setdefault(record.address, questions[0].name)

    _parsed(frame, note)


def _names_in(frame: CapturedFrame) -> set[str]:
    names: set[str] = set()

    def note(message: object) -> None:
        names.update(each.name for each in message.questions)  # type: ignore[attr-defined]

    _parsed(frame, note)
    return names
