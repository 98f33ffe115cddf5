"""The loss recoveries by name: the built-in ones, and those of the entry points."""

from typing import Final

from pystack.core.plugins import find
from pystack.tcp.recovery.base import LossRecovery, RecoveryFactory
from pystack.tcp.recovery.names import AUTO, GROUP
from pystack.tcp.recovery.newreno import NewRenoRecovery
from pystack.tcp.recovery.rack import RackRecovery
from pystack.tcp.recovery.sack import SackRecovery
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.tcb import Tcb

BUILT_IN: Final[dict[str, RecoveryFactory]] = {
    "newreno": NewRenoRecovery,
    "sack": SackRecovery,
    "rack": RackRecovery,
}
_NEED_SACK: Final = frozenset({AUTO, "sack", "rack"})


def loss_recovery(name: str, tcb: Tcb, rtt: RttEstimator) -> LossRecovery:
    """Make a connection's loss recovery; ConfigError if unknown.

    "auto" is RACK-TLP. Where SACK was not agreed on, what needs it gives way to NewReno.
    """
    if name in _NEED_SACK and not tcb.sack_permitted:
        return NewRenoRecovery(tcb, rtt)
    factory = find(GROUP, "rack" if name == AUTO else name, BUILT_IN)
    return factory(tcb, rtt)
