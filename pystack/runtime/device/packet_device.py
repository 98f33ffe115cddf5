"""An interface for programs, and behind it a packet socket, where there is no TAP to be had.

A veth pair (veth(4)): one end is the interface, the other lies in a network namespace of its own,
in which nothing else is, and a packet socket (packet(7)) takes and gives its frames. With offload
each has a virtio_net_hdr before it, as those of a TAP. The kernel lays arriving frames down in
memory that is shared with it (PACKET_RX_RING), for the receive buffer of a socket, which no user
may make larger than net.core.rmem_max, has room for half a dozen super-frames only.

The device lives as long as the socket is open. For Linux 4.20 and newer.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pystack.runtime.device import ethtool, ifconfig, tun
from pystack.runtime.device.tap_device import TapDevice, is_since, tap_offloads
from pystack.runtime.device.tun import OpenTun
from pystack.wire import ethernet, ipv4

# <linux/if_packet.h>, <linux/if_ether.h>, <sched.h>
_SOL_PACKET: Final = 263
_RX_RING: Final = 5
_STATISTICS: Final = 6
_VERSION: Final = 10
_VNET_HDR: Final = 15
_IGNORE_OUTGOING: Final = 23
_TPACKET_V2: Final = 1
_ETH_P_ALL: Final = 3
_CLONE_NEWNET: Final = 0x40000000
_SIOCGIFFLAGS: Final = 0x8913
_IFF_RUNNING: Final = 0x40
_FLAGS: Final = struct.Struct("=16sH22x")  # struct ifreq
_LINK_S: Final = 1.0
_LOOK_AGAIN_S: Final = 0.0005
_RING: Final = struct.Struct("=IIII")  # struct tpacket_req: block size, blocks, slot size, slots
_COUNTS: Final = struct.Struct("=II")  # struct tpacket_stats: frames, those that were dropped

FAR: Final = "far"  # the other end's name
_FAR_MTU_BYTES: Final = 65535
_GSO_MAX_BYTES: Final = 524280  # of what we send: the most that Linux lets a device have
# Another one than the interface's: of ends with one index, Linux takes a second to tell that the
# cable is in (`linkwatch_urgent_event`), and so long the interface is shown as down.
_FAR_INDEX: Final = 7777
# What is before a frame in its slot: tpacket2_hdr, sockaddr_ll, virtio_net_hdr, and room between
_SLOT_LEAD_BYTES: Final = 96
_TAGS_BYTES: Final = 16  # of VLANs, before the packet
_BLOCK_BYTES: Final = 1 << 20
_LEAST_SLOTS: Final = 1000  # as a TAP's queue; of super-frames so many as 17 MiB have room for
_MOST_BLOCKS: Final = 17
_USUAL_MTU_BYTES: Final = 1500
_KEPT: Final = frozenset(
    (
        "tx-checksum-ip-generic",
        "tx-generic-segmentation",
        "tx-scatter-gather",
        "tx-tcp-segmentation",
        "tx-tcp6-segmentation",
        "tx-tcp-ecn-segmentation",
        "tx-tcp-mangleid-segmentation",
    )
)
_DATAGRAMS: Final = "tx-udp-segmentation"


@dataclass(frozen=True, slots=True)
class Ring:
    """How the memory is divided up that the kernel lays frames down in."""

    slot_bytes: int
    slots: int

    @property
    def slots_in_block(self) -> int:
        """Return how many slots a block has; behind them a rest is unused."""
        return _BLOCK_BYTES // self.slot_bytes

    @property
    def blocks(self) -> int:
        """Return how many blocks there are."""
        return self.slots // self.slots_in_block

    @property
    def total_bytes(self) -> int:
        """Return the length of all of it."""
        return self.blocks * _BLOCK_BYTES

    def starts(self) -> list[int]:
        """Return where each slot starts."""
        each, within = self.slot_bytes, self.slots_in_block
        return [
            number // within * _BLOCK_BYTES + number % within * each for number in range(self.slots)
        ]


def ring_for(mtu_bytes: int, *, offload: bool) -> Ring:
    """Return the ring of a device: with offload, frames are as long as IP packets can be."""
    most_bytes = ipv4.MAX_PACKET_BYTES if offload else max(mtu_bytes, _USUAL_MTU_BYTES)
    each = _SLOT_LEAD_BYTES + ethernet.HEADER_BYTES + _TAGS_BYTES + most_bytes
    each += -each % 16
    within = _BLOCK_BYTES // each
    blocks = min(-(-_LEAST_SLOTS // within), _MOST_BLOCKS)
    return Ring(each, blocks * within)


class PacketDevice(TapDevice):
    """The packet socket, as it is handed to whoever has the network on its side."""

    __slots__ = ("memory", "ring")

    def __init__(
        self,
        name: str,
        fd: int,
        ring: Ring,
        memory: mmap.mmap,
        *,
        offload: bool,
        offloads: int = 0,
    ) -> None:
        """Take over the descriptor, and the memory that is shared. `name`: the interface's."""
        super().__init__(OpenTun(name, fd), offload=offload, offloads=offloads)
        self.ring = ring
        self.memory: mmap.mmap | None = memory  # None: closed

    def close(self) -> None:
        """Give the device back; its interface is gone. A second close does nothing."""
        if self.memory is not None:
            self.memory.close()
            self.memory = None
        super().close()


@dataclass(frozen=True, slots=True)
class Opened:
    """A packet socket, and what its device can do."""

    fd: int
    ring: Ring
    offloads: int  # as those of a TapDevice


def open_packet_device(interface: str, *, mtu_bytes: int, offload: bool) -> Opened:
    """Make the pair, its end in this network namespace brought up. Raises OSError.

    The caller has the powers of root over its namespaces, and one thread only.
    """
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("unshare", _CLONE_NEWNET)
        try:
            with suppress(OSError):  # else it may look for routers; nobody there is asked
                Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
            ifconfig.add_veth(FAR, interface, peer_net=here, index=_FAR_INDEX)
            ifconfig.set_link(FAR, mtu_bytes=_FAR_MTU_BYTES, up=True)
            if offload:
                with suppress(OSError):  # before Linux 6.3, where nothing is as large
                    ifconfig.set_link(FAR, gso_max_bytes=_GSO_MAX_BYTES)
            ring = ring_for(mtu_bytes, offload=offload)
            opened = _open_socket(ring, offload=offload)
        finally:
            _call("setns", here, _CLONE_NEWNET)
    finally:
        os.close(here)
    try:
        wanted = _KEPT if offload else frozenset[str]()
        if offload and is_since(os.uname().release, (6, 2)):  # virtio_net_hdr's word for them
            wanted |= {_DATAGRAMS}
        # What a virtio_net_hdr has no word for is not to come: tunnels, SCTP, tags of VLANs apart.
        kept = ethtool.keep_features(interface, wanted.__contains__)
        ifconfig.set_link(interface, mtu_bytes=mtu_bytes, up=True)
        _wait_for_link(opened.fileno())
    except BaseException:
        opened.close()
        raise
    offloads = tap_offloads(datagrams=_DATAGRAMS in kept) if offload else 0
    return Opened(opened.detach(), ring, offloads)


def _open_socket(ring: Ring, *, offload: bool) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # hears nothing yet
    try:
        opened.setblocking(False)
        if offload:
            opened.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
        opened.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        opened.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V2)
        shape = _RING.pack(_BLOCK_BYTES, ring.blocks, ring.slot_bytes, ring.slots)
        opened.setsockopt(_SOL_PACKET, _RX_RING, shape)
        opened.bind((FAR, _ETH_P_ALL))
    except BaseException:
        opened.close()
        raise
    return opened


def _wait_for_link(fd: int) -> None:
    """Return when the far end can send: once Linux has noticed that its cable is in.

    Until then it drops what it is given, without a word. That takes a millisecond at most.
    """
    until = time.monotonic() + _LINK_S
    while time.monotonic() < until:
        ethtool.has_link(fd, FAR)
        _, flags = _FLAGS.unpack(tun.ioctl(fd, _SIOCGIFFLAGS, _FLAGS.pack(FAR.encode(), 0)))
        if flags & _IFF_RUNNING:
            break
        time.sleep(_LOOK_AGAIN_S)
    ethtool.has_link(fd, FAR)  # behind the lock that whoever brings it up holds


def dropped(opened: socket.socket) -> int:
    """Return how many frames there was no room for since this was last asked."""
    counts = opened.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size)
    return int(_COUNTS.unpack(counts)[1])


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
