"""Signals as things to be read, with who sent them: signalfd(2).

A wrapper around a command must know whether a signal came from the terminal, which sends it to the
command as well, or from somebody who means the command and knows the wrapper alone. Handlers of
Python are not told. For as long as signals are taken they are blocked, in all threads that are
started meanwhile, and in processes: those are given `mask`, which is what was before.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import DeviceError

_SFD_NONBLOCK: Final = os.O_NONBLOCK if hasattr(os, "O_NONBLOCK") else 0  # <sys/signalfd.h>
_SFD_CLOEXEC: Final = os.O_CLOEXEC if hasattr(os, "O_CLOEXEC") else 0
_SET_LONGS: Final = 1024 // (8 * ctypes.sizeof(ctypes.c_ulong))  # sigset_t of glibc and musl
_INFO_BYTES: Final = 128  # struct signalfd_siginfo
_INFO: Final = struct.Struct("=IiiI")  # its beginning: number, errno, code, pid
_MOST_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Arrived:
    """A signal that has come."""

    number: int
    sender: int | None  # the id of a process; None: the kernel sent it, as a terminal's


class TakenSignals:
    """What has come of some signals, by a descriptor that can be waited for."""

    def __init__(self, fd: int, mask: frozenset[int]) -> None:
        self.fd = fd
        self.mask = mask  # of the signals that were blocked before

    def read(self) -> list[Arrived]:
        """Return those that have come, without waiting."""
        found: list[Arrived] = []
        with suppress(BlockingIOError):
            while data := os.read(self.fd, _INFO_BYTES * _MOST_AT_ONCE):
                for at in range(0, len(data), _INFO_BYTES):
                    number, _, code, pid = _INFO.unpack_from(data, at)
                    # sigaction(2): what a process sends has a code of 0 or less.
                    found.append(Arrived(number, pid if code <= 0 else None))
        return found


@contextmanager
def taking(signals: Iterable[int]) -> Iterator[TakenSignals]:
    """Take signals for the length of the block, in a process that has one thread only as yet.

    Raises DeviceError where the platform has no such descriptors.
    """
    numbers = frozenset(signals)
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "signalfd"):
        raise DeviceError("signals of a command can be passed on to it on Linux only")
    bits = (ctypes.c_ulong * _SET_LONGS)()
    for number in numbers:
        at, bit = divmod(number - 1, 8 * ctypes.sizeof(ctypes.c_ulong))
        bits[at] |= 1 << bit
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        fd = libc.signalfd(-1, ctypes.byref(bits), _SFD_NONBLOCK | _SFD_CLOEXEC)
        if fd < 0:
            raise DeviceError(f"signals cannot be taken: {os.strerror(ctypes.get_errno())}")
        try:
            yield TakenSignals(fd, frozenset(map(int, before)))
        finally:
            os.close(fd)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
