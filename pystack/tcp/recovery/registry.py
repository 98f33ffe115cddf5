"""The loss recoveries by name, and how one is asked for."""

from collections.abc import Mapping
from typing import Final

from pystack.core.plugins import Group
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

RECOVERIES: Final = Group[LossRecovery](
    "recovery",
    BUILT_IN,
    "next_lost",
    given=2,
    trial=(Tcb(iss=1, mtu_mss=1460), RttEstimator()),
    each="connection",
)


def loss_recovery(value: RecoveryLike, tcb: Tcb, rtt: RttEstimator) -> LossRecovery:
    """Make a connection's loss recovery. Raises ConfigError.

    Where SACK was not agreed on, what needs it (`needs_sack`) gives way to NewReno.
    """
    chosen = RECOVERIES.recall(value)
    if not tcb.sack_permitted and getattr(chosen.factory, "needs_sack", False):
        return NewRenoRecovery(tcb, rtt)
    return chosen(tcb, rtt)
