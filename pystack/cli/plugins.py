"""The command `pystack plugins`."""

from typing import Any, Final

from pystack.apps.service import SERVICES
from pystack.core.plugins import Group
from pystack.link.impair.registry import IMPAIRMENTS
from pystack.link.qdisc.registry import QDISCS
from pystack.observe.registry import OBSERVERS
from pystack.runtime.ports import PORTS
from pystack.tcp.congestion.registry import CONTROLS
from pystack.tcp.recovery.registry import RECOVERIES

GROUPS: Final[tuple[Group[Any], ...]] = (
    PORTS,
    IMPAIRMENTS,
    QDISCS,
    CONTROLS,
    RECOVERIES,
    SERVICES,
    OBSERVERS,
)


def plugins_command() -> None:
    """List the available plug-ins, by group, and where they come from."""
    for group in GROUPS:
        print(group.entry_points)
        names = [(name, "built in") for name in group.built_in]
        for name, entry in group.installed().items():
            source = entry.dist.name if entry.dist is not None else "?"
            names.append((name, f"{source}: {entry.value}"))
        for name, source in sorted(names):
            print(f"  {name:<20} {source}")
