"""Which frames a kernel sends of its own accord, and whom a packet is for."""

import pytest

from pystack.core.addresses import Ip, parse_ip
from pystack.observe.explain.own_accord import is_of_own_accord
from pystack.wire import arp, ethernet, ipv4
from pystack.wire.frame import Frame

A, B = bytes(6), bytes.fromhex("020000000001")
V4, V6 = (parse_ip("10.0.0.1"), parse_ip("10.0.0.2")), (parse_ip("fe80::1"), parse_ip("ff02::2"))


def frame(kind: int, packet: bytes) -> Frame:
    return Frame(ethernet.HEADER.pack(B, A, kind) + packet)


def packet4(proto: int, text: bytes = bytes(8)) -> Frame:
    return frame(ethernet.IPV4, ipv4.pack_header(*V4, proto, len(text)) + text)


def packet6(proto: int, text: bytes) -> Frame:
    header = (6 << 28).to_bytes(4, "big") + len(text).to_bytes(2, "big") + bytes([proto, 255])
    addresses = b"".join((each & (1 << 128) - 1).to_bytes(16, "big") for each in V6)
    return frame(ethernet.IPV6, header + addresses + text)


@pytest.mark.parametrize(
    ("sent", "is_own"),
    [
        (packet4(2), True),  # IGMP
        (packet4(1), False),  # ICMP
        (packet4(6), False),
        (packet6(58, bytes([133]) + bytes(8)), True),  # a router is asked for
        (packet6(58, bytes([135]) + bytes(8)), True),
        (packet6(58, bytes([128]) + bytes(8)), False),  # an echo request
        (packet6(0, bytes([58, 0]) + bytes(6) + bytes([143]) + bytes(8)), True),  # MLD
        (packet6(0, bytes([58, 0]) + bytes(6) + bytes([128]) + bytes(8)), False),
        (packet6(6, bytes(20)), False),
        (packet6(58, b""), False),  # cut short
        (frame(ethernet.ARP, arp.pack(arp.REQUEST, A, Ip(1), Ip(2))), False),
        (Frame(bytes(14)), False),
    ],
)
def test_what_a_kernel_says_by_itself(sent: Frame, is_own: bool) -> None:
    assert is_of_own_accord(sent) is is_own
