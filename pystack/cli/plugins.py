"""The command `pystack plugins`."""

from collections.abc import Iterable

from pystack.apps import service
from pystack.core.plugins import GROUPS, installed
from pystack.link.impair import registry as impairments
from pystack.link.qdisc import registry as qdiscs
from pystack.observe import registry as observers
from pystack.runtime import ports
from pystack.tcp.congestion import registry as congestion
from pystack.tcp.recovery import registry as recovery


def plugins_command() -> None:
    """List what can be plugged in, by group, and from where it comes."""
    built_in: dict[str, Iterable[str]] = {
        "pystack.congestion": congestion.BUILT_IN,
        "pystack.impairment": impairments.BUILT_IN,
        "pystack.observer": observers.BUILT_IN,
        "pystack.port": ports.BUILT_IN,
        "pystack.qdisc": qdiscs.BUILT_IN,
        "pystack.recovery": recovery.BUILT_IN,
        "pystack.service": service.BUILT_IN,
    }
    for group in GROUPS:
        print(group)
        names = [(name, "built in") for name in built_in.get(group, ())]
        for name, entry in installed(group).items():
            source = entry.dist.name if entry.dist is not None else "?"
            names.append((name, f"{source}: {entry.value}"))
        for name, source in sorted(names):
            print(f"  {name:<20} {source}")
        if not names:
            print("  none")
