"""What the IP header of a connection's segments says beside the addresses (RFC 9293 section 3.9.2).

One value per connection, replaced as a whole where its user changes something.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pystack.tcp.negotiation import MIN_TEXT_BYTES
from pystack.wire import ipv4
from pystack.wire.ip_options import MAX_HOPS, SourceRoute

if TYPE_CHECKING:
    from pystack.stack.host import Host

ECN_BITS: Final = 0x03  # of the type of service; they are TCP's own (RFC 3168)
_HEADERS_BYTES: Final = 20 + 60  # IP's without options, TCP's with all that it may have


@dataclass(slots=True, frozen=True)
class IpFields:
    """Diffserv, TTL and source route of all segments of a connection."""

    tos: int = 0  # the Diffserv field in its place, the two ECN bits 0
    ttl: int = ipv4.DEFAULT_TTL
    source_route: SourceRoute | None = None  # None: as the routers like it
    dont_fragment: bool = True  # False: routers may cut them where the path takes less
    by_user: bool = False  # the source route is the user's: what comes in changes nothing

    @property
    def option_bytes(self) -> int:
        """Return how much of each packet goes to IP options."""
        return 0 if self.source_route is None else 4 + 4 * len(self.source_route.hops)


PLAIN: Final = IpFields()


def refusal(host: Host, route: SourceRoute, mtu_bytes: int) -> int:
    """Return the errno where no packet could go that way; 0: it may be tried."""
    hops = route.hops
    if not 0 < len(hops) <= MAX_HOPS:
        return errno.EINVAL
    if any(host.is_many(hop) for hop in hops):
        return errno.ENETUNREACH
    if mtu_bytes < _HEADERS_BYTES + IpFields(source_route=route).option_bytes + MIN_TEXT_BYTES:
        return errno.EMSGSIZE
    return 0
