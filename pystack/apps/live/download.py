"""The tape as a pcapng file, for Wireshark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pystack.observe.captures.fate import fate
from pystack.observe.captures.pcap import PcapngWriter
from pystack.observe.passage import SEEN, Passage

if TYPE_CHECKING:
    from pystack.apps.live.feed import Feed

FRAMES_A_PART: Final = 100  # so many are written before others run


class _Part:
    """A file whose contents are taken away now and then."""

    def __init__(self) -> None:
        self._records: list[bytes] = []

    def write(self, record: bytes, /) -> object:
        """Keep it."""
        self._records.append(record)
        return len(record)

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        data = b"".join(self._records)
        self._records.clear()
        return data


def pcapng(feed: Feed) -> Iterator[bytes]:
    """Yield a capture of what is on the tape, part by part, with what befell each frame."""
    feed.downloads += 1
    try:
        yield from _parts(feed)
    finally:
        feed.downloads -= 1


def _parts(feed: Feed) -> Iterator[bytes]:
    left_out = feed.tape.left_out
    note = f"{left_out} frames more were counted and not kept" if left_out else ""
    file = _Part()
    writer = PcapngWriter(
        file, feed.world.wall_clock_offset_s, names=feed.world.names, describe=lambda place: note
    )
    count, now = 0, feed.world.now()
    for kept in feed.tape.items():
        passage = kept.item
        if not isinstance(passage, Passage):
            continue
        # Of a link, both directions are there; what an interface saw came in or went out.
        outbound = bool(passage.sender) if passage.end == SEEN else None
        known = passage.end != SEEN or passage.refused
        writer.write(
            passage.frame,
            passage.entered_at,
            place=passage.place,
            outbound=outbound,
            comment="; ".join(fate([passage], late=False)) if known else "",
        )
        count += 1
        if count % FRAMES_A_PART == 0:
            yield file.taken()
    writer.close(now)
    yield file.taken()
