"""The congestion controls by name, and how one is asked for.

`fixed:20` is `fixed segments 20`: see `core/plugins.py`.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from pystack.core.plugins import Group
from pystack.tcp.congestion.base import CongestionControl
from pystack.tcp.congestion.bbr.control import Bbr
from pystack.tcp.congestion.cubic import Cubic
from pystack.tcp.congestion.dctcp import Dctcp
from pystack.tcp.congestion.fixed import Fixed
from pystack.tcp.congestion.guarded import check_control
from pystack.tcp.congestion.newreno import NewReno
from pystack.tcp.congestion.prague import Prague

ControlFactory = Callable[[int], CongestionControl]

# How one asks for a control: its name with its words, or what makes it of the SMSS in bytes.
ControlLike = str | Mapping[str, object] | ControlFactory

BUILT_IN: Final[dict[str, ControlFactory]] = {
    "cubic": Cubic,
    "newreno": NewReno,
    "dctcp": Dctcp,
    "bbr": Bbr,
    "prague": Prague,
    "fixed": Fixed,
}

_TRIAL_SMSS_BYTES: Final = 1460
CONTROLS: Final = Group[CongestionControl](
    "congestion",
    BUILT_IN,
    "on_ack",
    trial=(_TRIAL_SMSS_BYTES,),
    each="connection",
    check=check_control,
)


@lru_cache(maxsize=64)
def unopened_control(value: str | ControlFactory, mss_bytes: int) -> CongestionControl:
    """Return what connections have that are only being opened: it is read, and told nothing.

    Nothing is told to a control before `on_established`, so one serves them all; each gets its own
    when the handshake has settled the segment size.
    """
    return CONTROLS.recall(value)(mss_bytes)
