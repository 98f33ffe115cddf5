"""Fast Open's cookies as Linux makes them: scripts have them written out.

SipHash-2-4 (Aumasson and Bernstein, 2012) of the client's and the server's address, with the key of
the sysctl tcp_fastopen_key or of the listener (TCP_FASTOPEN_KEY).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip, is_v6, pack_ip6
from pystack.stack.fast_open import FastOpenTable

if TYPE_CHECKING:
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.tcp.listener import Listener
    from pystack.wire.tcp import Segment

KEY_BYTES: Final = 16
_INITIAL: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_MASK: Final = (1 << 64) - 1


class LinuxCookies(FastOpenTable):
    """The table of a host whose keys are known. `keys`: the one in use, perhaps one before it."""

    __slots__ = ("_in_use", "keys", "of_listener")

    def __init__(self, keys: bytes) -> None:
        super().__init__(b"")
        self.keys = keys
        self.of_listener: dict[Listener[TcpSocket], bytes] = {}
        self._in_use = keys

    def syn_arrived(
        self, listener: Listener[TcpSocket], socket: TcpSocket, syn: Segment, now: float
    ) -> bool:
        """Look at a SYN's cookie, with the listener's own keys if it has any."""
        self._in_use = self.of_listener.get(listener, self.keys)
        return super().syn_arrived(listener, socket, syn, now)

    def cookie_of(self, local: Ip, remote: Ip, period: int) -> bytes:
        """Return the cookie of an address; before the first day that of the key before."""
        key = self._in_use[-KEY_BYTES:] if period < 0 else self._in_use[:KEY_BYTES]
        if is_v6(local):
            pair = pack_ip6(remote) + pack_ip6(local)
        else:
            pair = remote.to_bytes(4, "big") + local.to_bytes(4, "big")
        return siphash(key, pair).to_bytes(8, "little")


def keys_of(text: str) -> bytes | None:
    """Return the keys that the sysctl's text stands for; None: it is none."""
    keys = b""
    for key in text.split(","):
        try:
            words = [int(word, 16) for word in key.split("-")]
            keys += struct.pack("<4I", *words)
        except (ValueError, struct.error):
            return None
    return keys if len(keys) <= 2 * KEY_BYTES else None


def siphash(key: bytes, data: bytes) -> int:
    """Return SipHash-2-4 with a key of 16 bytes."""
    low, high = struct.unpack("<QQ", key)
    state: list[int] = [
        word ^ (high if number & 1 else low) for number, word in enumerate(_INITIAL)
    ]
    whole = len(data) // 8 * 8
    words = [word for (word,) in struct.iter_unpack("<Q", data[:whole])]
    words.append((len(data) & 0xFF) << 56 | int.from_bytes(data[whole:], "little"))
    for word in words:
        state[3] ^= word
        _mix(state, 2)
        state[0] ^= word
    state[2] ^= 0xFF
    _mix(state, 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _mix(state: list[int], rounds: int) -> None:
    a, b, c, d = state
    for _ in range(rounds):
        a = a + b & _MASK
        b = _rotated(b, 13) ^ a
        a = _rotated(a, 32)
        c = c + d & _MASK
        d = _rotated(d, 16) ^ c
        a = a + d & _MASK
        d = _rotated(d, 21) ^ a
        c = c + b & _MASK
        b = _rotated(b, 17) ^ c
        c = _rotated(c, 32)
    state[:] = a, b, c, d


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 64 - bits) & _MASK
