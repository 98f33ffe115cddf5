"""`tell`: of a recording, or a stream of its items, a story.

One pass in the order of time. What is kept is bounded: conversations, turns, frames that are shown.
Each part of the telling has a file of its own; what is known about each kind of step beside the run
is in `knowledge.toml`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from pystack.core.tcp_events import (
    TcpMeasured,
    TcpRepair,
    TcpRetransmitted,
    TcpStateChanged,
)
from pystack.observe.explain import waterfall
from pystack.observe.explain.kept import Kept
from pystack.observe.explain.ledger import Leg
from pystack.observe.explain.reading import read
from pystack.observe.explain.seen import MOST_CONVERSATIONS, MOST_NOTES, Seen
from pystack.observe.explain.story import Story
from pystack.observe.explain.telling import (
    closing,
    datagrams,
    handshake,
    line,
    link,
    names,
    repair,
    transfer,
)
from pystack.observe.explain.words import Words, rank
from pystack.observe.flows import FlowTable
from pystack.observe.observer import (
    LookUp,
    Milestone,
    NeighborChanged,
    RouteChosen,
)
from pystack.observe.passage import LOST, SEEN, UNDER_WAY, Passage
from pystack.observe.recording import Item, Recording
from pystack.wire import tcp


def tell(
    items: Iterable[Item],
    about: Recording,
    *,
    title: str = "",
    links: Sequence[tuple[str, str, str]] = (),
) -> Story:
    """Return the story of what the items show; `about` says who is who, and what can be known.

    `title` and `links` (two nodes, and how it behaves) are those of `about` if not given.
    """
    telling = _Telling(about)
    for item in items:
        telling.feed(item)
    return telling.story(title or about.title, tuple(links or about.links))


class _Telling:
    """The pass: puts everything to where it belongs."""

    def __init__(self, about: Recording) -> None:
        self.seen = Seen(about)
        self._about = about
        self._coming: list[tuple[float, int, Kept, Leg]] = []  # under way, by arrival
        self._count = 0
        # What a file's segments were, as far as they tell: nobody else says it
        self._flows = None if about.knows_inside else FlowTable(MOST_CONVERSATIONS)
        self._copied: set[int] = set()  # frames of a file whose copies were told of

    def feed(self, item: Item) -> None:
        """Take the next item."""
        if isinstance(item, Passage):
            self._arrivals(item.entered_at)
            self._passage(item)
            return
        self._arrivals(item.at)
        seen = self.seen
        match item:
            case TcpStateChanged() | TcpRetransmitted() | TcpRepair() | TcpMeasured():
                self._tcp_event(item)
            case LookUp():
                seen.note(seen.look_ups, item)
            case RouteChosen():
                seen.note(seen.routes, item)
            case NeighborChanged():
                seen.note(seen.neighbors_changed, item)
            case Milestone():
                self._milestone(item)

    def story(self, title: str, links: Sequence[tuple[str, str, str]]) -> Story:
        """Return what is told of all that came."""
        self._arrivals(float("inf"))
        seen = self.seen
        words = Words(seen)
        steps = [
            *names.steps(seen, words),
            *link.steps(seen, words),
            *datagrams.steps(seen, words),
        ]
        for conversation in seen.conversations.values():
            steps += handshake.steps(conversation, seen, words)
            steps += transfer.steps(conversation, seen, words)
            steps += repair.steps(conversation, seen, words)
            steps += line.steps(conversation, words)
            steps += closing.steps(conversation, seen, words)
        steps.sort(key=lambda step: (step.at, rank(step.kind), step.until))
        story = Story(
            title or words.title(),
            places=list(self._about.order) or seen.places(),
            links=list(links),
            began_at=seen.began_at or 0.0,
            ended_at=seen.ended_at,
            steps=steps,
            unknown=seen.unknown(),
            outcome=self._about.outcome,
            setting=self._about.setting,
        )
        waterfall.fill(story, seen)
        return story

    # frames

    def _passage(self, passage: Passage) -> None:
        frame = read(passage.frame)
        kept = Kept(passage, frame)
        seen = self.seen
        if self._flows is not None and frame.kind == "tcp":
            segment = self._flows.feed(passage.entered_at, passage.frame.data, place=passage.place)
            if segment is not None:
                kept.was, kept.guess = segment.kind, segment.reason
                kept.is_first = not segment.original
        seen.count_frame(passage, frame)
        flow = seen.flow_of(frame)
        leg = seen.ledger.depart(passage, flow, frame.key or frame.kind)
        departs = seen.departs_here(passage, frame)
        if self._flows is not None and any(each.what == "duplicate" for each in passage.changes):
            seen.copied(kept)  # a capture that has each packet once does not have the copy
            self._copied.add(passage.number)
        if passage.copy_of is not None or (departs and kept.was == "duplicate"):
            if passage.copy_of is None or passage.copy_of.number not in self._copied:
                seen.copied(kept)
        elif departs:
            self._departs(kept, leg)
        else:
            seen.journey(kept)
            if frame.kind == "tcp":
                conversation = seen.conversation_of(frame)
                if conversation is not None and kept.lost:
                    conversation.lost_on_the_way(kept)
                elif conversation is not None and passage.queued_s:
                    conversation.queued(kept)
        for change in passage.changes:
            if frame.kind == "tcp" and (change.what == "reorder" or change.what.endswith("_mark")):
                conversation = seen.conversation_of(frame)
                if conversation is not None:
                    conversation.noticed(change.what, kept)
        if passage.end in (LOST, UNDER_WAY) and not (
            passage.end == UNDER_WAY and passage.arrives_at is not None
        ):
            seen.lost(kept)
            return
        at = passage.arrives_at if passage.arrives_at is not None else passage.entered_at
        if passage.end == SEEN:
            at = passage.entered_at
        self._count += 1
        heapq.heappush(self._coming, (at, self._count, kept, leg))

    def _arrivals(self, now: float) -> None:
        """All that is there by now."""
        while self._coming and self._coming[0][0] <= now:
            at, _, kept, leg = heapq.heappop(self._coming)
            self._arrives(kept, leg, at)

    def _departs(self, kept: Kept, leg: Leg) -> None:
        seen, frame = self.seen, kept.read
        seen.departed(kept)
        if frame.kind == "neighbor":
            seen.neighbor_departs(kept, leg)
        elif frame.kind == "tcp":
            conversation = seen.conversation_of(frame)
            is_syn = frame.flags & (tcp.SYN | tcp.ACK) == tcp.SYN
            if conversation is None or (is_syn and seen.is_another(conversation, frame)):
                conversation = seen.begin(frame)
            if conversation is not None:
                conversation.departs(kept, leg)
        elif frame.kind == "udp":
            seen.datagram_departs(kept, leg)
        elif frame.kind == "icmp":
            seen.icmp(kept)

    def _arrives(self, kept: Kept, leg: Leg, at: float) -> None:
        seen, frame, passage = self.seen, kept.read, kept.passage
        if kept.lost:
            seen.lost(kept)
            return
        if passage.end != SEEN:
            leg.is_answer = frame.kind == "neighbor" and frame.op == "answer"
            seen.ledger.arrive(leg)
        if not seen.arrives_here(passage, frame):
            return
        if frame.kind == "neighbor":
            seen.neighbor_arrives(kept, at)
        elif frame.kind == "tcp":
            conversation = seen.conversation_of(frame)
            if conversation is not None:
                conversation.arrives(seen.first_of(kept, at), at, frame.ecn)
                seen.last_arrival(leg, frame, at)
        elif frame.kind == "udp":
            seen.first_of(kept, at)
            seen.datagram_arrives(kept, at)
            seen.last_arrival(leg, frame, at)
        elif frame.kind == "icmp":
            seen.first_of(kept, at)
            if frame.is_error:
                seen.last_arrival(leg, frame, at)

    # events

    def _tcp_event(
        self, event: TcpStateChanged | TcpRetransmitted | TcpRepair | TcpMeasured
    ) -> None:
        conversation, number = self.seen.conversation_at(event.local, event.remote)
        if conversation is None:
            early = self.seen.early_states
            if isinstance(event, TcpStateChanged) and len(early) < MOST_NOTES:
                self.seen.early_states.setdefault((*event.local, *event.remote), []).append(
                    (event.at, event.new)
                )
            return
        match event:
            case TcpStateChanged():
                conversation.sides[number].states.append((event.at, event.new))
            case TcpRetransmitted():
                conversation.on_retransmitted(event)
            case TcpRepair():
                if len(conversation.repairs) < 400:
                    conversation.repairs.append(event)
            case TcpMeasured():
                conversation.on_measured(event, number)

    def _milestone(self, event: Milestone) -> None:
        seen = self.seen
        seen.note(seen.milestones, event)
        if event.local is None or event.remote is None:
            return
        conversation, _ = seen.conversation_at(event.local, event.remote)
        if conversation is not None:
            conversation.on_milestone(event.at, event.what, event.detail)
