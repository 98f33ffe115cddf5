"""Which of its addresses a host uses: the choice of a source (RFC 6724 section 5), and zones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pystack.core import address_policy
from pystack.core.address_policy import GLOBAL, LINK_LOCAL, Source, best_source, number, scope
from pystack.core.addresses import Ip, is_link_local, is_v6, with_zone
from pystack.stack.interface import AddressState, InterfaceAddress

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface


def scoped(interface: Interface, address: Ip) -> Ip:
    """Return an IPv6 address as this host has it: a link-local one with its interface's zone."""
    return with_zone(address, interface.index) if is_link_local(address) else address


def source_on(interface: Interface, dst: Ip) -> InterfaceAddress | None:
    """Return the address of one interface that packets to `dst` of IPv6 come from.

    None: there is none that may be used.
    """
    return _best(interface.addresses, dst)


def source_by(host: Host, interface: Interface, dst: Ip) -> InterfaceAddress | None:
    """Return the same for packets that go out by an interface, from all of a host's addresses.

    Those of that interface (RFC 6724 section 4), unless none of them reaches as far as `dst` does:
    a link may have no addresses of its own but the link-local one.
    """
    own = source_on(interface, dst)
    reach = scope(number(dst))
    if reach <= LINK_LOCAL or (own is not None and scope(number(own.address)) >= GLOBAL):
        return own
    others = [each for known in host.interfaces for each in known.addresses]
    wide = _best([each for each in others if scope(number(each.address)) >= GLOBAL], dst)
    return wide or own


def why_source(host: Host, interface: Interface, dst: Ip, src: Ip) -> str:
    """Return why packets to `dst` come from `src`: the rule; "": there was no choice, or no rule.

    An address that a program has bound itself is none of the rules' doing.
    """
    if not is_v6(dst) or src not in host.addresses:
        return ""
    chosen = source_by(host, interface, dst)
    if chosen is None or scoped(interface, chosen.address) != scoped(interface, src):
        return ""
    usable = [own for own in interface.addresses if own.is_usable and own.prefix.is_v6]
    return address_policy.why_source(number(dst), [_candidate(own) for own in usable])


def _best(addresses: Iterable[InterfaceAddress], dst: Ip) -> InterfaceAddress | None:
    found = {number(own.address): own for own in addresses if own.is_usable and own.prefix.is_v6}
    best = best_source(number(dst), [_candidate(own) for own in found.values()])
    return None if best is None else found[best.address]


def _candidate(own: InterfaceAddress) -> Source:
    return Source(
        number(own.address),
        own.prefix.length,
        deprecated=own.state is AddressState.DEPRECATED,
        temporary=own.is_temporary,
    )
