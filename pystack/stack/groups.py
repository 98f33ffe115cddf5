"""Multicast groups of one host (RFC 1112), and what it tells the routers of a link.

An interface hears a group as long as somebody here has joined it; all hosts and all nodes, always,
and with each IPv6 address the group in which that is asked for. A join is reported twice, for the
first report may be lost; a query is answered after a random delay. That is the same for both
versions of IP, and stands here once (`Groups`). How it is said is IGMPv2's (RFC 2236; a querier of
version 3 reads it as well, RFC 3376 section 7.3.2, to one of version 1 ours is version 1) and
MLDv2's (RFC 3810, as a host that hears a group from everybody; to a querier of version 1 it is
RFC 2710's).

What the links of a host are given before it says a word (the addresses of a laboratory) is not
reported by itself: `announce` does that, or a router asks.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from pystack.core.addresses import (
    ALL_HOSTS,
    ALL_MLD_ROUTERS,
    ALL_NODES6,
    ALL_ROUTERS,
    ALL_ROUTERS6,
    UNSPECIFIED,
    UNSPECIFIED6,
    V6,
    Ip,
    Prefix,
    format_ip,
    is_link_local,
    is_multicast,
    is_unspecified,
    is_v6,
)
from pystack.core.rng import Random, component_rng
from pystack.core.scheduler import Handle
from pystack.stack import egress
from pystack.stack.routes import Route
from pystack.stack.way import Way
from pystack.wire import igmp, ipv4, ipv6, ipv6_ext, mld
from pystack.wire.icmp import IcmpMessage
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

UNSOLICITED_REPORT_INTERVAL_S: Final = 10.0  # RFC 2236 section 8.10
VERSION_1_ROUTER_PRESENT_S: Final = 400.0  # RFC 2236 section 8.11
VERSION_1_RESPONSE_S: Final = 10.0  # RFC 2236 section 4: what a query of version 1 grants
MLD_REPORT_INTERVAL_S: Final = 1.0  # RFC 3810 section 9.11
MLD_VERSION_1_S: Final = 260.0  # RFC 3810 section 9.12, with the default values
_TTL: Final = 1  # RFC 2236 section 2
_ALL_GROUPS: Final = Prefix.of(0xE0000000, 4)
_ALL_GROUPS6: Final = Prefix.of(V6 | 0xFF << 120, 8)
_RECORD_BYTES: Final = 20  # of a group in a report of MLDv2
_MLD_HEADERS_BYTES: Final = ipv6.HEADER_BYTES + len(mld.ROUTER_ALERT) + 8

_Member = tuple["Interface", Ip]


class Language(Protocol):
    """How one version of IP says which groups are heard."""

    rng: Random
    report_interval_s: float

    def is_silent(self, group: Ip) -> bool:
        """Tell whether nothing is ever said of a group."""
        ...

    def report(self, interface: Interface, group: Ip, now: float, *, asked: bool) -> None:
        """Say that a group is heard."""
        ...

    def leave(self, interface: Interface, group: Ip, now: float, *, reported: bool) -> bool:
        """Say that it is no more; `reported`: we were the last to say so. True: once more soon."""
        ...


class Groups:
    """Which groups are joined on which link."""

    __slots__ = ("_general", "_host", "_igmp", "_last_reporter", "_mld", "_timers")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._igmp = _Igmp(host)
        self._mld = _Mld(host)
        self._timers: dict[_Member, Handle] = {}  # a report is due
        self._general: dict[Interface, Handle] = {}  # one of MLDv2 of all groups is
        self._last_reporter: set[_Member] = set()  # nobody else has reported since we did

    def find_interface(self, group: Ip, address: Ip) -> Interface:
        """Return the interface with `address`; for 0.0.0.0 and ::, the one for `group`'s route.

        OSError (ENODEV): there is none.
        """
        found = self._host.addresses.get(address)
        if found is None and is_unspecified(address):
            route = self._host.routes.lookup(group)
            found = None if route is None else route.interface
        if found is None:
            raise OSError(errno.ENODEV, f"no interface for the group {format_ip(group)}")
        return found

    def join(self, interface: Interface, group: Ip, now: float) -> None:
        """Hear a group on this link: once more, if somebody here does already.

        OSError (EINVAL): it is none.
        """
        if not is_multicast(group):
            raise OSError(errno.EINVAL, f"{format_ip(group)} is not a multicast group")
        members = interface.groups
        members[group] = members.get(group, 0) + 1
        if members[group] == 1:
            self.announce(interface, group, now)

    def announce(self, interface: Interface, group: Ip, now: float) -> None:
        """Say that a group is heard: now and, for the first may be lost, once more."""
        language = self._language(group)
        if interface.neighbors is not None and not language.is_silent(group):
            self._report(interface, group, now, asked=False)
            self.report_within(interface, group, language.report_interval_s, now)

    def announce_all(self, interface: Interface, now: float) -> None:
        """Say so of all that IPv6 hears here: those of its addresses had nobody to join them."""
        for group in list(interface.groups):
            if is_v6(group):
                self.announce(interface, group, now)

    def leave(self, interface: Interface, group: Ip, now: float) -> None:
        """Take back one `join`; with the last one, the link is heard no more.

        OSError (EADDRNOTAVAIL): nobody had joined.
        """
        members = interface.groups
        own = interface.own_groups().get(group, 0)  # the host's, which it never leaves
        if members.get(group, 0) <= own:
            raise OSError(errno.EADDRNOTAVAIL, f"not in the group {format_ip(group)}")
        members[group] -= 1
        if members[group]:
            return
        del members[group]
        self.left(interface, group, now)

    def left(self, interface: Interface, group: Ip, now: float) -> None:
        """Take note that nobody here hears a group any more."""
        member = interface, group
        self._stop_timer(member)
        reported = member in self._last_reporter
        self._last_reporter.discard(member)
        language = self._language(group)
        if language.leave(interface, group, now, reported=reported):

            def again(at: float) -> None:
                del self._timers[member]
                language.leave(interface, group, at, reported=True)

            when = now + language.rng.uniform(0.0, language.report_interval_s)
            self._timers[member] = self._host.scheduler.call_at(when, again)

    def clear(self) -> None:
        """Leave all groups without a word to anybody: the power is off."""
        for timer in (*self._timers.values(), *self._general.values()):
            timer.cancel()
        self._timers.clear()
        self._general.clear()
        self._last_reporter.clear()
        self._igmp.version_1_until.clear()
        self._mld.version_1_until.clear()
        for interface in self._host.interfaces:
            interface.groups = interface.own_groups()

    def packet_arrived(self, interface: Interface, packet: Packet, now: float) -> None:
        """Take IGMP: a router's query, or another member's report."""
        message = igmp.parse(packet.payload)
        if interface.neighbors is None or not packet.to_many:
            self._host.drop("igmp_not_to_group", now, interface, packet.raw)
        elif message.kind == igmp.QUERY:
            self._host.counters.add("igmp_queries_in")
            within_s = self._igmp.response_s(interface, message, now)
            self._asked(interface, message.group, within_s, now)
        elif message.kind in (igmp.REPORT_V1, igmp.REPORT_V2):
            self._host.counters.add("igmp_reports_in")
            self._heard(interface, message.group)
        else:
            self._host.drop("igmp_unknown_type", now, interface, packet.raw)

    def mld_arrived(
        self, interface: Interface, packet: Packet, message: IcmpMessage, now: float
    ) -> None:
        """Take MLD: the same. WireError: it is not valid."""
        said = mld.parse(packet, message)
        if interface.neighbors is None or not packet.to_many:
            self._host.drop("mld_not_to_group", now, interface, packet.raw)
        elif isinstance(said, mld.MldQuery):
            self._host.counters.add("mld_queries_in")
            if said.version == 1:
                self._mld.version_1_until[interface] = now + MLD_VERSION_1_S
            if said.group == UNSPECIFIED6 and not self._mld.speaks_version_1(interface, now):
                self._asked_for_all(interface, said.max_response_s, now)
            else:
                self._asked(interface, said.group, said.max_response_s, now)
        else:
            self._host.counters.add("mld_reports_in")
            # RFC 3810 section 8.2.1: what members of version 2 say makes nobody silent.
            if isinstance(said, mld.MldReport1) and self._mld.speaks_version_1(interface, now):
                self._heard(interface, said.group)

    def report_within(
        self, interface: Interface, group: Ip, most_s: float, now: float, *, asked: bool = False
    ) -> None:
        """Say that a group is heard, after a random time; `asked`: a router wants to know."""
        member = interface, group
        self._stop_timer(member)

        def report(at: float) -> None:
            del self._timers[member]
            self._report(interface, group, at, asked=asked)

        when = now + self._language(group).rng.uniform(0.0, most_s)
        self._timers[member] = self._host.scheduler.call_at(when, report)

    def _asked(self, interface: Interface, asked: Ip, within_s: float, now: float) -> None:
        """Plan the answers to a query: about one group, or about all (0.0.0.0, or ::)."""
        everything = asked in (0, UNSPECIFIED6)
        for group in list(interface.groups):
            of_its_version = is_v6(group) == is_v6(asked)
            if not of_its_version or self._language(group).is_silent(group):
                continue
            if everything or group == asked:
                timer = self._timers.get((interface, group))
                # One that is to come within that time anyway stays as it is.
                if timer is None or timer.when > now + within_s:
                    self.report_within(interface, group, within_s, now, asked=True)

    def _asked_for_all(self, interface: Interface, within_s: float, now: float) -> None:
        """Plan one answer about all groups (RFC 3810 section 6.2)."""
        when = now + self._mld.rng.uniform(0.0, within_s)
        timer = self._general.get(interface)
        if timer is not None:
            if timer.when <= when:
                return
            timer.cancel()

        def report(at: float) -> None:
            del self._general[interface]
            heard = [g for g in interface.groups if is_v6(g) and not self._mld.is_silent(g)]
            self._last_reporter.update((interface, group) for group in heard)
            self._mld.report_all(interface, heard, at)

        self._general[interface] = self._host.scheduler.call_at(when, report)

    def _heard(self, interface: Interface, group: Ip) -> None:
        """Take another member's report: one is enough for the router (RFC 2236 section 3)."""
        member = interface, group
        if group in interface.groups:
            self._stop_timer(member)
        self._last_reporter.discard(member)

    def _report(self, interface: Interface, group: Ip, now: float, *, asked: bool) -> None:
        self._last_reporter.add((interface, group))
        self._language(group).report(interface, group, now, asked=asked)

    def _language(self, group: Ip) -> Language:
        return self._mld if is_v6(group) else self._igmp

    def _stop_timer(self, member: _Member) -> None:
        timer = self._timers.pop(member, None)
        if timer is not None:
            timer.cancel()


class _Igmp:
    """IGMPv2, and version 1 where a router knows no other."""

    __slots__ = ("_host", "report_interval_s", "rng", "version_1_until")

    def __init__(self, host: Host) -> None:
        self._host = host
        self.rng = host.rng
        self.report_interval_s = UNSOLICITED_REPORT_INTERVAL_S
        self.version_1_until: dict[Interface, float] = {}

    def is_silent(self, group: Ip) -> bool:
        # RFC 2236 section 6: of all hosts, which everybody is in, nothing is ever said.
        return group == ALL_HOSTS

    def response_s(self, interface: Interface, query: igmp.IgmpMessage, now: float) -> float:
        """Return within which time a query is to be answered."""
        if query.max_response_tenths:
            return query.max_response_tenths / 10
        self.version_1_until[interface] = now + VERSION_1_ROUTER_PRESENT_S
        return VERSION_1_RESPONSE_S

    def report(self, interface: Interface, group: Ip, now: float, *, asked: bool) -> None:
        version_1 = self._speaks_version_1(interface, now)
        kind = igmp.REPORT_V1 if version_1 else igmp.REPORT_V2
        self._send(interface, igmp.pack(kind, group), group, now)

    def leave(self, interface: Interface, group: Ip, now: float, *, reported: bool) -> bool:
        if reported and not self._speaks_version_1(interface, now):
            self._send(interface, igmp.pack(igmp.LEAVE, group), ALL_ROUTERS, now)
        return False

    def _speaks_version_1(self, interface: Interface, now: float) -> bool:
        return now < self.version_1_until.get(interface, -math.inf)

    def _send(self, interface: Interface, message: bytes, dst: Ip, now: float) -> None:
        host = self._host
        host.counters.add("igmp_out")
        own = (each.address for each in interface.addresses if not each.prefix.is_v6)
        src = next(own, UNSPECIFIED)
        route = Route(_ALL_GROUPS, interface, None, src)
        egress.send_packet(
            host,
            Way(host, route, src, dst),
            ipv4.IGMP,
            message,
            now,
            ttl=_TTL,
            options=igmp.ROUTER_ALERT,
        )


class _Mld:
    """MLDv2, and version 1 where a router knows no other."""

    __slots__ = ("_host", "report_interval_s", "rng", "version_1_until")

    def __init__(self, host: Host) -> None:
        self._host = host
        # Its own: what IPv6 draws changes nothing of a host's other numbers.
        self.rng = component_rng(host.seed, f"host/{host.name}/mld")
        self.report_interval_s = MLD_REPORT_INTERVAL_S
        self.version_1_until: dict[Interface, float] = {}

    def is_silent(self, group: Ip) -> bool:
        # RFC 3810 section 6: nor of what does not leave the host (scopes 0 and 1).
        return group == ALL_NODES6 or group >> 112 & 0xF < 2

    def speaks_version_1(self, interface: Interface, now: float) -> bool:
        """Tell whether a router here has asked in version 1."""
        return now < self.version_1_until.get(interface, -math.inf)

    def report(self, interface: Interface, group: Ip, now: float, *, asked: bool) -> None:
        src = self._source(interface)
        if self.speaks_version_1(interface, now):
            self._send(interface, src, group, mld.pack_report1(src, group, group), now)
            return
        kind = mld.MODE_IS_EXCLUDE if asked else mld.CHANGE_TO_EXCLUDE
        self._send_records(interface, [(kind, group)], now)

    def report_all(self, interface: Interface, groups: list[Ip], now: float) -> None:
        """Say of all groups that they are heard, in as few messages as it takes."""
        each = (interface.mtu6_bytes - _MLD_HEADERS_BYTES) // _RECORD_BYTES
        for at in range(0, len(groups), each):
            part = [(mld.MODE_IS_EXCLUDE, group) for group in groups[at : at + each]]
            self._send_records(interface, part, now)

    def leave(self, interface: Interface, group: Ip, now: float, *, reported: bool) -> bool:
        if not reported:
            return False
        if self.speaks_version_1(interface, now):
            src = self._source(interface)
            message = mld.pack_done(src, ALL_ROUTERS6, group)
            self._send(interface, src, ALL_ROUTERS6, message, now)
            return False
        self._send_records(interface, [(mld.CHANGE_TO_INCLUDE, group)], now)
        return True

    def _send_records(
        self, interface: Interface, records: Sequence[tuple[int, int]], now: float
    ) -> None:
        src = self._source(interface)
        message = mld.pack_report(src, ALL_MLD_ROUTERS, records)
        self._send(interface, src, ALL_MLD_ROUTERS, message, now)

    def _source(self, interface: Interface) -> Ip:
        """Return the link-local address; RFC 3590: nobody's while it is being tried out."""
        own = (each.address for each in interface.addresses if each.is_usable)
        found = (address for address in own if is_v6(address) and is_link_local(address))
        return next(found, UNSPECIFIED6)

    def _send(self, interface: Interface, src: Ip, dst: Ip, message: bytes, now: float) -> None:
        host = self._host
        host.counters.add("mld_out")
        route = Route(_ALL_GROUPS6, interface, None, src)
        egress.send_packet(
            host,
            Way(host, route, src, dst),
            ipv6_ext.HOP_BY_HOP,
            mld.ROUTER_ALERT + message,
            now,
            ttl=mld.HOP_LIMIT,
        )
