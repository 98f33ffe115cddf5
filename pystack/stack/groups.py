"""Multicast groups of one host (RFC 1112), and what it tells the routers of a link (RFC 2236).

An interface hears a group as long as somebody here has joined it; 224.0.0.1, all hosts, always. A
join is reported twice, for the first report may be lost; a query is answered after a random delay,
which another member's report makes needless. IGMPv2; a querier of version 3 reads it as well (RFC
3376 section 7.3.2), to one of version 1 ours is version 1.
"""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import ALL_HOSTS, ALL_ROUTERS, Ip4, Prefix, format_ip4, is_multicast
from pystack.core.scheduler import Handle
from pystack.stack import egress
from pystack.stack.routes import Route
from pystack.wire import igmp, ipv4
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

UNSOLICITED_REPORT_INTERVAL_S: Final = 10.0  # RFC 2236 section 8.10
VERSION_1_ROUTER_PRESENT_S: Final = 400.0  # RFC 2236 section 8.11
VERSION_1_RESPONSE_S: Final = 10.0  # RFC 2236 section 4: what a query of version 1 grants
_TTL: Final = 1  # RFC 2236 section 2
_ALL_GROUPS: Final = Prefix.of(0xE0000000, 4)

_Member = tuple["Interface", Ip4]


class Groups:
    """Who is in which group on which link."""

    __slots__ = ("_host", "_last_reporter", "_timers", "_version_1_until")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._timers: dict[_Member, Handle] = {}  # a report is due
        self._last_reporter: set[_Member] = set()  # nobody else has reported since we did
        self._version_1_until: dict[Interface, float] = {}  # where a router knows no other

    def find_interface(self, group: Ip4, address: Ip4) -> Interface:
        """Return the interface with `address`; for 0.0.0.0, the one that `group` is routed by.

        OSError (ENODEV): there is none.
        """
        found = self._host.addresses.get(address)
        if found is None and not address:
            route = self._host.routes.lookup(group)
            found = None if route is None else route.interface
        if found is None:
            raise OSError(errno.ENODEV, f"no interface for the group {format_ip4(group)}")
        return found

    def join(self, interface: Interface, group: Ip4, now: float) -> None:
        """Hear a group on this link: once more, if somebody here does already.

        OSError (EINVAL): it is none.
        """
        if not is_multicast(group):
            raise OSError(errno.EINVAL, f"{format_ip4(group)} is no multicast group")
        members = interface.groups
        members[group] = members.get(group, 0) + 1
        if members[group] == 1 and interface.neighbors is not None:
            self._report(interface, group, now)
            # RFC 2236 section 3: again, for the first may be lost
            self._report_within(interface, group, UNSOLICITED_REPORT_INTERVAL_S, now)

    def leave(self, interface: Interface, group: Ip4, now: float) -> None:
        """Take back one `join`; with the last one, the link is heard no more.

        OSError (EADDRNOTAVAIL): nobody had joined.
        """
        members = interface.groups
        own = 1 if group == ALL_HOSTS else 0  # the host's, which it never leaves
        if members.get(group, 0) <= own:
            raise OSError(errno.EADDRNOTAVAIL, f"not in the group {format_ip4(group)}")
        members[group] -= 1
        if members[group]:
            return
        del members[group]
        member = interface, group
        self._stop_timer(member)
        if member in self._last_reporter:
            self._last_reporter.remove(member)
            if not self._speaks_version_1(interface, now):
                self._send(interface, igmp.pack(igmp.LEAVE, group), ALL_ROUTERS, now)

    def clear(self) -> None:
        """Leave all groups without a word to anybody: the power is off."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._last_reporter.clear()
        self._version_1_until.clear()
        for interface in self._host.interfaces:
            interface.groups = {ALL_HOSTS: 1}

    def packet_arrived(self, interface: Interface, packet: Packet, now: float) -> None:
        """Take a router's query, or another member's report."""
        message = igmp.parse(packet.payload)
        if interface.neighbors is None or not packet.to_many:
            self._host.drop("igmp_not_to_group", now, interface, packet.raw)
        elif message.kind == igmp.QUERY:
            self._query_arrived(interface, message, now)
        elif message.kind in (igmp.REPORT_V1, igmp.REPORT_V2):
            self._host.counters.add("igmp_reports_in")
            member = interface, message.group
            # One member is enough for the router: RFC 2236 section 3.
            self._stop_timer(member)
            self._last_reporter.discard(member)
        else:
            self._host.drop("igmp_unknown_type", now, interface, packet.raw)

    def _query_arrived(self, interface: Interface, message: igmp.IgmpMessage, now: float) -> None:
        self._host.counters.add("igmp_queries_in")
        within_s = message.max_response_tenths / 10
        if not message.max_response_tenths:
            self._version_1_until[interface] = now + VERSION_1_ROUTER_PRESENT_S
            within_s = VERSION_1_RESPONSE_S
        for group in interface.groups:
            # RFC 2236 section 6: of all hosts, which everybody is in, nothing is ever said.
            if group != ALL_HOSTS and message.group in (0, group):
                timer = self._timers.get((interface, group))
                # One that is to come within that time anyway stays as it is.
                if timer is None or timer.when > now + within_s:
                    self._report_within(interface, group, within_s, now)

    def _report_within(self, interface: Interface, group: Ip4, most_s: float, now: float) -> None:
        member = interface, group
        self._stop_timer(member)

        def report(at: float) -> None:
            del self._timers[member]
            self._report(interface, group, at)

        when = now + self._host.rng.uniform(0.0, most_s)
        self._timers[member] = self._host.scheduler.call_at(when, report)

    def _report(self, interface: Interface, group: Ip4, now: float) -> None:
        version_1 = self._speaks_version_1(interface, now)
        kind = igmp.REPORT_V1 if version_1 else igmp.REPORT_V2
        self._last_reporter.add((interface, group))
        self._send(interface, igmp.pack(kind, group), group, now)

    def _send(self, interface: Interface, message: bytes, dst: Ip4, now: float) -> None:
        host = self._host
        host.counters.add("igmp_out")
        route = Route(_ALL_GROUPS, interface, None, interface.address)
        egress.send_packet(
            host,
            route,
            interface.address,
            dst,
            ipv4.IGMP,
            message,
            now,
            ttl=_TTL,
            options=igmp.ROUTER_ALERT,
        )

    def _speaks_version_1(self, interface: Interface, now: float) -> bool:
        return now < self._version_1_until.get(interface, -math.inf)

    def _stop_timer(self, member: _Member) -> None:
        timer = self._timers.pop(member, None)
        if timer is not None:
            timer.cancel()
