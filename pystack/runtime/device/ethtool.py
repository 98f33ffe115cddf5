"""Features of a network interface (`ethtool -k`, `-K`), by SIOCETHTOOL. Raises OSError."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

from pystack.runtime.device import tun

# <linux/sockios.h>, <linux/ethtool.h>
_SIOCETHTOOL: Final = 0x8946
_GLINK: Final = 0x0A
_GSTRINGS: Final = 0x1B
_GSSET_INFO: Final = 0x37
_GFEATURES: Final = 0x3A
_SFEATURES: Final = 0x3B
_SS_FEATURES: Final = 4
_NAME_BYTES: Final = 32  # ETH_GSTRING_LEN
_COUNT: Final = struct.Struct("=II")  # command, how many
_SET: Final = struct.Struct("=IIQI")  # struct ethtool_sset_info with one number
_NAMES: Final = struct.Struct("=III")  # struct ethtool_gstrings, before the names
_STATE: Final = struct.Struct("=IIII")  # available, requested, active, never_changed: 32 features
_CHANGE: Final = struct.Struct("=II")  # valid, requested
_IFREQ: Final = struct.Struct("16sP16x")


def keep_features(interface: str, wanted: Callable[[str], bool]) -> list[str]:
    """Switch off what is on and not wanted, where that can be; return what is on then."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kernel:
        names = _names(kernel.fileno(), interface)
        state = _ask(kernel.fileno(), interface, _features_of(len(names)))
        words = list(_STATE.iter_unpack(state[_COUNT.size :]))
        changes = [0] * len(words)
        for number, name in enumerate(names):
            word, bit = divmod(number, 32)
            _, _, active, fixed = words[word]
            if active >> bit & 1 and not fixed >> bit & 1 and not wanted(name):
                changes[word] |= 1 << bit
        body = b"".join(_CHANGE.pack(change, 0) for change in changes)
        _ask(kernel.fileno(), interface, _COUNT.pack(_SFEATURES, len(changes)) + body)
        state = _ask(kernel.fileno(), interface, _features_of(len(names)))
        left = [active for _, _, active, _ in _STATE.iter_unpack(state[_COUNT.size :])]
        return [name for number, name in enumerate(names) if left[number // 32] >> number % 32 & 1]


def has_link(fd: int, interface: str) -> bool:
    """Tell whether an interface has its cable in; `fd`: a socket of its network namespace.

    What the kernel was about to do about that it has done then, where it is new enough.
    """
    return bool(_COUNT.unpack(_ask(fd, interface, _COUNT.pack(_GLINK, 0)))[1])


def _features_of(count: int) -> bytes:
    blocks = -(-count // 32)
    return _COUNT.pack(_GFEATURES, blocks) + bytes(blocks * _STATE.size)


def _names(fd: int, interface: str) -> list[str]:
    """Return what the features are called, each at its number."""
    answer = _ask(fd, interface, _SET.pack(_GSSET_INFO, 0, 1 << _SS_FEATURES, 0))
    count = _SET.unpack(answer)[3]
    question = _NAMES.pack(_GSTRINGS, _SS_FEATURES, count) + bytes(count * _NAME_BYTES)
    answer = _ask(fd, interface, question)
    starts = range(_NAMES.size, len(answer), _NAME_BYTES)
    return [answer[at : at + _NAME_BYTES].partition(b"\0")[0].decode() for at in starts]


def _ask(fd: int, interface: str, question: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(question, len(question))
    request = _IFREQ.pack(os.fsencode(interface), ctypes.addressof(buffer))
    tun.ioctl(fd, _SIOCETHTOOL, request)
    return buffer.raw
