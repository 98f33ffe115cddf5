"""What the limits of all protocols have in common: each is greater than 0."""

from dataclasses import dataclass, fields

from pystack.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of a protocol are a dataclass on top of this. Raises ConfigError when built wrong."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigError(f"limit {field.name} is {value}; it must be greater than 0")
