"""The kernel's interfaces and routes by ioctl(2), as netdevice(7) and <net/route.h> have them.

Enough to put a TAP device on a network without any program for it. All of it is about the network
namespace that the caller is in. Raises OSError.
"""

import ctypes
import errno
import os
import socket
import struct
from contextlib import suppress
from typing import Final

from pystack.core.addresses import Ip4, Mac, Prefix
from pystack.runtime.device import tun

# <linux/sockios.h>
_SIOCADDRT: Final = 0x890B
_SIOCDELRT: Final = 0x890C
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_SIOCGIFADDR: Final = 0x8915
_SIOCSIFADDR: Final = 0x8916
_SIOCGIFNETMASK: Final = 0x891B
_SIOCSIFNETMASK: Final = 0x891C
_SIOCGIFMTU: Final = 0x8921
_SIOCSIFMTU: Final = 0x8922
_SIOCSIFHWADDR: Final = 0x8924
_SIOCGIFTXQLEN: Final = 0x8942
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
    flags = _flags(interface) | _IFF_UP
    _ioctl(_SIOCSIFFLAGS, _IFREQ_FLAGS.pack(os.fsencode(interface), flags))


def is_up(interface: str) -> bool:
    """Tell whether somebody has brought it up."""
    return bool(_flags(interface) & _IFF_UP)


def mtu_of(interface: str) -> int:
    """Return an interface's MTU in bytes."""
    return _number(_SIOCGIFMTU, interface)


def queue_of(interface: str) -> int:
    """Return how many frames may wait for an interface (txqueuelen)."""
    return _number(_SIOCGIFTXQLEN, interface)


def address_of(interface: str) -> tuple[Ip4, Prefix] | None:
    """Return an interface's first address with its block; None: it has none."""
    name = os.fsencode(interface)
    values: list[int] = []
    for request in (_SIOCGIFADDR, _SIOCGIFNETMASK):
        try:
            answer = _ioctl(request, _IFREQ_SOCKADDR.pack(name, bytes(_SOCKADDR_IN.size)))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return None
            raise
        _, _, packed = _SOCKADDR_IN.unpack(_IFREQ_SOCKADDR.unpack(answer)[1])
        values.append(int.from_bytes(packed, "big"))
    address, mask = values
    return Ip4(address), Prefix.of(address & mask, mask.bit_count())


def set_address(interface: str, address: Ip4, prefix: Prefix) -> None:
    """Give an interface its address, in place of the first one that it had."""
    name = os.fsencode(interface)
    for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, prefix.netmask)):
        _ioctl(request, _IFREQ_SOCKADDR.pack(name, _sockaddr(value)))


def remove_address(interface: str) -> None:
    """Take an interface's first address away."""
    _ioctl(_SIOCSIFADDR, _IFREQ_SOCKADDR.pack(os.fsencode(interface), _sockaddr(0)))


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


def _flags(interface: str) -> int:
    answer = _ioctl(_SIOCGIFFLAGS, _IFREQ_FLAGS.pack(os.fsencode(interface), 0))
    flags: int = _IFREQ_FLAGS.unpack(answer)[1]
    return flags


def _number(request: int, interface: str) -> int:
    answer = _ioctl(request, _IFREQ_INT.pack(os.fsencode(interface), 0))
    number: int = _IFREQ_INT.unpack(answer)[1]
    return number


def _sockaddr(address: int) -> bytes:
    return _SOCKADDR_IN.pack(socket.AF_INET, 0, address.to_bytes(4, "big"))


def _ioctl(request: int, argument: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        return tun.ioctl(control.fileno(), request, argument)
