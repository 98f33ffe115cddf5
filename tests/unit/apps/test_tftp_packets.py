"""The packets of TFTP: there and back, and whatever else may come."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.tftp import packets
from pystack.core.errors import WireError

WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
NAME = st.binary(max_size=100).map(lambda name: name.replace(b"\0", b"x"))
OPTIONS = st.dictionaries(WORD, WORD, max_size=5)


@given(st.booleans(), NAME, WORD, OPTIONS)
def test_a_request_comes_as_it_was_sent(
    is_write: bool, name: bytes, mode: str, options: dict[str, str]
) -> None:
    request = packets.Request(is_write, name, mode, options)
    assert packets.parse(packets.pack_request(request)) == request


@given(st.integers(0, 2**20), st.binary(max_size=1468), OPTIONS)
def test_the_others_do_too(number: int, payload: bytes, options: dict[str, str]) -> None:
    assert packets.parse(packets.pack_data(number, payload)) == packets.Data(
        number % 65536, payload
    )
    assert packets.parse(packets.pack_ack(number)) == packets.Ack(number % 65536)
    assert packets.parse(packets.pack_error(number % 8, "why")) == packets.Error(number % 8, "why")
    assert packets.parse(packets.pack_option_ack(options)) == packets.OptionAck(options)


@given(st.binary(max_size=600))
def test_anything_else_has_a_reason(data: bytes) -> None:
    for packet in (data, b"\0\1" + data, b"\0\2" + data, b"\0\5" + data, b"\0\6" + data):
        with suppress(WireError):
            packets.parse(packet)


def test_names_of_options_and_modes_have_no_case_and_the_first_one_holds() -> None:
    packet = b"\0".join([b"", b"\1file", b"OcTeT", b"BLKSIZE", b"600", b"blksize", b"700", b""])
    assert packets.parse(packet) == packets.Request(False, b"file", "octet", {"blksize": "600"})


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "tftp_truncated"),
        (b"\0", "tftp_truncated"),
        (b"\0\3\0", "tftp_truncated"),
        (b"\0\7\0\0", "tftp_bad_opcode"),
        (b"\1\3\0\0", "tftp_bad_opcode"),
        (b"\0\1file", "tftp_bad_request"),
        (b"\0\1file\0octet", "tftp_bad_request"),
        (b"\0\1file\0octet\0blksize\0", "tftp_bad_request"),
        (b"\0\1" + b"x" * 510 + b"\0octet\0", "tftp_bad_request"),
    ],
)
def test_what_is_wrong_is_named(packet: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=f"^{reason}$"):
        packets.parse(packet)
