"""What one host knows of the MTU of paths (RFC 1191 section 6.3), and how claims are checked.

Kept for each destination, from claims that a connection had reason to believe; new connections
begin with it. Forgotten after ten minutes, and bounded in number.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip, is_v6
from pystack.tcp import fast_open, path_mtu
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import SIZES4, SIZES6, IpSizes

if TYPE_CHECKING:
    from pystack.stack.icmp_core import IcmpError
    from pystack.stack.tcp_socket import TcpSocket

MAX_PATHS: Final = 1024
# RFC 1191 section 7.1: MTUs that exist, for routers that do not tell theirs (section 5)
_PLATEAUS: Final = (32000, 17914, 8166, 4352, 2002, 1492, 1006, 576, 508, 296)


def sizes_to(dst: Ip) -> IpSizes:
    """Return the sizes of what goes to an address."""
    return SIZES6 if is_v6(dst) else SIZES4


def least_mtu(dst: Ip) -> int:
    """Return what no claim makes smaller: the packets to an address."""
    sizes = sizes_to(dst)
    return sizes.least_mss + sizes.headers_bytes


class PathMtus:
    """MTUs by destination, the oldest first."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # What, and until when; ordered, for a dict is slow to find its first after many deletions
        self._known: OrderedDict[Ip, tuple[int, float]] = OrderedDict()

    def mtu_to(self, dst: Ip, now: float) -> int | None:
        """Return the MTU of a path; None: nothing is known."""
        known = self._known.get(dst)
        if known is None:
            return None
        mtu_bytes, until = known
        if until <= now:
            del self._known[dst]
            return None
        return mtu_bytes

    def mss_to(self, dst: Ip, now: float) -> int | None:
        """Return the largest payload for a path, without TCP options; None: nothing is known."""
        mtu_bytes = self.mtu_to(dst, now)
        return None if mtu_bytes is None else mtu_bytes - sizes_to(dst).headers_bytes

    def claimed(self, socket: TcpSocket, seq: int, error: IcmpError, now: float) -> None:
        """Take "fragmentation needed" about a segment that is on its way (RFC 5927 section 7)."""
        connection = socket.connection
        quoted_bytes = error.quoted.total_length
        mtu_bytes = error.mtu_bytes
        if not mtu_bytes:  # an old router
            mtu_bytes = next((known for known in _PLATEAUS if known < quoted_bytes), 0)
        if mtu_bytes >= quoted_bytes:
            connection.drops.append("tcp_mtu_not_smaller")
            return
        tcb = connection.tcb
        mss = mtu_bytes - tcb.sizes.headers_bytes
        if connection.state is TcpState.SYN_SENT:
            believed = fast_open.too_big(connection, mss)
        else:
            believed = path_mtu.too_big(connection, seq, mss - tcb.options_bytes, now)
        if believed:
            self.learn(socket.remote, mtu_bytes, now)

    def learn(self, dst: Ip, mtu_bytes: int, now: float) -> None:
        """Remember the MTU of a path for ten minutes."""
        self._known.pop(dst, None)
        if len(self._known) >= MAX_PATHS:
            self._known.popitem(last=False)
        self._known[dst] = mtu_bytes, now + path_mtu.RAISE_AFTER_S

    def __len__(self) -> int:
        """Return how many paths are remembered."""
        return len(self._known)
