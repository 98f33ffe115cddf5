"""The first difference between two runs, told: what was the same, what each did, and why maybe."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

from pystack.observe.dissect import dissect
from pystack.observe.explain.story import Box
from pystack.observe.journal import Entry
from pystack.testing.runs import carried

MOST_FIELDS: Final = 12  # that are shown of a frame
_MOST_SIGNS: Final = 60  # of a value
_NEAR_S: Final = 3 * 86400  # how near to now an instant is the machine's

# They follow from the rest of the frame
_SUMS: Final = ("checksum", "Checksum", "sum")
_TLS_RECORDS: Final = range(20, 25)
_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HTTP_DATE: Final = re.compile(rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
_SECONDS: Final = re.compile(rb"(?<!\d)(\d{10})(?:\d{3}|\d{6}|\d{9}|\.\d+)?(?!\d)")


@dataclass
class Difference:
    """Where two runs part, and what is known of it."""

    number: int  # of the first entry that differs, from 1
    before: Sequence[Entry]  # the last that both have
    first: Sequence[Entry]  # from there on, of either run; nothing: it has ended
    second: Sequence[Entry]
    outcomes: tuple[str, str]  # how they ended; "": that was not waited for
    names: tuple[str, str] = ("the first run", "the second run")
    threads: bool = False  # real threads had a part in them
    hash_seeds: tuple[str, str] | None = None  # PYTHONHASHSEED of both; None: one process
    third: str = ""  # what a third run did there: "first", "second", "other"; "": not tried
    comes_later: bool = False  # what the second run carries there, the first one carries later
    hints: list[str] = field(default_factory=list)

    @property
    def at(self) -> float | None:
        """When they part, in the world's time; None: they differ in how they end alone."""
        return min((entries[0].at for entries in self._both if entries), default=None)

    @property
    def _both(self) -> tuple[Sequence[Entry], Sequence[Entry]]:
        return self.first, self.second

    def __str__(self) -> str:
        """Return all of it."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Return it in lines, the first of which says where it is."""
        one, other = self.names
        if self.at is None:
            lines = [f"{one} and {other} end differently, after {self.number - 1:,} equal events"]
        else:
            lines = [f"{one} and {other} part at event {self.number:,}, at {self.at:.6f} s"]
        if self.before:
            lines += ["", f"the same in both (the last {len(self.before)}):"]
            lines += [f"  {_line(entry)}" for entry in self.before]
        for name, entries, outcome in zip(self.names, self._both, self.outcomes, strict=True):
            lines += ["", f"{name}:"]
            lines += [f"  {line}" for line in _told(entries, outcome)]
        if fields := self._fields():
            lines += ["", "what differs:", *(f"  {line}" for line in fields)]
        return [*lines, "", "why, maybe:", *(f"  {line}" for line in self.why())]

    def _fields(self) -> list[str]:
        if not (self.first and self.second):
            return []
        return list(differing_fields(self.first[0], self.second[0]))

    def why(self) -> list[str]:
        """Return what is known to make such a difference, the likeliest first."""
        found = [*self.hints, *self._order(), *_signs(self.first, self.second), *self._other_runs()]
        if self.threads:
            found.append(
                "real threads (trio.to_thread) had a part in it: what they do while the network's "
                "time stands still comes in the machine's order; host.run_sync has threads that "
                "take turns"
            )
        return found or [
            "nothing that could be recognized: something that is not the world's (a module's "
            "counter or cache, id(), or in code on no host the machine's time and chance)"
        ]

    def _other_runs(self) -> Iterator[str]:
        """Yield what to say of what a third run did there, in this process."""
        if self.third == "second" and self.hash_seeds:
            yield (
                "a third run did as the second, which had the same PYTHONHASHSEED "
                f"({self.hash_seeds[1]}; the first {self.hash_seeds[0]}): the order of a set or of "
                "keys by hash() is in it (sort them, or settle PYTHONHASHSEED), or something else "
                "of a process (its number, its environment, its directory)"
            )
        elif self.third == "second":
            yield (
                "a third run did as the second: the first one left something behind (a cache, a "
                "counter of a module, an import, a row in a database), so that a program begins "
                "elsewhere"
            )
        elif self.third == "other":
            yield "a third run did something else again: it is drawn, counted or timed anew"

    def _order(self) -> Iterator[str]:
        """Yield what to say where the same things happen, in another order."""
        if not (self.first and self.second):
            return
        one, other = self.first[0], self.second[0]
        swapped = one.at == other.at and _has(self.second, one) and _has(self.first, other)
        if (swapped or self.comes_later) and not self.hash_seeds:
            yield (
                "the same happens in another order: that of a set of objects, whose hash is their "
                "address (id()), or of real threads: use a list or a dict, or sort them"
            )
        elif swapped or self.comes_later:
            yield "the same happens in another order"
        elif one.happened()[2:] == other.happened()[2:] and one.kind == other.kind:
            yield (
                "the same happens at another instant: something waited for the machine's time "
                "(time.time in code on no host, a real thread or process) or for a random one"
            )


def differing_fields(one: Entry, other: Entry) -> Iterator[str]:
    """Yield in which fields two entries differ: of the frame, or of the event."""
    if one.kind != other.kind:
        return
    for name, left, right in zip(one.names(), one.values, other.values, strict=True):
        if left != right:
            yield f"{name}: {_cut(left)} / {_cut(right)}"
    if one.data == other.data:
        if one.at != other.at:
            yield f"time: {one.at!r} s / {other.at!r} s"
        return
    shown = 0
    sums: list[str] = []
    for box, left_box in zip(dissect(one.data), dissect(other.data), strict=False):
        if box.title != left_box.title:
            yield f"{box.title} / {left_box.title}"
            return
        for line in _differing(box, left_box):
            if any(word in line for word in _SUMS):
                sums.append(line)
            elif shown < MOST_FIELDS:
                shown += 1
                yield line
    if not shown:
        yield from sums
        yield f"the bytes: {_bytes(one.data, other.data)} / {_bytes(other.data, one.data)}"


def _differing(one: Box, other: Box) -> Iterator[str]:
    for left, right in zip(one.headers, other.headers, strict=False):
        if (left.name, left.value) != (right.name, right.value):
            name = left.name if left.name == right.name else f"{left.name} / {right.name}"
            yield f"{one.title}, {name}: {_cut(left.value)} / {_cut(right.value)}"
    for box, rest in (
        (one, one.headers[len(other.headers) :]),
        (other, other.headers[len(one.headers) :]),
    ):
        for each in rest:
            yield f"{box.title}, {each.name}: only one has it: {_cut(each.value)}"


def _bytes(data: bytes, other: bytes) -> str:
    """Return where bytes differ first, and what is there."""
    pairs = zip(data, other, strict=False)
    at = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(data), len(other)))
    return f"{data[at : at + 12].hex(' ') or 'nothing'} from byte {at} on"


def _told(entries: Sequence[Entry], outcome: str) -> Iterator[str]:
    """Yield what a run did where they part, and who it was."""
    for number, entry in enumerate(entries[:3]):
        yield _line(entry)
        if not number and entry.maker:
            yield f"{'':10}by {entry.maker}"
    if not entries:
        yield f"nothing more happens; {outcome or 'it has ended'}"
    elif outcome:
        yield outcome


def _line(entry: Entry) -> str:
    return f"{entry.at:.6f}  {entry}"


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MOST_SIGNS else f"{text[:_MOST_SIGNS]}..."


def _has(entries: Sequence[Entry], wanted: Entry) -> bool:
    return any(entry.happened() == wanted.happened() for entry in entries)


def _signs(first: Sequence[Entry], second: Sequence[Entry]) -> Iterator[str]:
    """Yield what the bytes look like that differ."""
    if not (first and second) or first[0].data == second[0].data:
        return
    texts = [carried(first[0]), carried(second[0])]
    if not all(texts):
        return
    if all(_is_tls(text) for text in texts):
        yield (
            "TLS: on hosts OpenSSL draws from the world; a key or a certificate that is made anew "
            "in each run (by trustme, cryptography) does not: keep it in a file; nor does TLS of "
            "code on no host"
        )
    elif any(_is_machines_time(text) for text in texts):
        yield (
            "an instant of the machine's calendar is in it: it was made by code on no host (there "
            "time.time and datetime.now are the machine's), or by a library in C"
        )
    elif all(_UUID.search(text) for text in texts):
        yield (
            "there is a UUID in it: it was drawn by code on no host, where uuid4, random and "
            "os.urandom are the machine's"
        )


def _is_tls(text: bytes) -> bool:
    return len(text) > 5 and text[0] in _TLS_RECORDS and text[1] == 3 and text[2] <= 4


def _is_machines_time(text: bytes) -> bool:
    now = time.time()
    for found in _HTTP_DATE.findall(text):
        if abs(parsedate_to_datetime(found.decode()).timestamp() - now) < _NEAR_S:
            return True
    if any(abs(int(found) - now) < _NEAR_S for found in _SECONDS.findall(text)):
        return True
    return any(time.strftime(form, time.gmtime(now)).encode() in text for form in ("%Y-%m-%dT%H",))
