"""Whose packets the short cuts take: what `ingress.py` asks about addresses, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pystack.core.addresses import Ip4, is_loopback

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface


def may_be_heard(host: Host, interface: Interface, src: Ip4, dst: Ip4) -> bool:
    """Tell whether nothing is wrong with these addresses here; else `ingress` knows what is."""
    return (
        dst in host.addresses
        and interface.neighbors is not None
        and host.may_be_source(src)
        and not is_loopback(src)
        and not is_loopback(dst)
        and src not in host.addresses
    )
