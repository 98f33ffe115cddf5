"""Why an upstream is not reached, for the log: once, until it is reached or the reason is another.

Its clients hear of it by resets alone, and whoever has misspelled a name would never know.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pystack.apps.proxy.endpoints import reason

if TYPE_CHECKING:
    from pystack.apps.proxy.model import Proxy

_log: Final = logging.getLogger("pystack.proxy")


class Trouble:
    """What is wrong with the upstream of a proxy."""

    __slots__ = ("_proxy", "_said")

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._said: tuple[str, str] | None = None  # of which upstream, and why; None: all is well

    def met(self, error: OSError) -> None:
        """Count what it did not take, and say why, unless that was said."""
        self._proxy.counts.refused += 1
        found = self._proxy.upstream, reason(error)
        if found != self._said:
            self._said = found
            _log.warning("%s: upstream %s: %s", self._proxy.name, *found)

    def over(self) -> None:
        """Know that it was reached."""
        self._said = None
