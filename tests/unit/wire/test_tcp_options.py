"""TCP options."""

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.wire import tcp_options
from pystack.wire.tcp_options import FastOpenCookie, TcpOptions

words = st.integers(0, 2**32 - 1)

options_that_fit = st.builds(
    TcpOptions,
    mss=st.none() | st.integers(0, 0xFFFF),
    wscale=st.none() | st.integers(0, 255),
    sack_permitted=st.booleans(),
    timestamps=st.none() | st.tuples(words, words),
    sack_blocks=st.lists(st.tuples(words, words), max_size=4).map(tuple),
)


@pytest.mark.rfc("9293", "MUST-68")
@given(options_that_fit)
def test_options_read_as_they_were_packed_in_whole_words(options: TcpOptions) -> None:
    data = tcp_options.pack(options)
    assert len(data) % 4 == 0
    assert tcp_options.parse(data) == options
    assert tcp_options.parse(memoryview(data)) == options


@given(options_that_fit)
def test_dpkt_reads_the_same_options(options: TcpOptions) -> None:
    read = dict(dpkt.tcp.parse_opts(tcp_options.pack(options)))
    read.pop(dpkt.tcp.TCP_OPT_NOP, None)
    expected: dict[int, bytes] = {}
    if options.mss is not None:
        expected[2] = options.mss.to_bytes(2, "big")
    if options.wscale is not None:
        expected[3] = bytes([options.wscale])
    if options.sack_permitted:
        expected[4] = b""
    if options.sack_blocks:
        ends = [end for block in options.sack_blocks for end in block]
        expected[5] = b"".join(end.to_bytes(4, "big") for end in ends)
    if options.timestamps is not None:
        expected[8] = b"".join(value.to_bytes(4, "big") for value in options.timestamps)
    assert read == expected


def test_a_syn_of_linux_packs_to_the_bytes_that_linux_sends() -> None:
    options = TcpOptions(mss=1460, wscale=7, sack_permitted=True, timestamps=(1, 2))
    assert tcp_options.pack(options).hex() == "020405b40402080a000000010000000201030307"


@pytest.mark.rfc("9293", "MUST-6")
@pytest.mark.rfc("9293", "MUST-7")
@pytest.mark.parametrize(
    ("data", "mss"),
    [
        ("fd0800000000000002040500", 1280),  # unknown: stepped over
        ("010101020405 00", 1280),
        ("02040500 00 020405dc", 1280),  # the end is the end
        ("020405", None),  # cut short
        ("02", None),
        ("0200 02040500", None),  # a length of 0 would never end
        ("0201 02040500", None),
        ("020305 02040500", 1280),  # known, of a wrong length: stepped over
        ("02ff0500", None),  # longer than all that there is
    ],
)
def test_malformed_options_end_the_list_and_unknown_ones_do_not(data: str, mss: int | None) -> None:
    assert tcp_options.parse(bytes.fromhex(data)).mss == mss


@pytest.mark.rfc("9293", "MUST-7")
@given(st.binary(max_size=40))
def test_no_bytes_at_all_raise_anything(data: bytes) -> None:
    options = tcp_options.parse(data)
    assert len(options.sack_blocks) <= 4
    options.describe()


def test_options_are_described_as_tcpdump_does() -> None:
    options = TcpOptions(1460, 7, True, (1, 2), ((5, 6), (8, 9)))
    assert options.describe() == ("mss 1460, sackOK, TS val 1 ecr 2, wscale 7, sack 2 {5:6}{8:9}")
    assert TcpOptions().describe() == ""


@given(st.binary(max_size=40))
def test_no_bytes_make_reading_fail_and_what_is_read_can_be_packed(data: bytes) -> None:
    options = tcp_options.parse(data)
    assert tcp_options.parse(tcp_options.pack(options)) == options
    assert isinstance(options.describe(), str)


def test_of_an_option_that_comes_twice_the_last_counts() -> None:
    twice = tcp_options.pack(TcpOptions(mss=1000, wscale=3)) + tcp_options.pack(
        TcpOptions(mss=500, wscale=7, timestamps=(1, 2))
    )
    assert tcp_options.parse(twice) == TcpOptions(mss=500, wscale=7, timestamps=(1, 2))


@pytest.mark.rfc("7413", "4.1.1")
@pytest.mark.parametrize(
    ("data", "cookie"),
    [
        (b"\x22\x02", FastOpenCookie(b"")),
        (b"\x22\x0a" + bytes(8), FastOpenCookie(bytes(8))),
        (b"\x22\x12" + bytes(16), FastOpenCookie(bytes(16))),
        (b"\x22\x04" + bytes(2), None),
        (b"\x22\x07" + bytes(5), None),
        (b"\x22\x14" + bytes(18), None),
        (b"\xfe\x04\xf9\x89", FastOpenCookie(b"", experimental=True)),
        (b"\xfd\x0c\xf9\x89" + bytes(8), FastOpenCookie(bytes(8), experimental=True)),
        (b"\xfe\x0c\xf9\x88" + bytes(8), None),
        (b"\xfe\x03\xf9", None),
    ],
)
def test_a_fast_open_cookie_has_four_to_sixteen_bytes_or_none(
    data: bytes, cookie: FastOpenCookie | None
) -> None:
    assert tcp_options.parse(data).fast_open == cookie
    if cookie is not None:
        packed = tcp_options.pack(TcpOptions(fast_open=cookie))
        assert len(packed) % 4 == 0
        assert tcp_options.parse(packed).fast_open == cookie
