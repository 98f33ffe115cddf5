"""Which addresses of the real network may be reached from inside, and which never are by accident.

A packet that says 127.0.0.1, or an address that a kernel or a translator on its way would take for
that, would end at a service which its owner believes to be closed to everybody. So everything that
is only the machine's own, or of one link, is refused, in each of its disguises. The machine's
loopback has an address inside for those who ask for it by name (`loopbacks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pystack.core.addresses import (
    LOOPBACK,
    LOOPBACK6,
    V6,
    Ip,
    Prefix,
    is_link_local,
    is_loopback,
    is_multicast,
    is_v6,
    parse_ip6,
    without_zone,
)

_LOW_32: Final = 0xFFFFFFFF
_KNOWN: Final = 4096  # addresses that are remembered; when that many are, all are forgotten


def _block(text: str, length: int) -> Prefix:
    return Prefix.of(parse_ip6(text), length)


# Blocks of IPv6 whose last 32 bits are an address of IPv4, of which nothing ever is on a wire:
# "compatible" (with :: and ::1), mapped and translated ones (RFC 4291 2.5.5, RFC 7915).
_NEVER: Final = (_block("::", 96), _block("::ffff:0:0", 96), _block("::ffff:0:0:0", 96))
# Those through which a translator or a tunnel reaches IPv4, and by how much to shift for it
_NAT64: Final = _block("64:ff9b::", 96)  # RFC 6052 section 2.1
_LOCAL_NAT64: Final = _block("64:ff9b:1::", 48)  # RFC 8215: of any length that RFC 6052 has
_SIX_TO_FOUR: Final = _block("2002::", 16)  # RFC 3056
_TEREDO: Final = _block("2001::", 32)  # RFC 4380: the client's address is there inverted
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214 section 6.1


class Reach:
    """Translates between addresses inside and outside; what may not be reached has none."""

    __slots__ = ("_inside", "_known", "_outside")

    def __init__(self, loopbacks: Mapping[Ip, Ip] | None = None) -> None:
        """`loopbacks`: addresses inside, and which of the machine's loopback each stands for."""
        self._outside = dict(loopbacks or {})
        self._known: dict[Ip, Ip | None] = {}  # what was found out: for IPv6 that takes 5 us
        self._inside = {real: inside for inside, real in self._outside.items()}

    @property
    def loopbacks(self) -> tuple[Ip, ...]:
        """Return the addresses inside that stand for the machine's loopback."""
        return tuple(self._outside)

    def outside_of(self, inside: Ip) -> Ip | None:
        """Return the real address that is meant by one inside; None: it must not be reached."""
        known = self._known
        if inside in known:
            return known[inside]
        real = self._outside.get(inside)
        if real is None and not is_forbidden(inside):
            real = without_zone(inside)
        if len(known) >= _KNOWN:
            known.clear()
        known[inside] = real
        return real

    def inside_of(self, real: Ip) -> Ip:
        """Return the address under which a real one is known inside."""
        return self._inside.get(real, real)


def loopback_for(inside: Ip) -> Ip:
    """Return the machine's loopback in the IP version of an address."""
    return LOOPBACK6 if is_v6(inside) else LOOPBACK


def is_forbidden(address: Ip) -> bool:
    """Tell whether an address is the machine's own or one link's, plainly or in disguise."""
    if not is_v6(address):
        return _is_forbidden4(address)
    address = without_zone(address)
    if is_multicast(address) or is_link_local(address):
        return True
    if any(address in block for block in _NEVER):
        return True
    return any(_is_forbidden4(hidden) for hidden in _embedded(address))


def _is_forbidden4(address: int) -> bool:
    # "This network" (the kernel takes 0.0.0.0 for its loopback), loopback, link-local (clouds tell
    # secrets there), multicast, and reserved with the limited broadcast: RFC 6890.
    first = address >> 24
    return first in (0, 127) or is_link_local(address) or first >= 224


def _embedded(address: Ip) -> list[int]:
    """Return the addresses of IPv4 that something on the way could make of one of IPv6."""
    value = address & (V6 - 1)
    if address in _NAT64:
        return [value & _LOW_32]
    if address in _LOCAL_NAT64:
        return _of_local_nat64(value)
    if address in _SIX_TO_FOUR:
        return [value >> 80 & _LOW_32]
    if address in _TEREDO:
        return [value >> 64 & _LOW_32, ~value & _LOW_32]
    if value >> 32 & _LOW_32 in _ISATAP:
        return [value & _LOW_32]
    return []


def _of_local_nat64(value: int) -> list[int]:
    """Return what it embeds for each length of a translator's prefix (RFC 6052 section 2.2).

    Only one of them is meant, and nobody can tell which: of the others, which are pieces of the
    prefix and zeros, just those count that look like the machine's own or a link's.
    """
    whole = value & (1 << 64) - 1  # with bits 64 to 71, which are skipped, on top
    found = (
        value & _LOW_32,  # /96
        (value >> 64 & 0xFFFF) << 16 | whole >> 40 & 0xFFFF,  # /48
        (value >> 64 & 0xFF) << 24 | whole >> 32 & 0xFFFFFF,  # /56
        whole >> 24 & _LOW_32,  # /64
    )
    return [hidden for hidden in found if is_loopback(hidden) or is_link_local(hidden)]
