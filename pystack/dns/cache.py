"""What a host remembers of names: answers for their time to live, and that there were none.

RFC 1034 section 5.3.3, RFC 2308. It never has more than so many entries, nor many times as many
records, of which one answer may have a thousand: what was looked for longest ago goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from pystack.dns.answers import Answer, Question, Status
from pystack.wire.dns import MAX_RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDS_AN_ENTRY: Final = 8  # on average
_ANY_KIND: Final = 0  # of a name that there is not: it has nothing of any kind


class Cache:
    """Answers by their questions, each until its time is over."""

    __slots__ = ("_entries", "_limit", "_records")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Question, tuple[float, Answer]] = OrderedDict()
        self._records = 0  # of all entries

    def find(self, question: Question, now: float) -> Answer | None:
        """Return what is known and still holds."""
        for key in (question, Question(question.name, _ANY_KIND)):
            entry = self._entries.get(key)
            if entry is None:
                continue
            if now < entry[0]:
                self._entries.move_to_end(key)
                return entry[1]
            self._drop(key)
        return None

    def holds_for_s(self, question: Question, now: float) -> float:
        """Return for how long what `find` has returned still holds; 0.0: it does not."""
        for key in (question, Question(question.name, _ANY_KIND)):
            if key in self._entries:
                return max(self._entries[key][0] - now, 0.0)
        return 0.0

    def keep(self, question: Question, answer: Answer, now: float) -> None:
        """Remember an answer for its time to live; what failed, or has none, is not kept."""
        if answer.ttl_s <= 0:  # also of what has failed
            return
        if answer.status is Status.NO_NAME and not answer.aliases:
            question = Question(question.name, _ANY_KIND)
        self._drop(question)
        self._entries[question] = now + answer.ttl_s, answer
        self._records += len(answer.records)
        most = self._limit * RECORDS_AN_ENTRY + MAX_RECORDS  # whatever is learnt has room
        while len(self._entries) > self._limit or self._records > most:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._records = 0

    def _drop(self, question: Question) -> None:
        entry = self._entries.pop(question, None)
        if entry is not None:
            self._records -= len(entry[1].records)

    def __len__(self) -> int:
        """Return how many there are, those included whose time is over."""
        return len(self._entries)

    def __iter__(self) -> Iterator[Question]:
        """Go through what was asked for."""
        return iter(list(self._entries))
