"""What an active open is told of its path, and tells (RFC 9768 section 3.1.4.1)."""

from collections.abc import Callable
from typing import NamedTuple


class EcnPath(NamedTuple):
    """What is known of a path's SYNs that ask for accurate ECN, and whom to tell more."""

    is_blocked: bool  # none get through
    got_through: Callable[[], object]
    went_without: Callable[[], object]  # only one that did not ask did
