"""Opening a TAP of Linux: the device, the kernel's end of it, and the offloads that it grants.

An existing persistent device is taken over; then only what differs is changed, so that a user to
whom it belongs needs no privilege if root has set it up as wanted. Whatever goes wrong is one
sentence of a `DeviceError` that says what to do.
"""

import errno
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from pystack.core.addresses import Ip, Prefix, format_ip, is_v6
from pystack.core.errors import ConfigError, DeviceError
from pystack.runtime.device import ifconfig, tun

# <linux/if_tun.h>
_TUN_F_CSUM: Final = 0x01
_TUN_F_TSO4: Final = 0x02
_TUN_F_TSO6: Final = 0x04
_TUN_F_TSO_ECN: Final = 0x08
# Both or neither, and since Linux 6.2 only. There is also TUN_F_UFO, which means nothing any more:
# the kernel takes it, and sends large datagrams in fragments as ever.
_TUN_F_USO: Final = 0x20 | 0x40
# The best first. Without any, frames come and go as on a cable.
_OFFLOADS: Final = (
    _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 | _TUN_F_TSO_ECN | _TUN_F_USO,
    _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 | _TUN_F_TSO_ECN,
    _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6,
    _TUN_F_CSUM,
)
_WORDS: Final = {
    _TUN_F_CSUM: "checksums",
    _TUN_F_TSO4: "TSO",
    _TUN_F_TSO_ECN: "TSO with ECN",
    _TUN_F_USO: "USO",
}
VNET_HEADER_BYTES: Final = 10  # struct virtio_net_hdr

_KERNELS_QUEUE_FRAMES: Final = 1000  # DEFAULT_TX_QUEUE_LEN
# With offload, where a bulk flow fills no queue but its window: what 1000 clients say at once, and
# their SYNs, has room. 32 flows made 4 Gbit/s over the kernel's own length and make 12 over this.
_QUEUE_FRAMES: Final = 4096
_NAME_MAX_BYTES: Final = 15  # IFNAMSIZ less the terminating zero


_log: Final = logging.getLogger("pystack.tap")
OUT_OF_FILES: Final = "this process may open no more files (the limit is `ulimit -n`)"


class TapDevice:
    """An open TAP, its descriptor non-blocking and closed on exec."""

    __slots__ = ("_tun", "fd", "name", "offload", "offloads")

    def __init__(self, opened: tun.OpenTun, *, offload: bool, offloads: int = 0) -> None:
        self._tun: tun.OpenTun | None = opened  # None: closed
        self.fd = opened.fileno()
        self.name = opened.name
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
            tun.set_offload(self.fd, 0, 0)
        self._tun.close()
        self._tun = None


def tap_offloads(*, datagrams: bool) -> int:
    """Return all offloads, as TUN_F_*; without `datagrams` no super-frames of those."""
    return _OFFLOADS[0] if datagrams else _OFFLOADS[1]


def takes_big_tcp(release: str) -> bool:
    """Tell whether a Linux of that release takes TCP over IPv4 in packets of more than 64 KiB."""
    return is_since(release, (6, 3))


def is_since(release: str, version: tuple[int, int]) -> bool:
    """Tell whether a release of Linux ("6.1.0-18-amd64") is of that version or newer."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= version


def open_tap(
    name: str,
    *,
    mtu_bytes: int,
    host_addresses: Sequence[tuple[Ip, Prefix]],  # of the kernel's end; (): leave it as it is
    offload: bool,
    peers: Sequence[Ip] = (),
    tap: bool = True,
) -> TapDevice:
    """Make or take over a TAP, or else a TUN, and bring it up. Raises ConfigError, DeviceError.

    `peers`: who is on our side of it. That the kernel sends packets for them elsewhere is an error.
    """
    check_name(name)
    if offload:
        device = TapDevice(_attach(name, tap=tap, vnet_header=True), offload=True)
        device.offloads = _enable_offload(device.fd)
        if not device.offloads:
            device.close()
            offload = False
    if not offload:
        device = TapDevice(_attach(name, tap=tap, vnet_header=False), offload=False)
        tun.set_offload(device.fd, 0, 0)  # a persistent one may have some left over
    try:
        if any(prefix.is_v6 for _, prefix in host_addresses):
            host_addresses, peers = _as_the_kernel_can(device.name, host_addresses, peers)
        undo = _configure(device.name, mtu_bytes, host_addresses)
        try:
            _check_ways(device.name, peers)
        except BaseException:
            undo()
            raise
        if offload:
            _lengthen_queue(device.name)
    except BaseException:
        device.close()
        raise
    return device


def check_name(name: str) -> None:
    """Raise ConfigError for what no interface can be called."""
    problem = ""
    if not isinstance(name, str):
        problem = "is no text"
    elif not name:
        problem = "is empty"
    elif not name.isprintable():
        problem = "has a character that cannot be printed"
    elif len(os.fsencode(name)) > _NAME_MAX_BYTES:
        problem = f"is longer than {_NAME_MAX_BYTES} bytes"
    elif name == "lo":
        problem = "is the loopback's"
    elif name.replace("%d", "", 1).count("%"):
        problem = "has a % that is not %d, for a number that the kernel chooses"
    elif name in (".", "..") or any(c in "/:" or c.isspace() for c in name):
        problem = "has a character that the kernel does not take (a slash, a colon, a space)"
    if problem:
        raise ConfigError(f"the interface name {name!r} {problem}; choose one like tap0")


def _attach(name: str, *, tap: bool, vnet_header: bool) -> tun.OpenTun:
    if sys.platform != "linux":
        raise DeviceError(
            f"TAP devices are Linux's: there is none on this platform ({sys.platform})"
        )
    try:
        return tun.attach(name, tap=tap, vnet_header=vnet_header)
    except OSError as error:
        raise DeviceError(_why_not(name, error, "tap" if tap else "tun")) from None


def _why_not(name: str, error: OSError, mode: str) -> str:
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
                f"make it for you: ip tuntap add {name} mode {mode} user $USER"
            )
        case errno.EBUSY:
            return (
                f"{name} is in use by another program (a second pystack up?): end that one, "
                "or choose another name"
            )
        case errno.EINVAL if exists:
            kind = mode.upper()
            return f"{name} exists and is not a {kind} with a single queue: choose another name"
    return f"the kernel does not make the interface {name}: {error.strerror or error}"


def _exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _enable_offload(fd: int) -> int:
    """Return what the kernel grants, at best all; 0 for nothing."""
    return next((flags for flags in _OFFLOADS if tun.set_offload(fd, flags, VNET_HEADER_BYTES)), 0)


def _configure(
    name: str, mtu_bytes: int, host_addresses: Sequence[tuple[Ip, Prefix]]
) -> Callable[[], object]:
    """Change what differs; return what takes addresses back, from a device that stays."""
    link = ifconfig.link(name)
    if link.mtu_bytes != mtu_bytes:
        _change(
            name,
            f"an MTU of {mtu_bytes}",
            f"ip link set {name} mtu {mtu_bytes}",
            lambda: ifconfig.set_link(name, mtu_bytes=mtu_bytes),
        )
    known = ifconfig.addresses(name) if host_addresses else []
    added = [address for address in host_addresses if address not in known]
    for address, prefix in added:
        text = f"{format_ip(address)}/{prefix.length}"
        _change(
            name,
            f"the address {text}",
            f"ip address add {text} dev {name}",
            partial(ifconfig.add_address, name, address, prefix),
        )
    if not link.is_up:
        _change(
            name,
            "to be up",
            f"ip link set {name} up",
            lambda: ifconfig.set_link(name, up=True),
        )

    def undo() -> None:
        for address in added:
            ifconfig.remove_address(name, *address)

    return undo


def _as_the_kernel_can(
    name: str, host_addresses: Sequence[tuple[Ip, Prefix]], peers: Sequence[Ip]
) -> tuple[Sequence[tuple[Ip, Prefix]], Sequence[Ip]]:
    """Return what is left where the kernel has no IPv6. DeviceError: nothing is."""
    if ifconfig.enable_ipv6(name):
        return host_addresses, peers
    left = [own for own in host_addresses if not own[1].is_v6]
    if not left:
        raise DeviceError(
            f"{name} can have no IPv6 address: this machine has no IPv6, or it is switched off "
            f"(sysctl net.ipv6.conf.{name}.disable_ipv6)"
        )
    _log.warning("%s: this machine has no IPv6; its end has none", name)
    return left, [peer for peer in peers if not is_v6(peer)]


def _check_ways(name: str, peers: Sequence[Ip]) -> None:
    for peer in peers:
        way = ifconfig.way_to(peer)
        if way is not None and way.interface == name and not way.is_local:
            continue
        if way is None:
            problem = f"the kernel has no way to {format_ip(peer)}"
        elif way.is_local:
            problem = f"{format_ip(peer)} is an address of this machine itself"
        else:
            problem = (
                f"the kernel sends packets for {format_ip(peer)} to {way.interface}, and not to "
                f"{name} (a second pystack up, a VPN?)"
            )
        free = ifconfig.free_network(peer)
        if free is not None:
            other = f"{format_ip(free.network + 2)}/{free.length}"
            subnet = "subnet6" if free.is_v6 else "subnet"
            problem += f"; {free} is free: --address {other}, or {subnet} in a lab"
        raise DeviceError(problem)


def _change(name: str, what: str, command: str, change: Callable[[], object]) -> None:
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
    if ifconfig.link(name).queue_frames == _KERNELS_QUEUE_FRAMES:
        with suppress(OSError):
            ifconfig.set_link(name, queue_frames=_QUEUE_FRAMES)
