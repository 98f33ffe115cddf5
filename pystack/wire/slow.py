"""Rare formats, read with dpkt: what the stack's own parsers have no reason to know.

Nothing here is on the way of a packet; it is for those who look at packets. dpkt raises all sorts
of errors on hostile bytes, and cuts off in silence what it cannot parse; whatever is not plainly
what it should be raises `WireError` here, and nothing else.
"""
# ruff: noqa: ANN401 - dpkt is not typed

from typing import Any, Final

from pystack.core.addresses import format_ip4, format_mac
from pystack.core.errors import WireError
from pystack.core.extras import need
from pystack.wire.checksum import Buffer

try:
    import dpkt
except ModuleNotFoundError:
    need("dpkt", "what DHCP says")
    raise

_DHCP_TYPES: Final = {
    1: "Discover",
    2: "Offer",
    3: "Request",
    4: "Decline",
    5: "ACK",
    6: "NAK",
    7: "Release",
    8: "Inform",
}
_DHCP_MESSAGE_TYPE: Final = 53  # RFC 2132 section 9.6


def describe_dhcp(data: Buffer) -> str:
    """Return a BOOTP or DHCP message (RFC 2131) in a few words; WireError where it is none."""
    message = _parse(dpkt.dhcp.DHCP, data, "dhcp_malformed")
    kinds = [value[0] for option, value in message.opts if option == _DHCP_MESSAGE_TYPE and value]
    kind = f" {_DHCP_TYPES.get(kinds[0], kinds[0])}" if kinds else ""
    side = "Request" if message.op == 1 else "Reply"
    yours = f", your address {format_ip4(message.yiaddr)}" if message.yiaddr else ""
    station = format_mac(bytes(message.chaddr)[:6])
    return f"BOOTP/DHCP, {side}{kind} from {station}{yours}, length {len(data)}"


def _parse(kind: Any, data: Buffer, reason: str) -> Any:
    try:
        return kind(bytes(data))
    except Exception as error:  # seen: UnpackError, IndexError, UnicodeDecodeError, struct.error
        raise WireError(reason) from error
