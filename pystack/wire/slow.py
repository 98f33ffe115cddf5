"""Rare formats, read with dpkt: what the stack's own parsers have no reason to know.

Nothing here is on the way of a packet; it is for those who look at packets. dpkt raises all sorts
of errors on hostile bytes, and cuts off in silence what it cannot parse; whatever is not plainly
what it should be raises `WireError` here, and nothing else.
"""
# ruff: noqa: ANN401 - dpkt is not typed

from typing import Any, Final

import dpkt

from pystack.core.addresses import format_ip4, format_mac
from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer

# RFC 1035 section 3.2.2 and the registry after it; others by number
_DNS_TYPES: Final = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    41: "OPT",
    65: "HTTPS",
    255: "ANY",
}
_DNS_ERRORS: Final = {1: " FormErr", 2: " ServFail", 3: " NXDomain", 4: " NotImp", 5: " Refused"}
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


def describe_dns(data: Buffer) -> str:
    """Return a DNS message (RFC 1035) in a few words; WireError where it is none."""
    message = _parse(dpkt.dns.DNS, data, "dns_malformed")
    number = f"{message.id}{'+' if message.rd and not message.qr else ''}"
    if not message.qr:
        asked = ", ".join(f"{_type(q.type)}? {_printable(q.name)}." for q in message.qd)
        return f"{number} {asked or '[no question]'} ({len(data)})"
    counts = f"{len(message.an)}/{len(message.ns)}/{len(message.ar)}"
    star = "*" if message.aa else ""
    answers = ", ".join(_answer(record) for record in message.an)
    error = _DNS_ERRORS.get(message.rcode, "")
    return f"{number}{error}{star} {counts}{' ' if answers else ''}{answers} ({len(data)})"


def describe_dhcp(data: Buffer) -> str:
    """Return a BOOTP or DHCP message (RFC 2131) in a few words; WireError where it is none."""
    message = _parse(dpkt.dhcp.DHCP, data, "dhcp_malformed")
    kinds = [value[0] for option, value in message.opts if option == _DHCP_MESSAGE_TYPE and value]
    kind = f" {_DHCP_TYPES.get(kinds[0], kinds[0])}" if kinds else ""
    side = "Request" if message.op == 1 else "Reply"
    yours = f", your address {format_ip4(message.yiaddr)}" if message.yiaddr else ""
    station = format_mac(bytes(message.chaddr)[:6])
    return f"BOOTP/DHCP, {side}{kind} from {station}{yours}, length {len(data)}"


def _answer(record: Any) -> str:
    kind = _type(record.type)
    if record.type == 1 and len(record.rdata) == 4:
        return f"{kind} {format_ip4(int.from_bytes(record.rdata, 'big'))}"
    if record.type == 5:
        return f"{kind} {_printable(record.cname)}."
    return kind


def _type(number: int) -> str:
    return _DNS_TYPES.get(number, f"Type{number}")


def _printable(text: str) -> str:
    # What a stranger wrote goes to a terminal.
    return "".join(letter if " " < letter < "\x7f" else "?" for letter in text)


def _parse(kind: Any, data: Buffer, reason: str) -> Any:
    try:
        return kind(bytes(data))
    except Exception as error:  # seen: UnpackError, IndexError, UnicodeDecodeError, struct.error
        raise WireError(reason) from error
