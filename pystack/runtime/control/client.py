"""The other side of the control socket: a connection that makes calls, and waits for answers.

It is plain and sync: a command needs no more.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from pystack.core.called import typed
from pystack.core.errors import ConfigError, DeviceError
from pystack.runtime.control.errors import ControlError
from pystack.runtime.control.places import SUFFIX, running

ANSWER_S: Final = 30.0
_READ_BYTES: Final = 1 << 16


class ControlGoneError(DeviceError):
    """Nobody is there any more: what was controlled has ended."""


def find(wanted: str | None) -> Path:
    """Return the socket that is meant: a path, the beginning of a name, or the only one there is.

    Raises ConfigError.
    """
    if wanted is not None and ("/" in wanted or os.path.exists(wanted)):
        return Path(wanted)
    known = running()
    if not known:
        raise ConfigError(
            f"nothing to control is running: start `{typed('up')}` or `{typed('lab run')}` "
            "with --control"
        )
    meant = [path for path in known if wanted is None or path.name.startswith(wanted)]
    if len(meant) == 1:
        return meant[0]
    names = ", ".join(path.name.removesuffix(SUFFIX) for path in meant or known)
    if not meant:
        raise ConfigError(f"nothing to control is called {wanted!r} (there are: {names})")
    raise ConfigError(f"several are running: say which with --socket (there are: {names})")


class ControlClient:
    """A connection to a control socket, for a `with` block."""

    def __init__(self, path: Path) -> None:
        """Connect. Raises DeviceError."""
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray()
        self._number = 0
        try:
            # Waits for its turn behind others; with a time-out it would fail at once.
            self._socket.connect(os.fspath(path))
        except OSError as error:
            self._socket.close()
            raise DeviceError(f"cannot connect to {path}: {error.strerror or error}") from None
        self._socket.settimeout(ANSWER_S)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor, to wait for with others."""
        return self._socket.fileno()

    def call(self, name: str, arguments: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Make a call; return its answer. Raises ControlError, ControlGoneError."""
        self.ask(name, arguments)
        return self._checked(self._line())["result"]

    def ask(self, name: str, arguments: Mapping[str, object] | None = None) -> None:
        """Send a call. Raises ControlGoneError."""
        self._number += 1
        asked = {"id": self._number, "call": name, "arguments": arguments or {}}
        try:
            self._socket.sendall(json.dumps(asked).encode() + b"\n")
        except OSError:
            raise self._gone() from None

    def updates(self) -> Iterator[Any]:
        """Yield what a call of `watch` tells, as messages. Raises ControlError, ControlGoneError.

        It waits for the next one without an end: nothing is told while nothing changes.
        """
        self._socket.settimeout(None)
        while True:
            yield self._checked(self._line())

    def received(self) -> list[Any]:
        """Return the messages that are there; for one who has waited for the descriptor."""
        data = self._received()
        self._buffer += data
        found = []
        while (end := self._buffer.find(b"\n")) >= 0:
            found.append(self._checked(bytes(self._buffer[:end])))
            del self._buffer[: end + 1]
        return found

    def _line(self) -> bytes:
        looked = 0
        while (end := self._buffer.find(b"\n", looked)) < 0:
            looked = len(self._buffer)
            self._buffer += self._received()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _received(self) -> bytes:
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            raise DeviceError(f"{self.path} has not answered within {ANSWER_S:g} s") from None
        except OSError:
            raise self._gone() from None
        if not data:
            raise self._gone()
        return data

    def _gone(self) -> ControlGoneError:
        return ControlGoneError(f"{self.path.name.removesuffix(SUFFIX)} has ended")

    def _checked(self, line: bytes) -> Any:  # noqa: ANN401 - JSON
        message = json.loads(line)
        if "error" in message:
            raise ControlError(message["error"])
        return message
