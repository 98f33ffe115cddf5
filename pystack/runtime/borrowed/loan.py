"""Loan: names that are borrowed from the standard library while at least one network wants them.

Who lends says so in a function that is given a `Borrow`. What is put in the place of a name looks
at `current_host` (`runtime/current.py`) at each call: code on no host gets what was there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from threading import Lock
from typing import Any

from pystack.runtime.borrowed.wiring import Rewired, check_supported, original_of, replace_in_type

_MISSING = object()


class Borrow:
    """What is borrowed now, until it is given back."""

    def __init__(self) -> None:
        self._back = ExitStack()

    def function(
        self, function: Callable[..., Any], make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> Callable[..., Any]:
        """Have a function written in C call another, for all who hold it; return the original.

        `make`: is given the original, and returns what is called from now on.
        """
        original = original_of(function)
        self._back.callback(Rewired(function, make(original)).undo)
        return original

    def method(self, kind: type, name: str, value: object) -> None:
        """Replace a member of a type that is written in C."""
        self._back.callback(replace_in_type, kind, name, replace_in_type(kind, name, value))

    def attribute(self, place: object, name: str, value: object) -> None:
        """Replace an attribute of a module, or of a class written in Python."""
        before = vars(place).get(name, _MISSING)
        setattr(place, name, value)
        if before is _MISSING:
            self._back.callback(delattr, place, name)
        else:
            self._back.callback(setattr, place, name, before)

    def give_back(self) -> None:
        """Put all back, the last first."""
        self._back.close()


class Loan:
    """A group of names that are borrowed together; counted, since networks may overlap."""

    def __init__(self, *terms: Callable[[Borrow], None]) -> None:
        """`terms`: each borrows something."""
        self._terms = terms
        self._borrowers = 0
        self._borrow = Borrow()
        self._lock = Lock()

    def take(self) -> None:
        """Borrow, for one network more. Raises ConfigError where that cannot be."""
        with self._lock:
            if self._borrowers == 0:
                check_supported()
                self._borrow = Borrow()
                try:
                    for term in self._terms:
                        term(self._borrow)
                except BaseException:
                    self._borrow.give_back()
                    raise
            self._borrowers += 1

    def give_back(self) -> None:
        """One network less; with the last of them all is as it was."""
        with self._lock:
            self._borrowers -= 1
            if self._borrowers == 0:
                self._borrow.give_back()
