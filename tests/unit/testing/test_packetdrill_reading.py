"""The language: what its words are, what its lines mean, and where a fault is said to be."""

import pytest

from pystack.testing.packetdrill.errors import ScriptSyntaxError
from pystack.testing.packetdrill.lexer import Kind, tokens
from pystack.testing.packetdrill.parse_options import describe, pack, unpack
from pystack.testing.packetdrill.parser import parse
from pystack.testing.packetdrill.script import (
    ANYTHING,
    Call,
    Code,
    Command,
    EcnCheck,
    Either,
    IcmpPart,
    Listing,
    Packet,
    Structure,
    TcpPart,
    Text,
    TimeKind,
    UdpPart,
    When,
    Word,
)
from pystack.testing.packetdrill.seen import line_of
from pystack.wire import tcp


def packet(line: str) -> Packet:
    action = parse(line, "a.pkt").events[0].action
    assert isinstance(action, Packet)
    return action


def call(line: str) -> Call:
    action = parse(line, "a.pkt").events[0].action
    assert isinstance(action, Call)
    return action


def segment(line: str) -> TcpPart:
    part = packet(line).part
    assert isinstance(part, TcpPart)
    return part


def fault(text: str) -> ScriptSyntaxError:
    with pytest.raises(ScriptSyntaxError) as caught:
        parse(text, "a.pkt")
    return caught.value


def test_the_longest_match_is_a_token() -> None:
    words = [(token.kind, token.text) for token in tokens(".1...0.2 FO abcd1234 0x1f", "a")]
    assert words == [
        (Kind.FLOAT, ".1"),
        (Kind.ELLIPSIS, "..."),
        (Kind.FLOAT, "0.2"),
        (Kind.WORD, "FO"),
        (Kind.WORD, "abcd1234"),
        (Kind.HEX, "0x1f"),
        (Kind.END, ""),
    ]


def test_comments_of_all_three_kinds_are_no_words() -> None:
    text = "// one\n/* two\n lines */ +0 `a`\n# three\n"
    assert [token.kind for token in tokens(text, "a")][1:3] == [Kind.INTEGER, Kind.COMMAND]


def test_a_define_stands_for_another_word_from_there_on() -> None:
    script = parse('--define=CC="reno"\n0 setsockopt(3, SOL_TCP, TCP_CONGESTION, CC, 4) = 0', "a")
    action = script.events[0].action
    assert isinstance(action, Call)
    assert action.arguments[3] == Text(b"reno")


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("0.5", When(TimeKind.ABSOLUTE, 0.5)),
        ("+.1", When(TimeKind.RELATIVE, 0.1)),
        ("*", When(TimeKind.ANY)),
        ("0.1~0.2", When(TimeKind.ABSOLUTE, 0.1, 0.2)),
        ("+0~+0.1", When(TimeKind.RELATIVE, 0.0, 0.1)),
    ],
)
def test_times(text: str, when: When) -> None:
    assert parse(f"{text} > . 1:1(0) ack 1", "a").events[0].when == when


def test_a_segment_says_all_of_its_header() -> None:
    line = "0 < [ce] P. 1:1001(1000) ack 5 win 257 urg 7 <nop,nop,sack 2:3 5:6>"
    part = segment(line)
    assert packet(line).ip.check is EcnCheck.ECN
    assert (part.flags, part.seq, part.size) == (tcp.PSH | tcp.ACK, 1, 1000)
    assert (part.ack, part.win, part.urgent) == (5, 257, 7)
    assert line_of(packet(line)) == line.removeprefix("0 ")


@pytest.mark.parametrize(
    "line",
    [
        "> S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>",
        "> SEW 0:0(0) <mss 1460,FO>",
        "> F. 1:1(0) ack 1 <...>",
        "> - 1:1(0)",
        "> [ect01] . 1:1(0) ack 1 <FO 0123456789abcdef,nop,nop>",
        "> . 1:1(0) ack 1 <FOEXP aabbccdd>",
        "> . 1:1(0) ack 1 <ECN e1b 1 ceb 0 e0b 1,nop>",
        "< . 1:1(0) ack 1 win 5 <kind 77 0102,eol>",
        "> 8080 > 40000 . 1:1(0) ack 1",
        "< udp (1000)",
    ],
)
def test_a_packet_is_shown_as_it_is_written(line: str) -> None:
    assert line_of(packet(f"+0 {line}")) == line


def test_accurate_ecn_may_be_a_number() -> None:
    assert segment("0 > P.5 1:2(1) ack 1").ace == 5
    assert segment("0 > P.5 1:2(1) ack 1").flags == tcp.PSH | tcp.ACK | tcp.AE | tcp.ECE


def test_options_survive_being_packed() -> None:
    options = segment("0 < S 0:0(0) win 1 <mss 1000,sackOK,nop,nop,nop,wscale 7>").options
    assert options is not None
    assert tuple(unpack(pack(options))) == options
    assert describe(options) == "mss 1000,sackOK,nop,nop,nop,wscale 7"


def test_an_icmp_message_quotes_a_segment() -> None:
    part = packet("0 < icmp unreachable frag_needed mtu 1200 [1:1001(1000)]").part
    assert part == IcmpPart(3, 4, 1200, 0, 6, 1, 1000)


def test_a_datagram_has_a_size() -> None:
    assert packet("0 > udp (100)").part == UdpPart(100)


def test_a_call_has_arguments_and_a_result() -> None:
    found = call(
        '+0...0.2 sendto(3, "ab\\n"..., 1000, MSG_DONTWAIT|MSG_OOB, ..., 0x10) = -1 EAGAIN (x)'
    )
    assert found.arguments == (
        3,
        Text(b"ab\n", open_end=True),
        1000,
        Either(Word("MSG_DONTWAIT"), Word("MSG_OOB")),
        ANYTHING,
        16,
    )
    assert (found.result, found.errno_name, found.end_s) == (-1, "EAGAIN", 0.2)


def test_structures_have_fields_or_just_values() -> None:
    found = call("0 poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, {..., 20}) = 1")
    fields = {"fd": 4, "events": Word("POLLIN"), "revents": Word("POLLIN")}
    assert found.arguments[0] == Listing((Structure(fields),))
    assert found.arguments[2] == Listing((ANYTHING, 20))


def test_commands_and_code() -> None:
    script = parse("`one`\n+0 `two`\n+0 %{ assert 1 }%\n`last`\n", "a")
    assert script.init_command == Command("one")
    assert [event.action for event in script.events] == [Command("two"), Code(" assert 1 ")]


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ("0 > . 1:2(3) ack 1", 1, 7, "1 and 3 bytes make 4, not 2"),
        ("\n+0 < S 0:0(0) win 70000", 2, 19, "it must be 0 to 65535"),
        ("0 > X. 1:1(0)", 1, 5, "'X' is not a TCP flag"),
        ("* < . 1:1(0) ack 1", 1, 1, "only a packet that the host sends"),
        ("0 socket(..., 1, 2) 3", 1, 21, "what it returns"),
        ("0 < . 1:1(0) ack 1 <...>", 1, 21, "<...> is for segments that the host sends"),
        ("0 < . 1:1(0) <mss 1460, foo>", 1, 25, "'foo' is none of the TCP options"),
        ("hello", 1, 1, "a time is missing"),
        ("0.2~0.1 > . 1:1(0)", 1, 1, "runs backwards"),
        ("0 `never closed", 1, 3, "is never closed"),
        ("0 < icmp nonsense", 1, 10, "is none of the ICMP types"),
        ("0 < ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0)", 1, 5, "not supported"),
    ],
)
def test_a_fault_has_a_place(text: str, line: int, column: int, what: str) -> None:
    error = fault(text)
    assert (error.line, error.column) == (line, column)
    assert what in str(error)
    assert str(error).startswith(f"a.pkt:{line}:{column}: ")
