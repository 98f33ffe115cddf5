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


def ancestors_of(name: str) -> list[str]:
    """Return a name, the one above it, and so on, up to the root."""
    found = [name]
    at = 0
    while True:
        at = name.find(".", at) + 1
        if not at:
            return [*found, ""] if name else found
        before = name[: at - 1]
        # A dot that stands for itself has an even number of backslashes before it.
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            found.append(name[at:])
