"""The errors of the package: one tree, so that a user can catch all of them.

Wrong use raises at once. What comes from the network never raises into the caller: hostile bytes
raise `WireError` inside the stack, which is caught at the layer's entry and counted by its reason.
"""

import errno
import os


class PystackError(Exception):
    """Base class of pystack's own errors."""


class ConfigError(PystackError, ValueError):
    """The user asked for something impossible. Raised when built, never later."""


class DeviceError(PystackError, OSError):
    """A device of the operating system is not available, or has gone."""


class OutputError(ConfigError, OSError):
    """A file that was named cannot be written."""


class RangeError(ConfigError, OSError):
    """A value is outside of what there is, where sockets have EINVAL: both kinds of error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.errno, self.strerror = errno.EINVAL, text


class WireError(PystackError):
    """Bytes that are not what they should be. The reason is the name of a counter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def one_line(error: BaseException) -> str:
    """Return what an error says, in a form that fits into a sentence."""
    text = " ".join(str(error).split())
    return text if text.isprintable() else repr(text)[1:-1]


def error_of(number: int, detail: str | None = None) -> OSError:
    """Return the OSError of an errno: of its subclass, where there is one."""
    text = os.strerror(number)
    return OSError(number, text if detail is None else f"{text}: {detail}")
