"""Whether a checksum is right, in words."""

from typing import Final

from pystack.core.addresses import Ip
from pystack.wire.checksum import checksum, pseudo_header_sum

RIGHT: Final = "right"
_OFFLOAD: Final = "the sender's card may fill it in after the capture"


def said_of_sum(data: bytes, at: int, pseudo: int = 0, *, whole: bool = True) -> str:
    """Return what there is to say of the checksum at `at` of `data`, which it is over."""
    if not whole:
        return "over more than what is here"
    if not checksum(data, pseudo):
        return RIGHT
    right = checksum(data[:at] + b"\0\0" + data[at + 2 :], pseudo)
    partial = _partial(pseudo)
    if pseudo and int.from_bytes(data[at : at + 2], "big") == partial:
        return f"of addresses alone: {_OFFLOAD} (it would be 0x{right:04x})"
    return f"wrong: it should be 0x{right:04x}, or {_OFFLOAD}"


def pseudo(ends: tuple[int, int] | None, proto: int, size: int) -> int | None:
    """Return the sum over the pseudo-header; None without addresses."""
    if ends is None:
        return None
    return pseudo_header_sum(Ip(ends[0]), Ip(ends[1]), proto, size)


def _partial(total: int) -> int:
    return (total - 1) % 0xFFFF + 1
