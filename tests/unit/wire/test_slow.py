"""The rare formats: what dpkt reads for those who look."""

from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.wire import slow


def test_a_dhcp_message_tells_its_type_and_station() -> None:
    head = b"\x01\x01\x06\x00" + bytes(24) + b"\x02\x00\x00\x00\x00\x05" + bytes(202)
    data = head + b"\x63\x82\x53\x63" + b"\x35\x01\x01\xff"
    line = "BOOTP/DHCP, Request Discover from 02:00:00:00:00:05, length 244"
    assert slow.describe_dhcp(data) == line


@given(st.binary(max_size=600))
def test_hostile_bytes_raise_only_wire_errors(data: bytes) -> None:
    try:
        text = slow.describe_dhcp(data)
    except WireError:
        return
    assert text.isprintable()
