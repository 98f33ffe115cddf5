"""What a UDP service may not be used for: as a reflector, or against another one (CERT CA-1996-01).

The sender of a datagram is who it says it is only if nobody lies. So what an answer is longer than
its question is bounded for each address, but for what is too little to be of use to anybody; and
what would answer anything does not answer what may answer anything too: two of them would never
stop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from pystack.apps.world import of_this_run
from pystack.core.addresses import format_ip, without_zone
from pystack.runtime.host import Host
from pystack.runtime.names.zones import owner_of

BURST_BYTES: Final = 16 * 1024
REFILL_BYTES_PER_S: Final = 4 * 1024
MAX_ADDRESSES: Final = 4096
HEADER_BYTES: Final = 28  # IPv4 and UDP
FREE_PART: Final = (
    0.5  # of the question's packet; RFC 9000 section 8.1 lets answers be three times it
)
PRIVILEGED_PORTS: Final = 1024  # below it servers speak, not clients, as FreeBSD's inetd has it

_serving: Final[trio.lowlevel.RunVar[Sockets]] = trio.lowlevel.RunVar("pystack.apps.reflection")


def excess_bytes(question: bytes, answer: bytes) -> int:
    """Return what of an answer counts as more than was asked; 0: nothing."""
    more = len(answer) - len(question)
    return more if more > FREE_PART * (HEADER_BYTES + len(question)) else 0


class Excess:
    """How much longer than questions the answers to each address may be for now."""

    __slots__ = ("_allowed",)

    def __init__(self) -> None:
        # Address to bytes and since when; the one answered last comes last
        self._allowed: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many addresses are remembered."""
        return len(self._allowed)

    def allows(self, excess_bytes: int, address: str, now: float) -> bool:
        """Count an answer that is so much longer; False: it is not to be sent."""
        address = owner_of(address)
        left_bytes, at = self._allowed.pop(address, (float(BURST_BYTES), now))
        left_bytes = min(BURST_BYTES, left_bytes + (now - at) * REFILL_BYTES_PER_S)
        allowed = excess_bytes <= left_bytes
        self._allowed[address] = left_bytes - excess_bytes if allowed else left_bytes, now
        if len(self._allowed) > MAX_ADDRESSES:
            self._allowed.popitem(last=False)
        return allowed


class Sockets:
    """Where services are, in one Trio run, that answer anything."""

    __slots__ = ("_hosts",)

    def __init__(self) -> None:
        self._hosts: dict[int, list[Host]] = {}  # by port

    @contextmanager
    def served(self, host: Host, port: int) -> Iterator[None]:
        """Keep that in mind while the block is running."""
        hosts = self._hosts.setdefault(port, [])
        hosts.append(host)
        try:
            yield
        finally:
            hosts.remove(host)

    def has(self, address: str, port: int) -> bool:
        """Tell whether one of them is there."""
        bare = address.partition("%")[0]
        return any(bare in _addresses(host) for host in self._hosts.get(port, ()))


def sockets_of_this_run() -> Sockets:
    """Return those of the Trio run that this is called in."""
    return of_this_run(_serving, Sockets)


def _addresses(host: Host) -> set[str]:
    return {
        format_ip(without_zone(own.address))
        for interface in host.interfaces
        for own in interface.addresses
    }
