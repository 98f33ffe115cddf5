"""`pystack up` as a program that tests start, talk to and end."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import netns as namespaces
import pytest

URL: Final = "http://10.77.0.2"


def needs(program: str) -> pytest.MarkDecorator:
    """Leave a test out where a program is not installed, and say so."""
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed here"
    )


class Stack:
    """A running `pystack up`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.ready = namespaces.read_line(process)
        self._log = log

    @property
    def log(self) -> str:
        """Return its standard error so far."""
        return self._log.read_text()

    def wait(self, timeout_s: float = namespaces.TIMEOUT_S) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(timeout_s)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit status."""
        self.process.send_signal(number)
        return self.wait()


StackUp = Callable[..., Stack]
