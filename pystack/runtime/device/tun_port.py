"""TunPort: a Port whose other end is a TUN device of Linux, on which bare IP packets go.

The stack above knows frames only: each packet that comes in is given a header for them, and the
one of each that goes out is taken off. Whatever is no IP packet has no place there.
"""

import os
from typing import Final

from pystack.core.addresses import Mac
from pystack.runtime.device import virtio_net
from pystack.runtime.device.tap import TapPort
from pystack.runtime.device.tap_device import VNET_HEADER_BYTES
from pystack.wire import ethernet
from pystack.wire.checksum import Buffer

# Who the frames are from that the packets come in; locally administered
PEER_MAC: Final = Mac(bytes.fromhex("020000000001"))
_LINK_BYTES: Final = ethernet.HEADER_BYTES
_IS_IP: Final = (ethernet.IS_IPV4, ethernet.IS_IPV6)


class TunPort(TapPort):
    """A TUN device of Linux as a Port."""

    __slots__ = ("_leads",)

    def use(self, mac: Mac) -> None:
        """Let what comes in be for the station of that MAC address."""
        self._leads = tuple(mac + PEER_MAC + ethertype for ethertype in _IS_IP)

    def _read(self, most_bytes: int) -> bytes:
        raw = os.read(self._fd, most_bytes - _LINK_BYTES)
        at = VNET_HEADER_BYTES if self._offload else 0
        first = raw[at] >> 4 if len(raw) > at else 4
        header = virtio_net.moved(raw[:at], _LINK_BYTES) if at else b""
        return b"".join((header, self._leads[first == 6], raw[at:]))

    def _put(self, parts: tuple[Buffer, ...]) -> None:
        number = 1 if self._offload else 0
        first = bytes(parts[number][:_LINK_BYTES])
        if first[12:] not in _IS_IP:
            self.counters.add("tun_not_ip")
            return
        packet = memoryview(parts[number])[_LINK_BYTES:]
        header = (virtio_net.moved(bytes(parts[0]), -_LINK_BYTES),) if number else ()
        super()._put((*header, packet, *parts[number + 1 :]))
