"""A packet's way over several links drawn as one arrow, where the nodes between are not shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from pystack.observe.passage import Passage

_IPV4 = b"\x08\x00"


def over(passages: Iterable[Passage], hidden: Collection[str]) -> list[Passage]:
    """Return them with those through hidden nodes joined: from the first sender to where it came.

    Each has to begin before the packet's next one, as it does on the tape.
    """
    joined: list[Passage] = []
    at_hidden: dict[tuple[str, bytes], int] = {}  # where among `joined` is what came to a node
    for passage in passages:
        packet = _packet(passage.frame.data)
        at = at_hidden.pop((passage.sender, packet), None)
        if at is None:
            at = len(joined)
            joined.append(passage)
        else:
            first = joined[at]
            joined[at] = replace(
                passage,
                sender=first.sender,
                entered_at=first.entered_at,
                begins_at=first.begins_at,
                sent_at=first.sent_at,
                number=first.number,
                changes=first.changes + passage.changes,
            )
        if passage.receiver in hidden:
            at_hidden[passage.receiver, packet] = at
    return joined


def _packet(data: bytes | memoryview) -> bytes:
    """Return what stays the same of a packet from node to node: no MACs, hop limit, ECN."""
    data = bytes(data)
    if data[12:14] == _IPV4:
        return data[16:22] + data[26:]
    return data[18:21] + data[22:]
