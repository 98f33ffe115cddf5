"""The codec of DNS: dnspython's own messages are the oracle, and dpkt's for what tcpdump shows."""

import struct
import subprocess
import sys

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.core.extras import how_to_get
from pystack.observe.summary import dns as summary_dns
from pystack.observe.summary import summarize
from pystack.wire import dns as codec
from pystack.wire import udp
from pystack.wire.ipv4 import UDP, pack_header

HEADER = struct.Struct("!HHHHHH")
WWW = b"\3www\7example\4test\0"
QUESTION = WWW + b"\0\1\0\1"
ETHERNET = bytes(12) + b"\x08\0"


def response(**fields: object) -> codec.Message:
    """Return a response to a question about www.example.test."""
    question = codec.Question("www.example.test", codec.A)
    return codec.Message(ident=7, is_response=True, questions=(question,), **fields)  # type: ignore[arg-type]


# --- reading


def test_a_query_is_read_with_its_name_in_lower_case_and_its_case_kept() -> None:
    data = dns.message.make_query("wWw.Example.TEST.", "AAAA", id=0xBEEF).to_wire()
    query = codec.parse_message(data)
    assert (query.ident, query.is_response, query.opcode) == (0xBEEF, False, codec.QUERY)
    assert query.questions == (codec.Question("www.example.test", codec.AAAA, codec.IN),)
    assert query.recursion_desired
    assert query.edns is None
    # RFC 1035 section 4.1.1; and who mixes the letters' case to be safe from forgers wants it back
    query.is_response = True
    assert b"\3wWw\7Example\4TEST\0" in codec.pack_message(query)


def test_a_name_that_is_asked_for_again_has_its_own_case_and_counts_as_before() -> None:
    for text in ("wWw.Example.TEST.", "WWW.example.test.", "wWw.Example.TEST."):
        query = codec.parse_message(dns.message.make_query(text, "A").to_wire())
        [question] = query.questions
        assert (question.name, str(question.spelled)) == ("www.example.test", text)


def test_a_question_that_points_into_its_own_header_is_read_as_before() -> None:
    # To a length of one, a letter and the root: the counts of records, as it happens
    header = struct.pack("!HHHHHH", 0x0161, 0, 1, 0, 0, 0)
    query = codec.parse_message(header + b"\xc0\x00" + struct.pack("!HH", codec.A, codec.IN))
    assert query.questions == (codec.Question("a", codec.A),)


def test_edns_tells_size_version_and_dnssec() -> None:
    data = dns.message.make_query(
        "a.", "A", use_edns=1, payload=4096, want_dnssec=True, options=[]
    ).to_wire()
    assert codec.parse_message(data).edns == codec.Edns(4096, 1, True)


def test_the_code_of_an_error_has_its_upper_bits_from_edns() -> None:
    message = dns.message.make_response(dns.message.make_query("a.", "A", use_edns=0))
    message.set_rcode(dns.rcode.BADVERS)
    assert codec.parse_message(message.to_wire()).rcode == codec.BAD_VERSION
    ours = response(rcode=codec.BAD_VERSION, edns=codec.Edns())
    assert dns.message.from_wire(codec.pack_message(ours)).rcode() is dns.rcode.BADVERS


def test_a_time_to_live_with_its_upper_bit_is_none() -> None:  # RFC 2181 section 8
    data = HEADER.pack(7, 0x8000, 0, 1, 0, 0) + WWW + struct.pack("!HHIH4x", 1, 1, 2**31, 4)
    assert codec.parse_message(data).answers[0].ttl_s == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "dns_truncated"),
        (bytes(11), "dns_truncated"),
        (HEADER.pack(1, 0, 1, 0, 0, 0), "dns_malformed"),
        (HEADER.pack(1, 0, 1, 0, 0, 0) + QUESTION[:-1], "dns_malformed"),
        (HEADER.pack(1, 0, 1, 0, 0, 0) + QUESTION + b"x", "dns_trailing_bytes"),
        (HEADER.pack(1, 0, 2, 0, 0, 0) + QUESTION * 2, "dns_many_questions"),
        (HEADER.pack(1, 0, 65535, 0, 0, 0) + QUESTION, "dns_many_questions"),
        (HEADER.pack(1, 0, 0, 65535, 65535, 65535), "dns_many_records"),
        # A pointer to itself, one to what comes later, one beyond the end; a label of no known sort
        (HEADER.pack(1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", "dns_malformed"),
        (HEADER.pack(1, 0, 1, 0, 0, 0) + b"\xc0\x0e\xc0\x0c\0\1\0\1", "dns_malformed"),
        (HEADER.pack(1, 0, 1, 0, 0, 0) + b"\xff\xff\0\1\0\1", "dns_malformed"),
        (HEADER.pack(1, 0, 1, 0, 0, 0) + b"\x80a\0\0\1\0\1", "dns_malformed"),
        (
            HEADER.pack(1, 0, 1, 0, 0, 0) + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",
            "dns_malformed",
        ),
        # Two OPT records, one with a name, one among the answers
        (HEADER.pack(1, 0, 0, 0, 0, 2) + b"\0\0\x29\4\0\0\0\0\0\0\0" * 2, "dns_bad_opt"),
        (HEADER.pack(1, 0, 0, 0, 0, 1) + WWW + b"\0\x29\4\0\0\0\0\0\0\0", "dns_bad_opt"),
        (HEADER.pack(1, 0, 0, 1, 0, 0) + b"\0\0\x29\4\0\0\0\0\0\0\0", "dns_bad_opt"),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        codec.parse_message(data)
    assert caught.value.reason == reason


def test_a_long_chain_of_pointers_is_not_followed() -> None:
    # Each leads two bytes back: a thousand steps for each of a thousand records, were they taken
    chain = b"".join(struct.pack("!H", 0xC000 | (12 + 23 + 2 * n)) for n in range(1000))
    start = HEADER.pack(1, 0x8000, 1, 2, 0, 0) + QUESTION
    held = b"\0\0\x10\0\1\0\0\0\0" + struct.pack("!H", len(chain) + 2) + b"\0\0" + chain
    last = (
        struct.pack("!H", 0xC000 | (len(start) + len(held) - 2)) + b"\0\1\0\1\0\0\0\0\0\4\1\2\3\4"
    )
    with pytest.raises(WireError):
        codec.parse_message(start + held + last)


def test_pointers_to_a_long_name_are_followed_so_often_and_no_more() -> None:
    # 14 kB that would be read for a third of a second: 2048 times a name of 127 labels
    long_name = b"\1a" * 126 + b"\0"
    record = struct.pack("!HHIH", codec.CNAME, 1, 0, 2) + b"\xc0\x0c"
    for count, reason in ((60, None), (1024, "dns_many_labels")):
        data = HEADER.pack(1, 0x8000, 0, count, 0, 0) + long_name + record
        data += (b"\xc0\x0c" + record) * (count - 1)
        if reason is None:
            assert len(codec.parse_message(data).answers) == count
            continue
        with pytest.raises(WireError, match=reason):
            codec.parse_message(data)


@given(st.binary(max_size=400), st.integers(0, 3), st.integers(0, 4), st.integers(0, 0xFFFF))
def test_hostile_bytes_raise_nothing_but_a_wire_error(
    data: bytes, questions: int, records: int, flags: int
) -> None:
    for candidate in (data, HEADER.pack(1, flags, questions, records, 0, records) + data):
        try:
            text = summary_dns.describe(candidate)
            message = codec.parse_message(candidate)
        except WireError:
            continue
        assert text.isprintable()
        for each in (*message.answers, *message.additional):
            assert str(each).isprintable()
            assert isinstance(each.address, str | None)
            assert isinstance(each.target, str | None)


@given(st.data())
def test_a_good_message_with_bytes_changed_raises_nothing_but_a_wire_error(
    draw: st.DataObject,
) -> None:
    mail = codec.record("www.example.test", "MX", 60, "10 mail.example.test")
    server = codec.record("www.example.test", "SRV", 60, "1 2 80 web.example.test")
    text = codec.record("www.example.test", "TXT", 60, '"a" "b"')
    data = bytearray(codec.pack_message(response(answers=(mail, server, text), edns=codec.Edns())))
    for _ in range(draw.draw(st.integers(1, 6))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        message = codec.parse_message(bytes(data))
    except WireError:
        return
    # What has been read can be written again, and says the same.
    if message.rcode < 16 or message.edns is not None:
        again = codec.parse_message(codec.pack_message(message))
        assert [str(each) for each in again.answers] == [str(each) for each in message.answers]


# --- writing


RECORDS = [
    ("A", "10.77.0.5"),
    ("AAAA", "2001:db8::5"),
    ("CNAME", "web.example.test."),
    ("MX", "10 mail.example.test."),
    ("TXT", '"v=spf1 -all" "more"'),
    ("SRV", "1 2 443 web.example.test."),
    ("NS", "ns1.example.test."),
    ("PTR", "www.example.test."),
    ("SOA", "ns1.example.test. admin.example.test. 1 3600 600 86400 60"),
    ("CAA", '0 issue "ca.example"'),
]


@pytest.mark.parametrize(("kind", "text"), RECORDS)
def test_a_record_is_what_dnspython_reads(kind: str, text: str) -> None:
    made = codec.record("WWW.example.test.", kind, 300, text.rstrip("."))
    data = codec.pack_message(response(answers=(made,), authoritative=True))
    theirs = dns.message.from_wire(data)
    assert theirs.flags & dns.flags.AA
    assert theirs.answer == [dns.rrset.from_text("www.example.test.", 300, "IN", kind, text)]
    assert theirs.answer[0].ttl == 300
    [read] = codec.parse_message(data).answers
    assert (read.name, read.ttl_s, read.text) == ("www.example.test", 300, text)


def test_records_tell_where_they_lead() -> None:
    made = {kind: codec.record("a", kind, 0, text) for kind, text in RECORDS}
    assert made["A"].address == "10.77.0.5"
    assert made["AAAA"].address == "2001:db8::5"
    assert made["TXT"].address is None
    assert made["MX"].target == "mail.example.test"
    assert made["SRV"].target == "web.example.test"
    assert made["SOA"].target is None
    assert made["SOA"].soa_minimum_s == 60


def test_names_are_compressed() -> None:
    answers = tuple(codec.record("www.example.test", "A", 0, f"10.0.0.{n}") for n in range(10))
    assert len(codec.pack_message(response(answers=answers))) == 12 + len(QUESTION) + 10 * 16


def test_what_is_too_long_is_cut_down_to_the_question_and_says_so() -> None:
    answers = tuple(codec.record("www.example.test", "A", 0, f"10.0.0.{n}") for n in range(40))
    data = codec.pack_message(response(answers=answers, edns=codec.Edns()), 512)
    short = dns.message.from_wire(data)
    assert short.flags & dns.flags.TC
    assert (short.answer, short.edns, len(data)) == ([], 0, 12 + len(QUESTION) + 11)
    exactly = 12 + len(QUESTION) + 40 * 16 + 11
    whole = codec.pack_message(response(answers=answers, edns=codec.Edns()), exactly)
    assert not codec.parse_message(whole).truncated
    assert codec.parse_message(
        codec.pack_message(response(answers=answers, edns=codec.Edns()), exactly - 1)
    ).truncated


def test_additional_records_that_have_no_room_are_left_out_in_silence() -> None:
    more = tuple(codec.record(f"n{n}.test", "A", 0, "10.0.0.1") for n in range(100))
    data = codec.pack_message(response(additional=more, edns=codec.Edns()), 512)
    message = codec.parse_message(data)
    assert not message.truncated
    assert 0 < len(message.additional) < 100
    assert message.edns is not None
    assert len(data) <= 512


def test_an_answer_without_its_records_is_no_longer_than_its_query() -> None:
    answers = tuple(codec.record("www.example.test", "A", 0, f"10.0.0.{n}") for n in range(9))
    whole = codec.pack_message(response(answers=answers, edns=codec.Edns()))
    short = codec.without_records(whole)
    assert codec.parse_message(short).truncated
    assert len(short) == len(codec.pack_query(7, "www.example.test", "A"))


def test_a_query_is_what_dnspython_reads() -> None:
    query = dns.message.from_wire(codec.pack_query(9, "www.example.test", "MX", payload_bytes=4096))
    assert (query.id, query.payload, query.flags) == (9, 4096, dns.flags.RD)
    assert query.question[0].to_text() == "www.example.test. IN MX"
    plain = codec.pack_query(9, "", codec.NS, recursion_desired=False, payload_bytes=None)
    assert plain == HEADER.pack(9, 0, 1, 0, 0, 0) + b"\0\0\2\0\1"


def test_what_cannot_be_read_is_answered_by_a_header() -> None:
    query = HEADER.pack(9, 0x2900, 1, 0, 0, 0) + b"\xff"
    assert codec.pack_refusal(query, codec.FORMAT_ERROR) == HEADER.pack(9, 0xA901, 0, 0, 0, 0)
    # Two servers would never stop
    assert codec.pack_refusal(HEADER.pack(9, 0x8000, 0, 0, 0, 0), codec.FORMAT_ERROR) is None
    assert codec.pack_refusal(b"\0" * 11, codec.FORMAT_ERROR) is None


# --- names and words


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Server.", "server"),
        ("", ""),
        (".", ""),
        ("größe", "xn--gre-6ka8i"),
        (r"a\.b.c", r"a\.b.c"),
        (r"a\032b", r"a\032b"),
    ],
)
def test_names_have_one_spelling(text: str, name: str) -> None:
    assert codec.canonical(text) == name


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".".join(["x" * 60] * 5), "a\\"])
def test_a_name_that_dns_cannot_say_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name for DNS"):
        codec.canonical(name)


@pytest.mark.parametrize(
    ("kind", "ttl_s", "text", "words"),
    [
        ("A", 1, "10.0.0", "'10.0.0' is not data of A"),
        ("A", 1, "10.0.0.1 10.0.0.2", "is not data of A"),
        ("MX", 1, "mail", "is not data of MX"),
        ("MX", 1, "70000 mail", "is not data of MX"),
        ("TXT", 1, '"open', "is not data of TXT"),
        ("WHAT", 1, "", "'WHAT' is not a type of DNS records"),
        ("A", -1, "10.0.0.1", "a time to live of -1 s"),
        ("A", 2**31, "10.0.0.1", "a time to live of 2147483648 s"),
    ],
)
def test_a_bad_record_is_a_value_error_in_words(
    kind: str, ttl_s: int, text: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        codec.record("a", kind, ttl_s, text)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("4.3.2.10.in-addr.arpa", "10.2.3.4"),
        ("255.0.0.0.in-addr.arpa", "0.0.0.255"),
        ("256.0.0.10.in-addr.arpa", None),
        ("3.2.10.in-addr.arpa", None),
        ("a.3.2.10.in-addr.arpa", None),
        ("server", None),
        (codec.reversed_name("2001:db8::5"), "2001:db8::5"),
    ],
)
def test_the_names_of_reverse_lookups_are_addresses(name: str, address: str | None) -> None:
    assert codec.reversed_address(name) == address


def test_kinds_and_codes_have_names() -> None:
    assert (codec.kind_name(28), codec.kind_name(65280)) == ("AAAA", "TYPE65280")
    assert (codec.kind_of("aaaa"), codec.kind_of("TYPE65280")) == (28, 65280)
    assert (codec.rcode_name(3), codec.rcode_name(9)) == ("NXDOMAIN", "RCODE9")


# --- over TCP


@given(st.lists(st.binary(max_size=300)), st.integers(1, 50))
def test_messages_come_out_of_a_stream_as_they_went_in(messages: list[bytes], size: int) -> None:
    stream = b"".join(map(codec.frame, messages))
    framer, read = codec.Framer(), []
    for at in range(0, len(stream), size):
        framer.feed(stream[at : at + size])
        while (message := framer.next()) is not None:
            read.append(message)
    assert read == messages
    assert framer.held_bytes == 0


# --- for those who look


def asked(**fields: object) -> dpkt.dns.DNS:
    return dpkt.dns.DNS(id=4660, qd=[dpkt.dns.DNS.Q(name="example.com")], **fields)


def test_a_question_is_told_as_tcpdump_does() -> None:
    datagram = udp.pack(0x0A000001, 0x0A000002, 40000, 53, bytes(asked()))
    packet = pack_header(0x0A000001, 0x0A000002, UDP, len(datagram)) + datagram
    assert (
        summarize(ETHERNET + packet)
        == "IP 10.0.0.1.40000 > 10.0.0.2.53: 4660+ A? example.com. (29)"
    )


def test_an_answer_counts_its_records_and_shows_addresses() -> None:
    message = asked(an=[dpkt.dns.DNS.RR(name="example.com", type=1, ip=b"\x0a\x00\x00\x09")])
    message.qr = 1
    message.rcode = 0
    data = bytes(message)
    assert summary_dns.describe(data) == f"4660 1/0/0 A 10.0.0.9 ({len(data)})"


def test_an_error_has_its_name() -> None:
    message = asked()
    message.qr, message.rcode = 1, 3
    assert summary_dns.describe(bytes(message)).startswith("4660 NXDomain 0/0/0 (")


def test_without_dnspython_those_who_look_say_what_is_missing() -> None:
    # In a process of its own, where it cannot be imported
    datagram = udp.pack(0x0A000001, 0x0A000002, 40000, 53, bytes(asked()))
    packet = pack_header(0x0A000001, 0x0A000002, UDP, len(datagram)) + datagram
    program = f"""
import sys
sys.modules["dns"] = None
from pystack.observe.summary import summarize
print(summarize({ETHERNET + packet!r}))
from pystack.core.errors import ConfigError
try:
    import pystack.wire.dns
except ConfigError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    line, sentence = run.stdout.splitlines()
    assert line.startswith("IP 10.0.0.1.40000 > 10.0.0.2.53: DNS, length 29 (")
    assert line.endswith("pip install 'pystack-net[dns]')")
    assert sentence == f"DNS needs dnspython: {how_to_get('dns')}"
