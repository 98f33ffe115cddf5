"""Python in a script: it sees the connection's variables, and asserts what they should be."""

from __future__ import annotations

import textwrap

from pystack.tcp.connection import Connection
from pystack.testing.packetdrill.constants import INFO_NAMES
from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.script import Event
from pystack.testing.packetdrill.tcp_info import tcp_info


class Interpreter:
    """The names that all Python of one script has in common."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._names: dict[str, object] = dict(INFO_NAMES)

    def run(self, text: str, event: Event, connection: Connection | None, now: float) -> None:
        """Run a piece of Python. MismatchError: an assertion fails, or anything else goes wrong."""
        if connection is not None:
            self._names.update(tcp_info(connection, now))
        # A line may end with a backslash, also the last.
        source = textwrap.dedent(text.lstrip(" \t").rstrip()) + "\n\n"
        # So that a traceback has the line of the script.
        source = "\n" * (event.line - 1) + source
        try:
            exec(compile(source, self._path, "exec"), self._names)
        except AssertionError as error:
            said = f": {error}" if str(error) else ""
            raise MismatchError(f"an assertion fails{said}", *self._look_up(text)) from None
        except SyntaxError as error:
            raise MismatchError(f"not Python: {error.msg}") from None
        except NameError as error:
            raise MismatchError(f"{error} (known: {self._known()})") from None
        except Exception as error:
            raise MismatchError(f"{type(error).__name__}: {error}") from None

    def _look_up(self, text: str) -> list[str]:
        """Return the values of all tcpi_ names in the text."""
        return [
            f"{name} is {value}"
            for name, value in self._names.items()
            if name.startswith("tcpi_") and name in text
        ]

    def _known(self) -> str:
        names = sorted(name for name in self._names if name.startswith("tcpi_"))
        return ", ".join(names) if names else "no tcpi_ field before there is a connection"
