"""Who is told of every network that opens in this context: what watches a whole run.

Beside `current.py`, and not in it: that is for code on a host, which needs no network to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pystack.runtime.network import Network

onlookers: Final[ContextVar[tuple[Callable[[Network], object], ...]]] = ContextVar(
    "pystack_onlookers", default=()
)
