"""The chance of code on hosts, in virtual time: `random`, `os.urandom` and all that ask them.

A host has two sources, made of its world's seed and its name: one that a program may seed
(`random.seed`) and one that it may not (`os.urandom`). Neither is that of any impairment, so what a
program draws does not change which packets are lost.
"""

from __future__ import annotations

import _random
import os
import random
import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from pystack.runtime.borrowed.loan import Borrow
from pystack.runtime.borrowed.sources import Chance, Own, current_world
from pystack.runtime.current import current_host

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

Function = Callable[..., Any]

# Held here, as `clock.py` holds its own.
_URANDOM: Final = os.urandom
_GETRANDOM: Final[Function | None] = getattr(os, "getrandom", None)  # None: not on this system
_SHARED: Final[random.Random] = getattr(random, "_inst")  # noqa: B009 - that of the functions
_UUID_STATE: Final[tuple[str, ...]] = (
    "_last_timestamp",
    "_last_timestamp_v6",
    "_last_timestamp_v7",
    "_last_counter_v7",
)


def chance_here() -> Chance | None:
    """Return the chance of the host that the code is on, or of its world; None: the machine's."""
    at: BareHost | Own | None = current_host.get() or current_world.get()
    return None if at is None else at.chance


def lend(borrow: Borrow) -> None:
    """Lend it."""
    borrow.function(_URANDOM, _urandom)
    if _GETRANDOM is not None:
        borrow.function(_GETRANDOM, _getrandom)
    _lend_random(borrow)
    _lend_file_names(borrow)
    borrow.when_imported("ssl", _lend_ssl)
    borrow.when_imported("uuid", _lend_uuid)


def _urandom(original: Function) -> Function:
    def urandom(size: int, /) -> bytes:
        chance = chance_here()
        if chance is None or not _is_size(size):
            return original(size)  # type: ignore[no-any-return]
        return bytes(chance.entropy.randbytes(size))

    return urandom


def _getrandom(original: Function) -> Function:
    def getrandom(size: int, flags: int = 0) -> bytes:
        chance = chance_here()
        if chance is None or not _is_size(size):
            return original(size, flags)  # type: ignore[no-any-return]
        return bytes(chance.entropy.randbytes(size))

    return getrandom


def _is_size(size: object) -> bool:
    """Tell whether it is one; the original has the right error for what is not."""
    return isinstance(size, int) and 0 <= size < sys.maxsize


# random


def _lend_random(borrow: Borrow) -> None:
    """Lend the functions of `random`, which are methods of one generator, and unseeded others.

    Two of them are written in C. The others are written in Python over these two and over three
    methods of the type below, which are asked seldom enough to be replaced for all generators, and
    stay so.
    """
    borrow.function(random.random, _drawn("random"))
    borrow.function(random.getrandbits, _drawn("getrandbits"))
    borrow.exchange(_OfWorlds())
    kind = _random.Random
    seed, getstate, setstate = (kind.__dict__[name] for name in ("seed", "getstate", "setstate"))

    def world_seed(self: random.Random, *args: object) -> None:
        chance = chance_here()
        if chance is not None:
            if not args or args[0] is None:
                args = (chance.entropy.getrandbits(128),)
            if self is _SHARED:
                self = chance.random
        seed(self, *args)

    def world_getstate(self: random.Random) -> object:
        return getstate(_drawn_from(self))

    def world_setstate(self: random.Random, state: object) -> None:
        setstate(_drawn_from(self), state)

    borrow.lasting_method(kind, "seed", world_seed)
    borrow.lasting_method(kind, "getstate", world_getstate)
    borrow.lasting_method(kind, "setstate", world_setstate)


def _drawn(method: str) -> Callable[[Function], Function]:
    def make(original: Function) -> Function:
        def drawn(*args: object) -> object:
            chance = chance_here()
            return original(*args) if chance is None else getattr(chance.random, method)(*args)

        return drawn

    return make


def _drawn_from(generator: random.Random) -> random.Random:
    """Return what a generator stands for here: the shared one is each host's own."""
    chance = chance_here() if generator is _SHARED else None
    return generator if chance is None else chance.random


class _Shared(random.Random):
    """What the shared generator is while it is lent."""

    def random(self) -> float:
        """Draw from the host's."""
        chance = chance_here()
        return super().random() if chance is None else chance.random.random()

    def getrandbits(self, k: int, /) -> int:
        """Draw from the host's."""
        chance = chance_here()
        return super().getrandbits(k) if chance is None else chance.random.getrandbits(k)

    # What `gauss` keeps for its next call
    @property
    def gauss_next(self) -> float | None:
        """Return the host's."""
        chance = chance_here()
        kept = self.__dict__ if chance is None else vars(chance.random)
        return cast("float | None", kept.get("gauss_next"))

    @gauss_next.setter
    def gauss_next(self, value: float | None) -> None:
        chance = chance_here()
        kept = self.__dict__ if chance is None else vars(chance.random)
        kept["gauss_next"] = value


class _OfWorlds:
    """Makes the shared generator one of worlds, and again what it was."""

    def do(self) -> None:
        _SHARED.__class__ = _Shared

    def undo(self) -> None:
        _SHARED.__class__ = random.Random


def _lend_file_names(borrow: Borrow) -> None:
    names = tempfile._get_candidate_names  # type: ignore[attr-defined]

    def world_names() -> object:
        chance = chance_here()
        return names() if chance is None else chance.file_names

    borrow.attribute(tempfile, "_get_candidate_names", world_names)


# ssl, uuid


def _lend_ssl(borrow: Borrow) -> None:
    import ssl

    def rand_bytes(original: Function) -> Function:
        def random_bytes(size: int, /) -> bytes:
            chance = chance_here()
            if chance is None or not _is_size(size):
                return original(size)  # type: ignore[no-any-return]
            return bytes(chance.entropy.randbytes(size))

        return random_bytes

    borrow.function(ssl.RAND_bytes, rand_bytes)


def _lend_uuid(borrow: Borrow) -> None:
    """Lend what UUIDs are made of: the host's MAC, and what the module remembers for its next."""
    import uuid

    for name in ("uuid1", "uuid6", "uuid7"):
        if hasattr(uuid, name):
            borrow.python_function(getattr(uuid, name), _uuid_by_time)
    borrow.python_function(uuid.getnode, _node)


def _uuid_by_time(original: Function) -> Function:
    state = original.__globals__

    def by_time(*args: object, **words: object) -> object:
        chance = chance_here()
        if chance is None:
            return original(*args, **words)
        outside = {name: state[name] for name in _UUID_STATE if name in state}
        # By the library of the system, which asks the machine: not at all
        by_system = state.get("_generate_time_safe")
        state.update(dict.fromkeys(outside))
        state.update(chance.uuid_state)
        state["_generate_time_safe"] = None
        try:
            return original(*args, **words)
        finally:
            chance.uuid_state = {name: state[name] for name in outside}
            state.update(outside)
            state["_generate_time_safe"] = by_system

    return by_time


def _node(original: Function) -> Function:
    def getnode() -> int:
        here = current_host.get()
        if here is None or here.clock is None:
            return original()  # type: ignore[no-any-return]
        for interface in here.interfaces:
            if interface.neighbors is not None:
                return int.from_bytes(interface.mac)
        return 0x02_00_00_00_00_00  # it has no link: locally administered, and of nobody

    return getnode
