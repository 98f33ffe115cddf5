"""The congestion controls by name: the built-in ones, and those of the entry points."""

from collections.abc import Callable
from typing import Final

from pystack.core.plugins import find
from pystack.tcp.congestion.base import CongestionControl
from pystack.tcp.congestion.cubic import Cubic
from pystack.tcp.congestion.fixed import Fixed
from pystack.tcp.congestion.newreno import NewReno

GROUP: Final = "pystack.congestion"

BUILT_IN: Final[dict[str, Callable[[int], CongestionControl]]] = {
    "cubic": Cubic,
    "newreno": NewReno,
    "fixed": Fixed,
}


def congestion_control(name: str) -> Callable[[int], CongestionControl]:
    """Return what makes a connection's control, given its SMSS in bytes; ConfigError if unknown."""
    return find(GROUP, name, BUILT_IN)
