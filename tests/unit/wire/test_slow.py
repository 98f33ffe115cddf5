"""The rare formats: what dpkt reads for those who look."""

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.observe.summary import summarize_packet
from pystack.wire import slow, udp
from pystack.wire.ipv4 import UDP, pack_header

CLIENT, SERVER = 0x0A000001, 0x0A000002


def dns(**fields: object) -> dpkt.dns.DNS:
    return dpkt.dns.DNS(id=4660, qd=[dpkt.dns.DNS.Q(name="example.com")], **fields)


def test_a_question_is_told_as_tcpdump_does() -> None:
    datagram = udp.pack(CLIENT, SERVER, 40000, 53, bytes(dns()))
    packet = pack_header(CLIENT, SERVER, UDP, len(datagram)) + datagram
    assert summarize_packet(packet) == "IP 10.0.0.1.40000 > 10.0.0.2.53: 4660+ A? example.com. (29)"


def test_an_answer_counts_its_records_and_shows_addresses() -> None:
    message = dns(an=[dpkt.dns.DNS.RR(name="example.com", type=1, ip=b"\x0a\x00\x00\x09")])
    message.qr = 1
    message.rcode = 0
    data = bytes(message)
    assert slow.describe_dns(data) == f"4660 1/0/0 A 10.0.0.9 ({len(data)})"


def test_an_error_has_its_name() -> None:
    message = dns()
    message.qr, message.rcode = 1, 3
    assert slow.describe_dns(bytes(message)).startswith("4660 NXDomain 0/0/0 (")


def test_a_dhcp_message_tells_its_type_and_station() -> None:
    head = b"\x01\x01\x06\x00" + bytes(24) + b"\x02\x00\x00\x00\x00\x05" + bytes(202)
    data = head + b"\x63\x82\x53\x63" + b"\x35\x01\x01\xff"
    line = "BOOTP/DHCP, Request Discover from 02:00:00:00:00:05, length 244"
    assert slow.describe_dhcp(data) == line


@given(st.binary(max_size=600))
@pytest.mark.parametrize("describe", [slow.describe_dns, slow.describe_dhcp])
def test_hostile_bytes_raise_only_wire_errors(describe, data: bytes) -> None:  # noqa: ANN001
    try:
        text = describe(data)
    except WireError:
        return
    assert text.isprintable()
