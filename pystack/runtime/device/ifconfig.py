"""The kernel's interfaces and routes by ioctl(2), as netdevice(7) and <net/route.h> have them.

Enough to put a TAP device on a network without any program for it. All of it is about the network
namespace that the caller is in. Raises OSError.
"""

import ctypes
import fcntl
import os
import socket
import struct
from contextlib import suppress
from typing import Final

from pystack.core.addresses import Ip4, Mac, Prefix

# <linux/sockios.h>
_SIOCADDRT: Final = 0x890B
_SIOCDELRT: Final = 0x890C
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_SIOCSIFMTU: Final = 0x8922
_SIOCSIFHWADDR: Final = 0x8924
_IFF_UP: Final = 0x1
_ARPHRD_ETHER: Final = 1
_RTF_UP: Final = 0x1
_RTF_GATEWAY: Final = 0x2
_RTF_HOST: Final = 0x4

# struct ifreq: the name, then a union of which 24 bytes are enough for all that is used here
_IFREQ_SOCKADDR: Final = struct.Struct("16s16s8x")
_IFREQ_INT: Final = struct.Struct("16si20x")
_IFREQ_FLAGS: Final = struct.Struct("16sH22x")
_SOCKADDR_IN: Final = struct.Struct("=HH4s8x")
_SOCKADDR_MAC: Final = struct.Struct("=H6s8x")
# struct rtentry; @ for the padding before pointers
_RTENTRY: Final = struct.Struct("@L16s16s16sHhLPhPLLH")


def set_mac(interface: str, mac: Mac) -> None:
    """Give an interface its MAC address."""
    _ioctl(
        _SIOCSIFHWADDR,
        _IFREQ_SOCKADDR.pack(os.fsencode(interface), _SOCKADDR_MAC.pack(_ARPHRD_ETHER, mac)),
    )


def set_mtu(interface: str, mtu_bytes: int) -> None:
    """Give an interface its MTU."""
    _ioctl(_SIOCSIFMTU, _IFREQ_INT.pack(os.fsencode(interface), mtu_bytes))


def set_up(interface: str) -> None:
    """Bring an interface up."""
    name = os.fsencode(interface)
    _, flags = _IFREQ_FLAGS.unpack(_ioctl(_SIOCGIFFLAGS, _IFREQ_FLAGS.pack(name, 0)))
    _ioctl(_SIOCSIFFLAGS, _IFREQ_FLAGS.pack(name, flags | _IFF_UP))


def set_address(interface: str, address: Ip4, prefix: Prefix) -> None:
    """Give an interface its address, in place of the first one that it had."""
    name = os.fsencode(interface)
    for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, prefix.netmask)):
        _ioctl(request, _IFREQ_SOCKADDR.pack(name, _sockaddr(value)))


def add_route(prefix: Prefix, *, via: Ip4 | None, interface: str) -> None:
    """Send what is for a block to a gateway; `via` None: the block is on the link itself.

    Nothing happens where that route is there already.
    """
    with suppress(FileExistsError):
        _route(_SIOCADDRT, prefix, via, interface)


def delete_default_routes(interface: str) -> None:
    """Take away the routes to everywhere that go out of an interface."""
    with suppress(ProcessLookupError):  # ESRCH: there is none any more
        while True:
            _route(_SIOCDELRT, Prefix.of(0, 0), None, interface)


def _route(request: int, prefix: Prefix, via: Ip4 | None, interface: str) -> None:
    flags = _RTF_UP | (_RTF_GATEWAY if via is not None else 0)
    if prefix.length == 32:
        flags |= _RTF_HOST
    device = ctypes.create_string_buffer(os.fsencode(interface))
    entry = _RTENTRY.pack(
        0,
        _sockaddr(prefix.network),
        _sockaddr(via or 0),
        _sockaddr(prefix.netmask),
        flags,
        0,
        0,
        0,
        0,
        ctypes.addressof(device),
        0,
        0,
        0,
    )
    _ioctl(request, entry)


def _sockaddr(address: int) -> bytes:
    return _SOCKADDR_IN.pack(socket.AF_INET, 0, address.to_bytes(4, "big"))


def _ioctl(request: int, argument: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        return fcntl.ioctl(control, request, argument)
