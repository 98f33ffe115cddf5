"""Signals that are read: who sent them, and that all is as before afterwards.

Each in a process of its own: here, a thread that Trio or another test has left would not have them
blocked, and take them, which ends the process.
"""

import os
import signal
import subprocess
import sys

import pytest

from pystack.runtime.lab.taken_signals import taking

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signalfd is Linux's")


@pytest.mark.parametrize("sender", ["process", "kernel"])
def test_a_signal_is_read_with_its_sender(sender: str) -> None:
    subprocess.run([sys.executable, __file__, sender], check=True, timeout=60)


def by_process() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with taking([signal.SIGUSR1, signal.SIGUSR2]) as signals:
        assert signals.read() == []
        subprocess.run(["kill", "-USR1", str(os.getpid())], check=True)
        os.kill(os.getpid(), signal.SIGUSR2)
        first, second = sorted(signals.read(), key=lambda it: it.number)
        assert first.number == signal.SIGUSR1
        assert first.sender not in (None, os.getpid())
        assert (second.number, second.sender) == (signal.SIGUSR2, os.getpid())
        assert signals.read() == []
        assert signals.mask == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def by_kernel() -> None:
    with taking([signal.SIGCHLD]) as signals:
        with subprocess.Popen(["true"]) as process:
            process.wait()
        (arrived,) = signals.read()
        assert (arrived.number, arrived.sender) == (signal.SIGCHLD, None)


if __name__ == "__main__":
    {"process": by_process, "kernel": by_kernel}[sys.argv[1]]()
