"""Names: those of a network, as a DNS server asks for them, and what is above one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    """What is called how. Asked for each query, so it may change.

    Names are as in `pystack.wire.dns`, addresses are text.
    """

    addresses_of: Callable[[str], tuple[str, ...] | None]  # None: there is no such name
    name_of: Callable[[str], str | None]  # None: nobody has that address
    all_names: Callable[[], Iterable[str]]  # that have addresses
    # There is no name but these and those of the records: the network is all there is.
    are_all: bool = True


def parent_of(name: str) -> str:
    """Return a name without its first label; that of the root is the root."""
    return name[_first_label_end(name) + 1 :]


def _first_label_end(name: str) -> int:
    """Return where the first label ends: at a dot that stands for itself."""
    at = 0
    while at < len(name) and name[at] != ".":
        at += 2 if name[at] == "\\" else 1
    return at


def ancestors_of(name: str) -> list[str]:
    """Return a name, the one above it, and so on, up to the root."""
    found = [name]
    while name:
        name = parent_of(name)
        found.append(name)
    return found
