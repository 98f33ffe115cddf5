"""What serves tests: faults drawn by Hypothesis, the pytest plug-in, scripts of packetdrill.

The names are looked up when they are first used: this package is there in every run of pytest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pystack.runtime.conditions import Condition, ConditionError
    from pystack.runtime.faults import (
        Delayed,
        Fault,
        Faults,
        LinkDown,
        Lossy,
        Parted,
        PowerCut,
        Slowed,
    )
    from pystack.testing.fault_schedules import faults

__all__ = [
    "Condition",
    "ConditionError",
    "Delayed",
    "Fault",
    "Faults",
    "LinkDown",
    "Lossy",
    "Parted",
    "PowerCut",
    "Slowed",
    "faults",
]

_HOMES: Final = {
    name: f"pystack.{module}"
    for module, names in (
        ("runtime.conditions", "Condition ConditionError"),
        ("runtime.faults", "Delayed Fault Faults LinkDown Lossy Parted PowerCut Slowed"),
        ("testing.fault_schedules", "faults"),
    )
    for name in names.split()
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return one of the public names, from the module that it is in."""
        if name not in _HOMES:
            raise AttributeError(f"module 'pystack.testing' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        """Return what there is, looked up already or not."""
        return sorted({*globals(), *_HOMES})
