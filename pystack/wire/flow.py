"""Which flow a frame belongs to, by its 5-tuple (RFC 8290 section 4.1)."""

from typing import Final

from pystack.wire import ethernet
from pystack.wire.frame import Frame

_IPV4: Final = ethernet.IS_IPV4
_IPV6: Final = ethernet.IS_IPV6
_IP: Final = ethernet.HEADER_BYTES
_PLAIN: Final = 0x45  # IPv4 without options: the ports come right after the addresses
# Protocols that begin with two ports: TCP, UDP, DCCP, SCTP, UDP-Lite.
_WITH_PORTS: Final = frozenset({6, 17, 33, 132, 136})


def flow_key(frame: Frame) -> bytes:
    """Return what tells flows apart: protocol, addresses and ports; fragments go without ports.

    What isn't IP counts as one flow for each pair of stations and type.
    """
    data = frame.data
    kind = data[ethernet.TYPE]
    if kind == _IPV4 and len(data) >= _IP + 24:
        proto = data[_IP + 9]
        unfragmented = not (data[_IP + 6] & 0x3F or data[_IP + 7])
        if data[_IP] == _PLAIN and unfragmented and proto in _WITH_PORTS:
            return data[_IP + 9 : _IP + 10] + data[_IP + 12 : _IP + 24]
        return data[_IP + 9 : _IP + 10] + data[_IP + 12 : _IP + 20]
    if kind == _IPV6 and len(data) >= _IP + 44:
        end = _IP + 44 if data[_IP + 6] in _WITH_PORTS else _IP + 40
        return data[_IP + 6 : _IP + 7] + data[_IP + 8 : end]
    return data[: ethernet.HEADER_BYTES]
