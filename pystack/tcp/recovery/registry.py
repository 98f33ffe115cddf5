"""The loss recoveries by name, and how one is asked for."""

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Final

from pystack.core.plugins import Chosen, Group
from pystack.tcp.recovery.base import LossRecovery, RecoveryFactory
from pystack.tcp.recovery.newreno import NewRenoRecovery
from pystack.tcp.recovery.rack import RackRecovery
from pystack.tcp.recovery.sack import SackRecovery
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.tcb import Tcb

# How one asks for a recovery: its name with its words, or what makes it of a `Tcb` and its
# `RttEstimator`.
RecoveryLike = str | Mapping[str, object] | RecoveryFactory

AUTO: Final = "auto"  # RACK-TLP where SACK was agreed on, else NewReno
BUILT_IN: Final[dict[str, RecoveryFactory]] = {
    AUTO: RackRecovery,
    "newreno": NewRenoRecovery,
    "sack": SackRecovery,
    "rack": RackRecovery,
}

_TRIAL_ISS: Final = 1
_TRIAL_MSS_BYTES: Final = 1460
RECOVERIES: Final = Group[LossRecovery](
    "recovery", BUILT_IN, "next_lost", given=2, each="connection"
)


def chosen_recovery(value: RecoveryLike) -> Chosen[LossRecovery]:
    """Return what makes a connection's loss recovery. Raises ConfigError."""
    try:
        return _recovery(value)
    except TypeError:  # what can be no key
        return _tried(value)


@lru_cache(maxsize=64)  # each connection asks
def _recovery(value: Hashable) -> Chosen[LossRecovery]:
    return _tried(value)


def _tried(value: object) -> Chosen[LossRecovery]:
    """Read it, and make one: what cannot be made is refused before a connection needs it."""
    chosen = RECOVERIES.read(value)
    chosen(Tcb(_TRIAL_ISS, _TRIAL_MSS_BYTES), RttEstimator())
    return chosen


def loss_recovery(value: RecoveryLike, tcb: Tcb, rtt: RttEstimator) -> LossRecovery:
    """Make a connection's loss recovery. Raises ConfigError.

    Where SACK was not agreed on, what needs it (`needs_sack`) gives way to NewReno.
    """
    chosen = chosen_recovery(value)
    if not tcb.sack_permitted and getattr(chosen.factory, "needs_sack", False):
        return NewRenoRecovery(tcb, rtt)
    return chosen(tcb, rtt)
