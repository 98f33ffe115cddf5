"""Observers: told of everything that happens, at the price of nothing while there are none.

An event is made only when somebody looks (`if host.observers:`). Observers may not change what they
see; one that raises stops the program, for a microscope that lies in silence is worse than none.
"""

from dataclasses import dataclass
from typing import Protocol

from pystack.core.tcp_events import (
    TcpMeasured,
    TcpRepair,
    TcpRetransmitted,
    TcpSoftError,
    TcpStateChanged,
)
from pystack.wire.frame import Frame


@dataclass(slots=True)
class FrameSeen:
    """A frame passed an interface. It may be a super-frame with its checksum not filled in."""

    at: float
    host: str
    interface: str
    sent: bool  # by this host; False: it arrived
    frame: Frame


@dataclass(slots=True)
class Dropped:
    """Something was thrown away or refused. `reason` is also the name of the counter."""

    at: float
    host: str
    interface: str | None  # None: not bound to one
    reason: str
    data: bytes  # what was dropped, as far as it is at hand; empty if it is not
    frame: Frame | None = None  # the frame itself, where it was one (on a link); None: not at hand


@dataclass(slots=True)
class NeighborChanged:
    """An entry of the ARP table changed its state; the states are Linux's NUD names."""

    at: float
    host: str
    interface: str
    address: str
    old: str
    new: str
    mac: str | None  # None: not known (any more)


@dataclass(slots=True)
class AddressChanged:
    """An IPv6 address of an interface came, went, or may be used otherwise (RFC 4862)."""

    at: float
    host: str
    interface: str
    address: str  # with its prefix: "fd00::1/64"
    old: str  # "tentative", "preferred", "deprecated", "dadfailed"; "": it is new
    new: str  # "": it has gone


@dataclass(slots=True)
class LookUp:
    """A host looks a name up: in its own tables, or by asking a server."""

    at: float
    host: str
    name: str
    # "asked" (each query), "answered", "cached", "known" (a table, no packet), "failed"; "ordered":
    # several addresses have been put into the order in which they are tried
    what: str
    kind: str = ""  # the type of record: "A", "AAAA"; "": any
    server: str = ""  # who was asked; "": nobody
    addresses: tuple[str, ...] = ()  # what came of it
    detail: str = ""  # why it failed; of an order, RFC 6724's rule
    ttl_s: int | None = None  # for how long an answer holds (still); None: not known
    took_s: float | None = None  # from the first query to the answer; None: there was none


@dataclass(slots=True)
class RouteChosen:
    """A host found out how to reach an address it sends to for the first time (or again)."""

    at: float
    host: str
    destination: str
    source: str  # the address of ours that was chosen for it
    interface: str
    prefix: str  # the route's, "0.0.0.0/0"; "": there is no route
    next_hop: str  # the gateway, or the destination itself where it is on the link
    detail: str = ""  # why this source (RFC 6724's rule), where there was a choice
    mtu_bytes: int = 0  # the largest packet that gets there, as far as is known


@dataclass(slots=True)
class Milestone:
    """A program got somewhere: what only it can know, such as that a response has begun."""

    at: float
    host: str
    what: (
        str  # "connect", "connected", "tls_begin", "tls_done", "request", "first_byte", "done" ...
    )
    detail: str = ""
    local: tuple[str, int] | None = None  # the connection that it is about; None: of none
    remote: tuple[str, int] | None = None


@dataclass(slots=True)
class FellBehind:
    """In real time: the machine runs later than a link's delay can hide. Once a second at most."""

    at: float
    host: str  # the link's name
    late_s: float  # what runs now was due so long ago
    since: float  # the instant from which on it has been so
    hides_s: float  # what the link's delay makes up for


Event = (
    FrameSeen
    | Dropped
    | NeighborChanged
    | AddressChanged
    | LookUp
    | RouteChosen
    | Milestone
    | TcpStateChanged
    | TcpRetransmitted
    | TcpSoftError
    | TcpRepair
    | TcpMeasured
    | FellBehind
)


class Observer(Protocol):
    """Receives events: an object with one method."""

    def on_event(self, event: Event) -> None:
        """Take note of an event. Called at the very instant, in order."""
        ...
