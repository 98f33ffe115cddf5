"""Multicast Listener Discovery's messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets6 import GLOBAL, NOBODY, A, B, Header, hop_by_hop, message

from pystack.core.addresses import V6, parse_ip6
from pystack.core.errors import WireError
from pystack.wire import icmpv6, mld

GROUP = parse_ip6("ff02::1:ff00:1")
ALERT: list[Header] = [hop_by_hop(b"\5\2\0\0")]


def read(data: bytes, *, src: int = A, ttl: int = 1, headers: list[Header] = ALERT) -> object:
    return mld.parse(*message(data, src=src, ttl=ttl, headers=headers))


def test_the_router_alert_is_what_hop_by_hop_options_make() -> None:
    number, rest = ALERT[0]
    assert (number, mld.ROUTER_ALERT) == (0, bytes((58,)) + rest)


@pytest.mark.parametrize(
    "query",
    [
        mld.MldQuery(10.0, GROUP, 1),
        mld.MldQuery(10.0, parse_ip6("::"), 1),
        mld.MldQuery(10.0, parse_ip6("::"), 2),
        mld.MldQuery(1.0, GROUP, 2, (GLOBAL, A)),
        mld.MldQuery(32.768, GROUP, 2),
        mld.MldQuery(8387.584, GROUP, 2),
    ],
)
def test_a_query_reads_as_it_was_packed(query: mld.MldQuery) -> None:
    assert read(mld.pack_query(A, B, query)) == query


def test_reports_and_done_read_as_they_were_packed() -> None:
    assert read(mld.pack_report1(A, B, GROUP)) == mld.MldReport1(GROUP)
    assert read(mld.pack_done(A, B, GROUP)) == mld.MldDone(GROUP)
    records = [(mld.MODE_IS_EXCLUDE, GROUP), (mld.CHANGE_TO_INCLUDE, GROUP + 1)]
    report = mld.pack_report(A, B, records)
    assert read(report) == mld.MldReport2([mld.MldRecord(*each) for each in records])
    from_nobody = mld.pack_report(NOBODY, B, records)
    assert read(from_nobody, src=NOBODY) == read(report)
    with_sources = mld.pack_report(A, B, records[:1], (GLOBAL,))
    assert read(with_sources) == mld.MldReport2([mld.MldRecord(2, GROUP, (GLOBAL,))])


@given(st.integers(0, 0xFFFF))
def test_codes_of_maximum_response_are_as_in_rfc_3810(code: int) -> None:
    milliseconds = mld._milliseconds(code)
    assert mld._code(milliseconds, 2) == code
    if code >= 0x8000:
        assert milliseconds == ((code & 0xFFF) | 0x1000) << ((code >> 12 & 7) + 3)


@pytest.mark.rfc("3810", "6.2")
def test_what_is_not_valid_is_refused_by_name() -> None:
    query = mld.pack_query(A, B, mld.MldQuery(10.0, GROUP, 2, (GLOBAL,)))
    cases = [
        ("mld_bad_hop_limit", query, {"ttl": 255}),
        ("mld_without_router_alert", query, {"headers": [hop_by_hop()]}),
        ("mld_without_router_alert", query, {"headers": []}),
        ("mld_not_link_local", mld.pack_query(GLOBAL, B, mld.MldQuery(1, GROUP)), {"src": GLOBAL}),
        ("mld_not_link_local", mld.pack_query(NOBODY, B, mld.MldQuery(1, GROUP)), {"src": NOBODY}),
        ("mld_not_link_local", mld.pack_done(GLOBAL, B, GROUP), {"src": GLOBAL}),
        ("mld_bad_group", mld.pack_report1(A, B, GLOBAL), {}),
        ("mld_bad_group", mld.pack_report1(A, B, NOBODY), {}),
        ("mld_bad_group", mld.pack_query(A, B, mld.MldQuery(1, GLOBAL)), {}),
        ("mld_truncated", icmpv6.pack(A, B, 130, 0, 0, query[8:25]), {}),
        ("mld_truncated", icmpv6.pack(A, B, 130, 0, 0, query[8:30]), {}),
        ("mld_truncated", icmpv6.pack(A, B, 131, 0, 0, query[8:20]), {}),
        ("mld_truncated", icmpv6.pack(A, B, 143, 0, 1, bytes(19)), {}),
        ("mld_truncated", icmpv6.pack(A, B, 143, 0, 1, bytes((4, 1)) + bytes(20)), {}),
        ("mld_truncated", icmpv6.pack(A, B, 143, 0, 1, bytes((4, 0, 0, 1)) + bytes(20)), {}),
        ("mld_bad_code", icmpv6.pack(A, B, 130, 1, 0, query[8:]), {}),
    ]
    for reason, data, how in cases:
        with pytest.raises(WireError, match=f"^{reason}$"):
            read(data, **how)  # type: ignore[arg-type]


@given(st.sampled_from([130, 131, 132, 143]), st.binary(max_size=120), st.integers(0, 2**32 - 1))
def test_hostile_bytes_raise_nothing_but_wire_errors(kind: int, body: bytes, rest: int) -> None:
    for payload in (body, (GROUP - V6).to_bytes(16, "big") + body):
        try:
            read(icmpv6.pack(A, B, kind, 0, rest, payload))
        except WireError as error:
            assert error.reason.startswith("mld_")  # noqa: PT017
