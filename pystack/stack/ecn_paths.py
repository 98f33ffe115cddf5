"""Which paths let no SYN through that asks for accurate ECN (RFC 9768 section 3.1.4.1).

One failure says nothing: SYNs get lost. Where three connections in a row came about only when their
SYNs asked no more, the next ones do not ask, for an hour; then one tries again.
"""

from __future__ import annotations

from typing import Final

from pystack.core.addresses import Ip
from pystack.tcp.ecn_path import EcnPath

MAX_PATHS: Final = 1024  # the one that failed first makes room
FAILURES: Final = 3  # in a row
AVOID_S: Final = 3600.0


class EcnPaths:
    """What one host remembers, by the address of the peer."""

    __slots__ = ("_failed",)

    def __init__(self) -> None:
        self._failed: dict[Ip, tuple[int, float]] = {}  # how often in a row, and when last

    def towards(self, peer: Ip, now: float) -> EcnPath:
        """Return what an active open goes by, and tells."""
        failures, at = self._failed.get(peer, (0, 0.0))
        is_blocked = failures >= FAILURES and now < at + AVOID_S
        return EcnPath(
            is_blocked,
            lambda: self._failed.pop(peer, None),
            lambda: self._failed_again(peer, now),
        )

    def _failed_again(self, peer: Ip, now: float) -> None:
        failures, _ = self._failed.pop(peer, (0, 0.0))
        while len(self._failed) >= MAX_PATHS:
            del self._failed[next(iter(self._failed))]
        self._failed[peer] = failures + 1, now
