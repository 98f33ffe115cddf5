"""How a step is put together: its words, what is known of its kind, its frames, the states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pystack.core.errors import WireError
from pystack.observe.amounts import duration
from pystack.observe.dissect import dissect
from pystack.observe.explain.conversation import Conversation
from pystack.observe.explain.kept import Kept
from pystack.observe.explain.knowledge import table
from pystack.observe.explain.seen import Seen
from pystack.observe.explain.story import Shown, Step
from pystack.observe.passage import LOST, SEEN
from pystack.observe.summary import summarize
from pystack.tcp.seq import unwrap
from pystack.wire.frame import Frame, completed
from pystack.wire.tcp import ACK, flag_names

MOST_FRAMES: Final = 8  # that a step shows

Detail = tuple[str, str, str]

# Steps that begin at the same instant are told in this order, others after them
_ORDER: Final = (
    "resolve",
    "resolve_cached",
    "address",
    "no_route",
    "route",
    "neighbor",
    "neighbor6",
    "syn",
    "syn_ack",
    "handshake",
    "hop",
    "tls_hello",
    "tls_answer",
    "tls_finished",
    "message",
    "request",
    "reuse",
    "upgrade",
    "answer",
    "segments",
    "loss",
)


def rank(kind: str) -> int:
    """Return where a step of this kind stands among those of the same instant."""
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


# Why a frame did not arrive, by the name of its counter
LOSSES: Final[Mapping[str, str]] = {
    "loss": "chance lost it, as the line's `loss` says",
    "drop": "the line was told to lose this one (`drop`)",
    "black_hole": "a black hole on the line takes what it matches, and tells nobody",
    "link_down": "the link was down",
    "link_mtu": "it was larger than the link takes",
    "codel_drop": "CoDel dropped it, for packets had waited too long in its queue for too long",
    "fq_codel_drop": "FQ-CoDel dropped it, for this flow's packets had waited for too long",
    "red_early": "RED dropped it early, by chance, for its queue was growing",
    "pie_drop": "PIE dropped it early, by chance, for its queue was growing",
}


class Words:
    """Makes steps."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def step(
        self,
        kind: str,
        at: float,
        until: float,
        title: str,
        text: str,
        *,
        actors: Sequence[str] = (),
        details: Iterable[Detail] = (),
        frames: Iterable[Kept] = (),
        states: Iterable[tuple[str, str]] = (),
        values: Mapping[str, str] | None = None,
        trouble: bool = False,
        protocol: str = "",
    ) -> Step:
        """Return a step of a kind that the table of knowledge has; some are told by protocol."""
        known = table().get(f"{kind}-{protocol}") or table()[kind]
        filled = dict(values or {})
        return Step(
            kind,
            at,
            max(at, until),
            title,
            text,
            known.layer5,
            known.layer7,
            tuple(actors),
            list(details),
            [self.shown(kept) for kept in list(frames)[:MOST_FRAMES]],
            [(node, state) for node, state in states if state],
            known.owner,
            list(known.sources),
            known.commands_with(filled),
            known.node,
            known.python,
            trouble,
        )

    def shown(self, kept: Kept) -> Shown:
        """Return a frame with its boxes."""
        passage = kept.passage
        data = _bytes_of(passage.frame)
        return Shown(
            passage.number,
            passage.entered_at,
            passage.sender or self.seen.who(kept.read.src),
            passage.receiver or self.seen.who(kept.read.dst),
            self._summary(kept),
            dissect(data),
            data,
            fate(kept),
        )

    def _summary(self, kept: Kept) -> str:
        """Return a frame in a few words; TCP's numbers count from the first byte."""
        frame = kept.read
        if frame.kind != "tcp":
            return summarize(kept.passage.frame)
        flags = [name for name in flag_names(frame.flags).split() if name not in ("ACK", "PSH")]
        said = [" ".join(flags)] if flags else []
        conversation = self.seen.conversation_of(frame)
        if conversation is None:
            return f"TCP {', '.join(said) or 'segment'}, {frame.size} bytes"
        number = conversation.side_of(frame)
        side, other = conversation.sides[number], conversation.sides[1 - number]
        if frame.size and side.origin is not None:
            first = unwrap(frame.seq, side.origin + side.next_new) - side.origin + 1
            said.append(f"bytes {first:,} to {first + frame.size - 1:,}")
        if frame.flags & ACK and other.origin is not None:
            got = unwrap(frame.ack, other.origin + other.next_new) - other.origin + 1
            said.append(f"ACK {got:,}" if not flags or frame.size else "ACK")
        return f"TCP {frame.src_port} > {frame.dst_port}: {', '.join(said)}"

    def states(self, conversation: Conversation, at: float) -> list[tuple[str, str]]:
        """Return the states of both ends, as far as they are known."""
        return [
            (side.node, conversation.state_at(number, at))
            for number, side in enumerate(conversation.sides)
        ]

    def values(self, conversation: Conversation) -> dict[str, str]:
        """Return what commands about a connection have to name."""
        client, server = conversation.sides
        return {
            "client": client.address,
            "server": server.address,
            "client_port": str(client.port),
            "port": str(server.port),
            "interface": self.interface(client.node, server.address),
            "name": self.name_of(server.address),
            "url_host": f"[{server.address}]" if ":" in server.address else server.address,
            "version": "6" if ":" in server.address else "4",
        }

    def interface(self, node: str, destination: str) -> str:
        """Return the interface by which a node sends there, as far as it is known; else "any"."""
        for route in self.seen.routes:
            if route.host == node and route.destination == destination and route.interface:
                return route.interface
        return "any"

    def name_of(self, address: str) -> str:
        """Return the name that somebody looked up for an address, or the address."""
        for event in self.seen.look_ups:
            if address in event.addresses:
                return event.name
        return self.seen.who(address)

    def title(self) -> str:
        """Return a title for a story that was given none."""
        for conversation in self.seen.conversations.values():
            client, server = conversation.sides
            return f"{client.node} talks to {server.node} on TCP port {server.port}"
        for exchange in self.seen.exchanges.values():
            return f"{exchange.nodes[0]} sends datagrams to {exchange.nodes[1]}"
        return "What was seen"


def _bytes_of(frame: Frame) -> bytes:
    """Return a frame as a stranger would see it; one in parts as it was handed down."""
    if not frame.gso_bytes:
        try:
            return completed(frame).data
        except WireError:
            pass
    return frame.data


def fate(kept: Kept) -> str:
    """Return what became of a packet: on its link, or in the end where it crossed several."""
    passage = kept.passage
    if passage.lost:
        return f"lost: {passage.lost}"
    if kept.lost_on is not None:
        further = kept.lost_on
        return f"lost on {further.sender} to {further.receiver}: {kept.lost}"
    if passage.end == SEEN or passage.end == LOST or passage.arrives_at is None:
        return ""
    words = [f"arrived after {duration(passage.arrives_at - passage.entered_at)}"]
    if passage.queued_s:
        words.append(f"{duration(passage.queued_s)} of them in the queue")
    words += [f"{change.what} {change.detail}".rstrip() for change in passage.changes]
    if passage.refused:
        words.append(f"refused there: {passage.refused}")
    return ", ".join(words)


def why_lost(reason: str) -> str:
    """Return a counter's name in words."""
    if reason in LOSSES:
        return LOSSES[reason]
    if reason.endswith(("_full", "_limit", "_overlimit")):
        return f"the queue had no room ({reason})"
    return f"dropped there, counted as `{reason}`"
