"""The error of a call."""

from pystack.core.errors import ConfigError


class ControlError(ConfigError):
    """A call that cannot be made: unknown, wrongly put, or not possible now. One sentence."""
