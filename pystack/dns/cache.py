"""What a host remembers of names: answers for their time to live, and that there were none.

RFC 1034 section 5.3.3, RFC 2308. It never has more than so many entries: the one that was looked
for longest ago goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from pystack.dns.answers import Answer, Question, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANY_KIND = 0  # of a name that there is not: it has nothing of any kind


class Cache:
    """Answers by their questions, each until its time is over."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Question, tuple[float, Answer]] = OrderedDict()

    def find(self, question: Question, now: float) -> Answer | None:
        """Return what is known and still holds."""
        for key in (question, Question(question.name, _ANY_KIND)):
            entry = self._entries.get(key)
            if entry is None:
                continue
            if now < entry[0]:
                self._entries.move_to_end(key)
                return entry[1]
            del self._entries[key]
        return None

    def keep(self, question: Question, answer: Answer, now: float) -> None:
        """Remember an answer for its time to live; what failed, or has none, is not kept."""
        if answer.ttl_s <= 0:  # also of what has failed
            return
        if answer.status is Status.NO_NAME and not answer.aliases:
            question = Question(question.name, _ANY_KIND)
        self._entries[question] = now + answer.ttl_s, answer
        self._entries.move_to_end(question)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def __len__(self) -> int:
        """Return how many there are, those included whose time is over."""
        return len(self._entries)

    def __iter__(self) -> Iterator[Question]:
        """Go through what was asked for."""
        return iter(list(self._entries))
