"""Opening a TAP of Linux: the device, the kernel's end of it, and the offloads that it grants.

Made with pytun, which has no ioctl for offloads, opens blocking and lets children inherit: the
rest is done here. An existing persistent device is taken over; then only what differs is changed,
so that a user to whom it belongs needs no privilege if root has set it up as wanted. Whatever goes
wrong is one sentence of a `DeviceError` that says what to do.
"""

import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from pystack.core.addresses import Ip4, Prefix, format_ip4
from pystack.core.errors import ConfigError, DeviceError
from pystack.runtime.device import routing

# <linux/if_tun.h>, as _IOW is encoded everywhere but on MIPS, PowerPC and SPARC
_TUNSETOFFLOAD: Final = 0x400454D0
_TUNSETVNETHDRSZ: Final = 0x400454D8
_TUN_F_CSUM: Final = 0x01
_TUN_F_TSO4: Final = 0x02
_TUN_F_TSO_ECN: Final = 0x08
# Both or neither, and since Linux 6.2 only. There is also TUN_F_UFO, which means nothing any more:
# the kernel takes it, and sends large datagrams in fragments as ever.
_TUN_F_USO: Final = 0x20 | 0x40
# The best first. Without any, frames come and go as on a cable.
_OFFLOADS: Final = (
    _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO_ECN | _TUN_F_USO,
    _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO_ECN,
    _TUN_F_CSUM | _TUN_F_TSO4,
    _TUN_F_CSUM,
)
_WORDS: Final = {
    _TUN_F_CSUM: "checksums",
    _TUN_F_TSO4: "TSO",
    _TUN_F_TSO_ECN: "TSO with ECN",
    _TUN_F_USO: "USO",
}
VNET_HEADER_BYTES: Final = 10  # struct virtio_net_hdr

_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFTXQLEN: Final = 0x8942
_IFF_UP: Final = 0x1
# <linux/netlink.h>, <linux/rtnetlink.h>, <linux/if_link.h>
_NLM_F_REQUEST: Final = 1
_RTM_NEWLINK: Final = 16
_IFLA_TXQLEN: Final = 13
_MESSAGE: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_LINK: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_NUMBER: Final = struct.Struct("=HHI")  # struct rtattr, and its value
_KERNELS_QUEUE_FRAMES: Final = 1000  # DEFAULT_TX_QUEUE_LEN
# With offload, where a bulk flow fills no queue but its window: what 1000 clients say at once, and
# their SYNs, has room. 32 flows made 4 Gbit/s over the kernel's own length and make 12 over this.
_QUEUE_FRAMES: Final = 4096
_NAME_MAX_BYTES: Final = 15  # IFNAMSIZ less the terminating zero


OUT_OF_FILES: Final = "this process may open no more files (the limit is `ulimit -n`)"


class OpenTap(Protocol):
    """What is needed of a device once it is set up."""

    name: str

    def close(self) -> None: ...
    def fileno(self) -> int: ...


class _TunTap(OpenTap, Protocol):
    """What is used of pytun's device."""

    addr: str
    netmask: str
    mtu: int

    def up(self) -> None: ...


class TapDevice:
    """An open TAP, its descriptor non-blocking and closed on exec."""

    __slots__ = ("_tun", "fd", "name", "offload", "offloads")

    def __init__(self, tun: OpenTap, *, offload: bool, offloads: int = 0) -> None:
        self._tun: OpenTap | None = tun  # None: closed
        self.fd = tun.fileno()
        self.name = tun.name  # not what was asked for where that was "tap%d"
        self.offload = offload  # every frame has a virtio_net_hdr before it, both ways
        self.offloads = offloads  # what the kernel has granted: TUN_F_*

    @property
    def cuts_datagrams(self) -> bool:
        """Tell whether the kernel takes and makes super-frames of datagrams (USO)."""
        return self.offloads & _TUN_F_USO == _TUN_F_USO

    @property
    def granted(self) -> str:
        """Return the offloads in words; "" for none."""
        return ", ".join(word for flag, word in _WORDS.items() if self.offloads & flag)

    def close(self) -> None:
        """Give the device back; one that is not persistent is gone. A second close does nothing."""
        if self._tun is None:
            return
        if self.offload:
            # A persistent device would go on making super-frames, also for a next owner who does
            # not know what they are.
            _ioctl(self.fd, _TUNSETOFFLOAD, 0)
        self._tun.close()
        self._tun = None


def takes_big_tcp(release: str) -> bool:
    """Tell whether a Linux of that release takes TCP over IPv4 in packets of more than 64 KiB."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= (6, 3)


def open_tap(
    name: str,
    *,
    mtu_bytes: int,
    host_address: tuple[Ip4, Prefix] | None,  # of the kernel's end; None: leave it as it is
    offload: bool,
    peers: Sequence[Ip4] = (),
) -> TapDevice:
    """Make or take over a TAP and bring it up. Raises ConfigError, DeviceError.

    `peers`: who is on our side of it. That the kernel sends packets for them elsewhere is an error.
    """
    check_name(name)
    if offload:
        tun = _attach(name, vnet_header=True)
        device = TapDevice(tun, offload=True)
        device.offloads = _enable_offload(device.fd)
        if not device.offloads:
            device.close()
            offload = False
    if not offload:
        tun = _attach(name, vnet_header=False)
        device = TapDevice(tun, offload=False)
        _ioctl(device.fd, _TUNSETOFFLOAD, 0)  # a persistent one may have some left over
    try:
        os.set_blocking(device.fd, False)
        os.set_inheritable(device.fd, False)
        undo = _configure(tun, mtu_bytes, host_address)
        try:
            _check_ways(tun.name, peers)
        except BaseException:
            undo()
            raise
        if offload:
            _lengthen_queue(tun.name)
    except BaseException:
        device.close()
        raise
    return device


def check_name(name: str) -> None:
    """Raise ConfigError for what no interface can be called."""
    problem = ""
    if not name:
        problem = "is empty"
    elif len(os.fsencode(name)) > _NAME_MAX_BYTES:
        problem = f"is longer than {_NAME_MAX_BYTES} bytes"
    elif name == "lo":
        problem = "is the loopback's"
    elif name.replace("%d", "", 1).count("%"):
        problem = "has a % that is not %d, for a number that the kernel chooses"
    elif name in (".", "..") or any(c in "/:" or c.isspace() or not c.isprintable() for c in name):
        problem = "has a character that the kernel does not take (a slash, a colon, a space)"
    if problem:
        raise ConfigError(f"the interface name {name!r} {problem}; choose one like tap0")


def _attach(name: str, *, vnet_header: bool) -> _TunTap:
    try:
        import pytun  # Linux only, and not needed for anything else
    except ModuleNotFoundError:
        raise DeviceError(
            "TAP devices need Linux and the package python-pytun: pip install python-pytun"
        ) from None
    except ImportError as error:  # it is there: an architecture that it is not for, no descriptor
        raise DeviceError(f"the package python-pytun does not load: {error}") from None
    flags = pytun.IFF_TAP | pytun.IFF_NO_PI
    if vnet_header:
        flags |= pytun.IFF_VNET_HDR
    try:
        tun: _TunTap = pytun.TunTapDevice(name=name, flags=flags)
    except OSError as error:
        raise DeviceError(_why_not(name, error)) from None
    return tun


def _why_not(name: str, error: OSError) -> str:
    exists = _exists(name)
    match error.errno:
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return (
                "there is no /dev/net/tun: load the kernel's module (modprobe tun), or hand the "
                "device to the container (--device /dev/net/tun)"
            )
        case errno.EMFILE:
            return f"{name} cannot be opened: {OUT_OF_FILES}"
        case errno.EACCES:
            return (
                "no permission to open /dev/net/tun: run it as the machine's root (sudo), or let "
                "users open it, as most systems do (sudo chmod 666 /dev/net/tun)"
            )
        case errno.EPERM if exists:
            return f"{name} belongs to another user: run it as root (sudo), or choose another name"
        case errno.EPERM:
            return (
                f"no permission to make the interface {name}: run it as root (sudo), or have root "
                f"make it for you: ip tuntap add {name} mode tap user $USER"
            )
        case errno.EBUSY:
            return (
                f"{name} is in use by another program (a second pystack up?): end that one, "
                "or choose another name"
            )
        case errno.EINVAL if exists:
            return f"{name} exists and is not a TAP with a single queue: choose another name"
    return f"the kernel does not make the interface {name}: {error.strerror or error}"


def _exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _enable_offload(fd: int) -> int:
    """Return what the kernel grants, at best all; 0 for nothing."""
    if not _ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", VNET_HEADER_BYTES)):
        return 0
    return next((flags for flags in _OFFLOADS if _ioctl(fd, _TUNSETOFFLOAD, flags)), 0)


def _ioctl(fd: int, request: int, argument: int | bytes) -> bool:
    try:
        fcntl.ioctl(fd, request, argument)
    except OSError:
        return False
    return True


def _configure(
    tun: _TunTap, mtu_bytes: int, host_address: tuple[Ip4, Prefix] | None
) -> Callable[[], object]:
    """Change what differs; return what takes the address back, from a device that stays."""
    name = tun.name
    undo: Callable[[], object] = _nothing
    if tun.mtu != mtu_bytes:

        def set_mtu() -> None:
            tun.mtu = mtu_bytes

        _change(name, f"an MTU of {mtu_bytes}", f"ip link set {name} mtu {mtu_bytes}", set_mtu)
    if host_address is not None:
        undo = _configure_address(tun, *host_address)
    if not _is_up(name):
        _change(name, "to be up", f"ip link set {name} up", tun.up)
    return undo


def _check_ways(name: str, peers: Sequence[Ip4]) -> None:
    for peer in peers:
        way = routing.way_to(peer)
        if way is not None and way.interface == name and not way.is_local:
            continue
        if way is None:
            problem = f"the kernel has no way to {format_ip4(peer)}"
        elif way.is_local:
            problem = f"{format_ip4(peer)} is an address of this machine itself"
        else:
            problem = (
                f"the kernel sends packets for {format_ip4(peer)} to {way.interface}, and not to "
                f"{name} (a second pystack up, a VPN?)"
            )
        free = routing.free_network(peer)
        if free is not None:
            other = format_ip4(Ip4(free.network + 2))
            problem += f"; {free} is free: --address {other}/24, or subnet in a lab"
        raise DeviceError(problem)


def _configure_address(tun: _TunTap, ip4: Ip4, prefix: Prefix) -> Callable[[], object]:
    address, netmask = format_ip4(ip4), format_ip4(prefix.netmask)
    before: tuple[str, str] | None = None  # it has none yet
    try:
        before = tun.addr, tun.netmask
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
    if before == (address, netmask):
        return _nothing

    def set_address() -> None:
        tun.addr = address  # with the netmask of its class, which is why that comes second
        tun.netmask = netmask

    text = f"{address}/{prefix.length}"
    _change(
        tun.name,
        f"the address {text}",
        f"ip address add {text} dev {tun.name}",
        set_address,
    )

    def undo() -> None:
        if before is None:
            tun.addr = "0.0.0.0"
        else:
            tun.addr, tun.netmask = before

    return undo


def _nothing() -> None:
    """There is nothing to take back."""


def _change(name: str, what: str, command: str, change: Callable[[], None]) -> None:
    try:
        change()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise DeviceError(
                f"{name} needs {what}, which takes root: run it as root, or once: sudo {command}"
            ) from None
        raise DeviceError(f"{name} cannot be given {what}: {error.strerror or error}") from None


def _lengthen_queue(name: str) -> None:
    """Let more frames wait for us, unless somebody has chosen how many, or we may not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16si20x", os.fsencode(name), 0)
        (frames,) = struct.unpack_from("16xi", fcntl.ioctl(any_socket, _SIOCGIFTXQLEN, request))
    if frames != _KERNELS_QUEUE_FRAMES:
        return
    # By rtnetlink(7): the ioctl of this name is for the machine's own root alone, and not for that
    # of a user namespace.
    link = _LINK.pack(socket.AF_UNSPEC, 0, socket.if_nametoindex(name), 0, 0)
    length = _NUMBER.pack(_NUMBER.size, _IFLA_TXQLEN, _QUEUE_FRAMES)
    size = _MESSAGE.size + len(link) + len(length)
    message = _MESSAGE.pack(size, _RTM_NEWLINK, _NLM_F_REQUEST, 1, 0) + link + length
    with (
        suppress(OSError),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel,
    ):
        kernel.sendto(message, (0, 0))


def _is_up(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sH22x", os.fsencode(name), 0)
        flags: int = struct.unpack_from("16xH", fcntl.ioctl(probe, _SIOCGIFFLAGS, request))[0]
    return bool(flags & _IFF_UP)
