"""The names of a network, as a DNS server asks for them."""

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
