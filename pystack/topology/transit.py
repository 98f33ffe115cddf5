"""What switches and routers only pass on: it is known already, and enters no network here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip, is_multicast, is_unspecified, unpack_ip6
from pystack.stack.host import Host
from pystack.topology.switch import Switch
from pystack.wire import ethernet

if TYPE_CHECKING:
    from pystack.topology.nodes import Node
    from pystack.wire.frame import Frame

_TYPE: Final = ethernet.TYPE
_IP: Final = ethernet.HEADER_BYTES
_IPV4_END: Final = _IP + 20
_IPV6_END: Final = _IP + 40


class Transit:
    """Tells for the nodes of a network what they pass on, by what stays the same of it."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes

    def leaving(self, name: str, frame: Frame) -> bytes | None:
        """Return the mark of a frame that a node passes on; None: it enters the network there."""
        return self._mark(name, frame, leaving=True)

    def coming(self, name: str, frame: Frame) -> bytes | None:
        """Return the mark of a frame that a node will pass on, if it can; None: it is its own."""
        return self._mark(name, frame, leaving=False)

    def _mark(self, name: str, frame: Frame, *, leaving: bool) -> bytes | None:
        node = self._nodes.get(name)
        device = None if node is None else node.device
        if isinstance(device, Switch):
            return frame.data
        if not isinstance(device, Host) or not device.forwarding:
            return None
        parts = _packet(frame.data)
        if parts is None:
            return None
        src, dst, mark = parts
        if leaving:
            return None if is_unspecified(src) or device.is_own(src) else mark
        return None if is_multicast(dst) or device.is_own(dst) else mark


def _packet(data: bytes) -> tuple[Ip, Ip, bytes] | None:
    """Return source, destination, and all that routers leave as it is; None: it is no IP packet."""
    kind = data[_TYPE]
    if kind == ethernet.IS_IPV4 and len(data) >= _IPV4_END:
        src = Ip(int.from_bytes(data[_IP + 12 : _IP + 16], "big"))
        dst = Ip(int.from_bytes(data[_IP + 16 : _IPV4_END], "big"))
        text = _IP + (data[_IP] & 15) * 4
        end = _IP + int.from_bytes(data[_IP + 2 : _IP + 4], "big")
        # Identification and fragment, protocol, addresses
        same = data[_IP + 4 : _IP + 8] + data[_IP + 9 : _IP + 10] + data[_IP + 12 : _IPV4_END]
        return src, dst, same + data[text:end]
    if kind == ethernet.IS_IPV6 and len(data) >= _IPV6_END:
        src = unpack_ip6(data[_IP + 8 : _IP + 24])
        dst = unpack_ip6(data[_IP + 24 : _IPV6_END])
        end = _IPV6_END + int.from_bytes(data[_IP + 4 : _IP + 6], "big")
        return src, dst, data[_IP + 6 : _IP + 7] + data[_IP + 8 : end]
    return None
