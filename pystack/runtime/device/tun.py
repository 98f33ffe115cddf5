"""TUN and TAP devices of Linux by ioctl(2), as <linux/if_tun.h> has them; and ioctl(2) itself.

A device lives as long as its descriptor is open, or, made persistent by others, is taken over. It
is opened non-blocking, and programs that are started do not inherit it. Raises OSError.
"""

import os
import struct
from typing import Final

# As _IOW is encoded everywhere but on MIPS, PowerPC and SPARC
_TUNSETIFF: Final = 0x400454CA
_TUNSETOFFLOAD: Final = 0x400454D0
_TUNSETVNETHDRSZ: Final = 0x400454D8
_IFF_TUN: Final = 0x0001
_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000  # nothing before the frame that tells its protocol
_IFF_VNET_HDR: Final = 0x4000  # but a virtio_net_hdr
# The first 40 bytes of struct ifreq: a name, and for flags a short
_IFREQ: Final = struct.Struct("16sH22x")
_CLONE: Final = "/dev/net/tun"


class OpenTun:
    """A device that is open."""

    __slots__ = ("_fd", "name")

    def __init__(self, name: str, fd: int) -> None:
        self.name = name  # not what was asked for where that was "tap%d"
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def close(self) -> None:
        """Give the device back. To be called once."""
        os.close(self._fd)


def attach(name: str, *, tap: bool, vnet_header: bool) -> OpenTun:
    """Make or take over the device of that name: with frames (`tap`), or with bare IP packets."""
    flags = (_IFF_TAP if tap else _IFF_TUN) | _IFF_NO_PI
    if vnet_header:
        flags |= _IFF_VNET_HDR
    fd = os.open(_CLONE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = ioctl(fd, _TUNSETIFF, _IFREQ.pack(os.fsencode(name), flags))
    except BaseException:
        os.close(fd)
        raise
    given, _ = _IFREQ.unpack(answer)
    return OpenTun(os.fsdecode(given.rstrip(b"\0")), fd)


def set_offload(fd: int, flags: int, header_bytes: int) -> bool:
    """Tell the kernel which frames it may hand over unfinished (TUN_F_*); False: it does not.

    `header_bytes`: the length of the virtio_net_hdr before each; 0: there is none.
    """
    import fcntl  # here, for not every platform has it: who only looks does not need it

    try:
        if header_bytes:
            fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", header_bytes))
        fcntl.ioctl(fd, _TUNSETOFFLOAD, flags)
    except OSError:
        return False
    return True


def ioctl(fd: int, request: int, argument: bytes) -> bytes:
    """Ask the kernel; return what it has made of the argument."""
    import fcntl

    return fcntl.ioctl(fd, request, argument)
