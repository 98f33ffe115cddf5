"""PacketPort: a Port whose other end is an interface behind a packet socket (`packet_device.py`).

All is as with a TAP, but that arriving frames are not read: they lie in memory already, in slots
that go round. The kernel says of each slot when it is full, and is told when it is free again.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
import threading
from typing import Final

from pystack.runtime.device.packet_device import PacketDevice, dropped
from pystack.runtime.device.tap import TapPort
from pystack.runtime.device.tap_device import VNET_HEADER_BYTES, TapDevice, takes_big_tcp

# struct tpacket2_hdr as far as is needed: status, its length, what is here of it, where it starts
_SLOT: Final = struct.Struct("=IIIH")
_STATUS: Final = struct.Struct("=I")
_FULL: Final = 1  # TP_STATUS_USER
_LOSING: Final = 4  # TP_STATUS_LOSING
_GONE: Final = frozenset((errno.ENXIO, errno.ENODEV, errno.ENETDOWN))
# Where a processor may read a frame before it has read that the frame is there
_WEAK_ORDER: Final = platform.machine() not in ("x86_64", "AMD64", "i386", "i686")


def port_of(device: TapDevice, mtu_bytes: int) -> TapPort:
    """Return the port of a device of either kind, behind which is the kernel itself."""
    if isinstance(device, PacketDevice):
        return PacketPort(device, mtu_bytes)
    return TapPort(device, mtu_bytes, big=_takes_big(device))


def _takes_big(device: TapDevice) -> bool:
    return device.offload and takes_big_tcp(os.uname().release)


class PacketPort(TapPort):
    """The frames of a packet socket as a Port."""

    __slots__ = ("_at", "_barrier", "_lead_bytes", "_memory", "_number", "_socket", "_starts")

    def __init__(self, device: PacketDevice, mtu_bytes: int) -> None:
        """Begin with the first slot: nobody has read from the device."""
        super().__init__(device, mtu_bytes, big=_takes_big(device))
        assert device.memory is not None
        self._memory = device.memory
        self._starts = device.ring.starts()
        self._number = 0
        self._socket = socket.socket(fileno=device.fd)  # to ask by; the device closes it
        self._lead_bytes = VNET_HEADER_BYTES if device.offload else 0
        self._barrier = threading.Lock()

    def close(self) -> None:
        """Give the device back. A second close does nothing."""
        self._socket.detach()
        super().close()

    def _read(self, most_bytes: int) -> bytes:
        if self._device is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        memory, at = self._memory, self._starts[self._number]
        status, full_bytes, here_bytes, start = _SLOT.unpack_from(memory, at)
        if not status & _FULL:
            self._look_why()
        if _WEAK_ORDER:
            self._order()
        start += at
        raw = memory[start - self._lead_bytes : start + here_bytes]
        if _WEAK_ORDER:
            self._order()
        _STATUS.pack_into(memory, at, 0)
        self._number += 1
        if self._number == len(self._starts):
            self._number = 0
        if status & _LOSING:
            self.counters.add("tap_ring_full", dropped(self._socket))
        if full_bytes > here_bytes:
            return bytes(most_bytes)  # cut off, and counted as that
        return raw

    def _look_why(self) -> None:
        """Raise OSError: there is nothing now, or never will be."""
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in _GONE:
            raise OSError(errno.EBADFD, os.strerror(errno.EBADFD))  # as a TAP says it
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _order(self) -> None:
        """Let what was read and written before be done: a lock is a barrier of memory."""
        with self._barrier:
            pass

    def _why_lost(self, number: int | None) -> str:
        if number in _GONE:
            return "tap_gone"
        if number == errno.ENOBUFS:  # the interface is down, or its queue is full
            return "tap_down"
        return super()._why_lost(number)
