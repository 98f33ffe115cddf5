"""Dissection: a frame taken apart down to its bits, each field with its value and meaning.

`dissect` gives boxes from outside to inside, as a layer wraps what the layer above gave it. Each
bit of the frame belongs to one field of one box. It takes any bytes: what is cut off or malformed
is said in its place. Fields are laid out by tables; numbers, options and messages are those of
`pystack.wire`.
"""

from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.observe.captures import link_types
from pystack.observe.dissect.application import READERS, lay_all
from pystack.observe.dissect.layout import Dissection
from pystack.observe.dissect.link import lay_arp, lay_link, lay_other
from pystack.observe.dissect.network import lay_ip4, lay_ip6
from pystack.observe.explain.story import Box
from pystack.wire import ethernet

PROTOCOLS: Final = tuple(sorted(READERS))  # of streams


def dissect(data: bytes, link_type: int = link_types.ETHERNET) -> list[Box]:
    """Take a frame apart. Never raises; an empty frame has no boxes."""
    whole = Dissection(bytes(data), _packet)
    if data:
        lay_link(whole, link_type)
    return whole.boxes


def dissect_stream(data: bytes, protocol: str) -> list[Box]:
    """Take apart what one side of a connection has said, from its beginning. ConfigError."""
    if protocol not in READERS:
        raise ConfigError(f"there is no protocol {protocol!r}{suggest(protocol, READERS)}")
    whole = Dissection(bytes(data), _packet)
    lay_all(whole, 0, len(data), protocol)
    return whole.boxes


def _packet(whole: Dissection, ethertype: int, start: int, end: int) -> None:
    if ethertype == ethernet.IPV4:
        lay_ip4(whole, start, end)
    elif ethertype == ethernet.IPV6:
        lay_ip6(whole, start, end)
    elif ethertype == ethernet.ARP:
        lay_arp(whole, start, end)
    else:
        lay_other(whole, ethertype, start, end)
