"""What goes over a sender's own link, by sequence numbers: sent, sent again, acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pystack.experiments.measures.registry import SEQUENCES
from pystack.experiments.model import Track
from pystack.observe.passage import ARRIVED
from pystack.observe.reading import read
from pystack.tcp.seq import unwrap
from pystack.topology.router import Router
from pystack.wire.tcp import ACK, SYN

if TYPE_CHECKING:
    from pystack.core.addresses import Ip
    from pystack.experiments.measures.flows import TcpFlow
    from pystack.link.link import Link
    from pystack.observe.passage import Passage
    from pystack.observe.reading import Read
    from pystack.topology.nodes import Node

_Key = tuple["Ip", int, "Ip", int]
_UNITS: Final[Mapping[str, str]] = {series.name: series.unit for series in SEQUENCES}


@dataclass(slots=True)
class _Numbers:
    """One direction of a connection."""

    first: int  # the number of the first byte
    sent: int = 0  # up to which byte, from 0
    acked: int = 0
    sacked: int = -1  # the end of the last range that was told
    tracks: dict[str, Track] = field(default_factory=dict)


class Sequences:
    """Reads the segments on the links of hosts."""

    def __init__(self, opened_at: float) -> None:
        self._opened_at = opened_at
        self._known: dict[_Key, _Numbers] = {}
        self._hosts: set[str] = set()

    def link_added(self, link: Link, nodes: Mapping[str, Node]) -> None:
        """Look at the link of a host that is no router."""
        hosts = [name for name in link.ends if _is_host(nodes[name])]
        if hosts and not (link.a_to_b.carries_whole or link.b_to_a.carries_whole):
            self._hosts.update(hosts)
            link.watch(self)

    def on_passage(self, passage: Passage) -> None:
        """Take note of a segment that a host sends, and of an ACK that one gets."""
        if not passage.end and passage.sender in self._hosts:
            found = read(passage.frame.data)
            if found.transport == "tcp" and (found.text_bytes or found.flags & SYN):
                self._sent(found, passage.entered_at)
        elif passage.end == ARRIVED and passage.receiver in self._hosts:
            found = read(passage.frame.data)
            if found.transport == "tcp" and found.flags & ACK and passage.ended_at is not None:
                self._acked(found, passage.ended_at)

    def tracks(self, flows: Sequence[TcpFlow]) -> Iterator[Track]:
        """Yield what was seen of these flows, in the direction in which each carried more."""
        for flow in flows:
            way = flow.way()
            key = flow.key
            if way.sender is not flow.opener:
                key = (key[2], key[3], key[0], key[1])
            numbers = self._known.get(key)
            for name in _UNITS if numbers is not None else ():
                assert numbers is not None
                track = numbers.tracks.get(name)
                if track is not None:
                    track.subject = way.name
                    yield track

    def _sent(self, found: Read, now: float) -> None:
        key = (found.src, found.src_port, found.dst, found.dst_port)
        if found.flags & SYN or key not in self._known:
            if key in self._known and self._known[key].sent == 0:
                return  # the SYN again
            self._known[key] = _Numbers(found.seq + bool(found.flags & SYN))
        numbers = self._known[key]
        if not found.text_bytes:
            return
        end = unwrap(found.seq, numbers.first + numbers.sent) + found.text_bytes - numbers.first
        name = "sequence_sent" if end > numbers.sent else "sequence_retransmitted"
        self._add(numbers, name, now, end)
        numbers.sent = max(numbers.sent, end)

    def _acked(self, found: Read, now: float) -> None:
        numbers = self._known.get((found.dst, found.dst_port, found.src, found.src_port))
        if numbers is None:
            return
        near = numbers.first + numbers.acked
        acked = min(unwrap(found.ack, near) - numbers.first, numbers.sent)
        if acked > numbers.acked:
            numbers.acked = acked
            self._add(numbers, "sequence_acked", now, acked)
        blocks = () if found.options is None else found.options.sack_blocks
        if blocks:
            end = unwrap(blocks[0][1], near) - numbers.first
            if end != numbers.sacked:
                numbers.sacked = end
                self._add(numbers, "sequence_sacked", now, end)

    def _add(self, numbers: _Numbers, name: str, now: float, value: int) -> None:
        track = numbers.tracks.get(name)
        if track is None:
            track = numbers.tracks[name] = Track(name, "", _UNITS[name])
        track.add(now - self._opened_at, value)


def _is_host(node: Node) -> bool:
    from pystack.stack.host import Host

    return isinstance(node.device, Host) and not isinstance(node.device, Router)
