"""The names of the loss recoveries, for those who must not import them."""

from typing import Final

from pystack.core.plugins import find

GROUP: Final = "pystack.recovery"
AUTO: Final = "auto"  # RACK-TLP where SACK was agreed on, else NewReno
NAMES: Final = (AUTO, "newreno", "sack", "rack")


def check(name: str) -> None:
    """Raise ConfigError for a name that nobody has."""
    find(GROUP, name, dict.fromkeys(NAMES))
