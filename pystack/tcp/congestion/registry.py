"""The congestion controls by name: the built-in ones, and those of the entry points.

A name may carry a setting behind a colon, for controls that have one: `fixed:20`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.plugins import find
from pystack.tcp.congestion.base import CongestionControl
from pystack.tcp.congestion.bbr.control import Bbr
from pystack.tcp.congestion.cubic import Cubic
from pystack.tcp.congestion.dctcp import Dctcp
from pystack.tcp.congestion.fixed import Fixed
from pystack.tcp.congestion.newreno import NewReno

GROUP: Final = "pystack.congestion"

ControlFactory = Callable[[int], CongestionControl]

BUILT_IN: Final[dict[str, ControlFactory]] = {
    "cubic": Cubic,
    "newreno": NewReno,
    "dctcp": Dctcp,
    "bbr": Bbr,
    "fixed": Fixed,
}


def congestion_control(name: str) -> ControlFactory:
    """Return what makes a connection's control, given its SMSS in bytes; ConfigError if unknown.

    A setting goes to the class method `configured` of the control, which returns such a maker.
    """
    if not isinstance(name, str):
        raise ConfigError(f"the name of a congestion control is a text, not {name!r}")
    kind, colon, setting = name.partition(":")
    made: ControlFactory = find(GROUP, kind, BUILT_IN)
    if not colon:
        return made
    configured: Callable[[str], ControlFactory] | None = getattr(made, "configured", None)
    if configured is None:
        raise ConfigError(f"congestion {kind!r} has nothing to set: {name!r}")
    return configured(setting)


@lru_cache(maxsize=64)
def unopened_control(name: str, mss_bytes: int) -> CongestionControl:
    """Return what connections have that are only being opened: it is read, and told nothing.

    Nothing is told to a control before `on_established`, so one serves them all; each gets its own
    when the handshake has settled the segment size.
    """
    return congestion_control(name)(mss_bytes)
