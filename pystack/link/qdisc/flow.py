"""Which flow a frame belongs to: the 5-tuple, hashed with a seed (RFC 8290 section 4.1)."""

from typing import Final

from pystack.core.rng import Random
from pystack.wire.flow import flow_key
from pystack.wire.frame import Frame

_PRIME: Final = (1 << 127) - 1  # above all keys of IPv4
_LONG_PRIME: Final = (1 << 521) - 1  # and of IPv6
_LONG_KEY_BYTES: Final = 16
_MAX_KNOWN: Final = 4096  # flows whose slot is kept; then it is forgotten and computed again


class FlowHash:
    """Spreads flows over `slots`, differently for each seed, the same in every process.

    Multiply, add, modulo a prime (Carter and Wegman): two flows meet in one slot with a chance of
    1 / slots, whatever their addresses. A CRC would not do: what collides in one with one seed
    collides with all. Neither would a prime that is smaller than the keys.
    """

    __slots__ = ("_a", "_b", "_known", "_long", "slots")

    def __init__(self, rng: Random, slots: int) -> None:
        self._a = rng.randrange(1, _PRIME)
        self._b = rng.randrange(_PRIME)
        own = Random(self._a ^ self._b << 127)  # what IPv6 draws changes nothing of IPv4's runs
        self._long = own.randrange(1, _LONG_PRIME), own.randrange(_LONG_PRIME)
        # The product of two numbers of 100 bits costs 5 times as much as to look it up again.
        self._known: dict[bytes, int] = {}
        self.slots = slots

    def slot(self, frame: Frame) -> int:
        """Return the slot of the frame's flow, 0..slots - 1."""
        key = flow_key(frame)
        slot = self._known.get(key)
        if slot is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            number = int.from_bytes(key, "big")
            if len(key) < _LONG_KEY_BYTES:
                slot = (self._a * number + self._b) % _PRIME % self.slots
            else:
                a, b = self._long
                slot = (a * number + b) % _LONG_PRIME % self.slots
            self._known[key] = slot
        return slot
