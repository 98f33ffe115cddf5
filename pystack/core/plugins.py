"""Plug-ins: the built-in ones from a dictionary, the others from entry points of the same group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

GROUPS: Final = (
    "pystack.port",
    "pystack.impairment",
    "pystack.qdisc",
    "pystack.congestion",
    "pystack.recovery",
    "pystack.service",
    "pystack.observer",
)


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the third parties' plug-ins of a group by name, not loaded yet."""
    # With all that it drags in (e-mail, zip archives) it takes 15 ms, and few need it.
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=group)}


def find(group: str, name: str, built_in: Mapping[str, T]) -> T:
    """Return a plug-in by name; a built-in one goes before a third party's.

    Raises ConfigError for one that does not load, and for a name that nobody has.
    """
    if name in built_in:
        return built_in[name]
    others = installed(group)
    kind = group.removeprefix("pystack.")
    if name in others:
        try:
            plugin: T = others[name].load()
        except Exception as error:  # whatever a stranger's module does when it is imported
            raise ConfigError(f"{kind} {name!r} ({others[name].value}): {error}") from error
        return plugin
    known = sorted({*built_in, *others})
    raise ConfigError(f"there is no {kind} {name!r}{suggest(name, known)}")
