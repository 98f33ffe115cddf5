"""The WebSocket server after RFC 6455, section by section, with raw frames in virtual time."""

import pytest
from ws_frames import (
    ACCEPTED,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    ask,
    closing,
    frame,
    handshake,
    talk,
)

DONE = closing()
EXTENSIONS = "Sec-WebSocket-Extensions"


# 4: the opening handshake


def test_the_handshake_is_answered_with_the_proof_and_nothing_that_was_not_asked_for() -> None:
    outcome = talk(DONE)
    lines = outcome.head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert fields["Sec-WebSocket-Accept"] == ACCEPTED
    assert (fields["Upgrade"], fields["Connection"]) == ("websocket", "Upgrade")
    assert fields.keys() == {"Upgrade", "Connection", "Sec-WebSocket-Accept", "Date", "Server"}


def test_subprotocols_and_origins_are_taken_and_none_is_chosen() -> None:
    headers = ("Sec-WebSocket-Protocol: chat, superchat", "Origin: http://elsewhere.example")
    outcome = talk(frame(TEXT, b"hello"), DONE, headers=headers)
    assert b"Sec-WebSocket-Protocol" not in outcome.head
    assert outcome.messages == [b"hello"]


def test_frames_may_come_with_the_handshake() -> None:
    outcome = talk(frame(TEXT, b"hello"), frame(PING, b"there?"), DONE, together=True)
    assert outcome.messages == [b"hello"]
    assert Frame(PONG, b"there?") in outcome.frames


REFUSED = {
    "no upgrade": ("Upgrade: websocket\r\n", "", 426, "Sec-WebSocket-Version: 13"),
    "another upgrade": ("Upgrade: websocket", "Upgrade: h2c", 426, "Upgrade: websocket"),
    "connection without it": ("Connection: Upgrade", "Connection: close", 400, "Connection"),
    "no version": ("Sec-WebSocket-Version: 13\r\n", "", 426, "Sec-WebSocket-Version: 13"),
    "version 8": ("Version: 13", "Version: 8", 426, "Sec-WebSocket-Version: 13"),
    "two versions": ("Version: 13", "Version: 13, 8", 426, "Sec-WebSocket-Version: 13"),
    "no key": ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400, "base64"),
    "a short key": ("dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 400, "base64"),
    "a key that is none": ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ?==", 400, "base64"),
    "two keys": ("Upgrade: web", "Sec-WebSocket-Key: x\r\nUpgrade: web", 400, "base64"),
    "HTTP/1.0": ("HTTP/1.1", "HTTP/1.0", 400, "HTTP/1.1"),
    "HEAD": ("GET", "HEAD", 405, "Allow: GET, OPTIONS"),
    "POST": ("GET", "POST", 405, "Allow"),
    "a body": ("Host: server", "Host: server\r\nContent-Length: 2", 400, "no body"),
    "malformed extensions": ("Host: server", f"Host: server\r\n{EXTENSIONS}: =", 400, ""),
    "too many extensions": (
        "Host: server", f"Host: server\r\n{EXTENSIONS}: " + "a;b;" * 99 + "c", 400, ""
    ),
    "elsewhere": ("/ws/echo", "/ws/nowhere", 404, "/ws/echo"),
    "an interval of nothing": ("/ws/echo", "/ws/time?every=0", 400, "0.05 to 3600"),
    "an interval of a word": ("/ws/echo", "/ws/time?every=nan", 400, "0.05 to 3600"),
    "an interval of years": ("/ws/echo", "/ws/time?every=1e9", 400, "0.05 to 3600"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_handshake_that_is_none_gets_a_status_that_says_why(case: str) -> None:
    before, after, status, words = REFUSED[case]
    request = handshake()
    assert before.encode() in request
    answer = ask(request.replace(before.encode(), after.encode(), 1))
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert words in answer


def test_tokens_of_the_handshake_are_in_any_case_and_among_others() -> None:
    request = handshake().replace(b"Upgrade: websocket", b"Upgrade: other, WebSocket")
    request = request.replace(b"Connection: Upgrade", b"Connection: keep-alive, UPGRADE")
    assert ask(request).startswith("HTTP/1.1 101 ")


# 5.2 to 5.5: frames

SIZES = (0, 1, 125, 126, 127, 128, 65535, 65536, 100_000)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_messages_of_all_sizes_come_back(opcode: int, size: int) -> None:
    payload = bytes(0x20 + i % 0x5F for i in range(size))
    outcome = talk(frame(opcode, payload), DONE)
    assert outcome.messages == [payload]
    assert outcome.frames[0].opcode == opcode
    assert outcome.close == (1000, "")
    assert not outcome.is_reset


def test_small_messages_that_came_together_go_back_one_by_one() -> None:
    sent = [b"%d" % number for number in range(2000)]
    outcome = talk(b"".join(frame(TEXT, each) for each in sent), DONE)
    assert [each.payload for each in outcome.data] == sent
    assert all(each.fin and each.opcode == TEXT for each in outcome.data)


WRONG = {
    "unmasked": frame(TEXT, b"x", mask=None),
    "rsv1": frame(TEXT, b"x", rsv=4),
    "rsv2": frame(TEXT, b"x", rsv=2),
    "rsv3": frame(BINARY, b"x", rsv=1),
    "rsv of a ping": frame(PING, b"x", rsv=4),
    **{f"opcode {opcode}": frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a ping of 126 bytes": frame(PING, bytes(126)),
    "a fragmented ping": frame(PING, b"x", fin=False),
    "a fragmented pong": frame(PONG, b"x", fin=False),
    "a fragmented close": frame(CLOSE, b"\x03\xe8", fin=False),
    "a continuation of nothing": frame(CONTINUATION, b"x"),
    "a beginning inside": frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"),
    "a length of 2 bytes for 1": frame(TEXT, b"x", length=b"\x7e\0\x01"),
    "a length of 8 bytes for 2": frame(TEXT, bytes(200), length=b"\x7f" + b"\0" * 7 + b"\xc8"),
    "a length of 2**63": frame(TEXT, b"", length=b"\x7f\x80" + bytes(7)),
    "a close of 1 byte": frame(CLOSE, b"\x03"),
    "a close of 126 bytes": frame(CLOSE, b"\x03\xe8" + bytes(124)),
    **{
        f"close code {code}": closing(code)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_breaks_the_protocol_is_1002_after_what_came_before_it(case: str) -> None:
    # What follows it is not looked at.
    outcome = talk(frame(TEXT, b"before"), WRONG[case], frame(TEXT, b"after"), frame(PING))
    assert outcome.data[0] == Frame(TEXT, b"before")
    assert b"after" not in [each.payload for each in outcome.frames]
    assert outcome.close is not None
    assert outcome.close[0] == 1002
    assert outcome.counters == {"websocket_refused": 1}
    assert not any(each.opcode == PONG for each in outcome.frames)
    assert not outcome.is_reset


def test_it_is_the_same_when_it_comes_in_single_bytes() -> None:
    raw = frame(TEXT, b"one") + frame(PING, b"?") + frame(BINARY, bytes(200)) + WRONG["rsv2"]
    outcome = talk(*[raw[i : i + 1] for i in range(len(raw))])
    assert outcome.messages == [b"one", bytes(200)]
    assert [each.payload for each in outcome.frames if each.opcode == PONG] == [b"?"]
    assert outcome.close is not None
    assert outcome.close[0] == 1002


# 5.4: fragments


def test_fragments_are_one_message_and_control_frames_come_between() -> None:
    outcome = talk(
        frame(TEXT, b"one ", fin=False), 0.1,
        frame(PING, b"1"), 0.1,
        frame(CONTINUATION, b"", fin=False), 0.1,
        frame(CONTINUATION, b"two ", fin=False), 0.1,
        frame(PING, b"2"), 0.1,
        frame(CONTINUATION, b"three"), 0.1,
        DONE,
    )  # fmt: skip
    assert outcome.messages == [b"one two three"]
    # Each was answered at once: nothing waits for the end of a message.
    assert outcome.data == [
        Frame(TEXT, b"one ", fin=False),
        Frame(PONG, b"1"),
        Frame(CONTINUATION, b"two ", fin=False),
        Frame(PONG, b"2"),
        Frame(CONTINUATION, b"three"),
    ]


def test_fragments_that_came_together_go_back_together() -> None:
    many = [frame(CONTINUATION, b"x", fin=False)] * 3000
    outcome = talk(
        b"".join([frame(BINARY, b"<", fin=False), *many, frame(CONTINUATION, b">")]), DONE
    )
    assert outcome.messages == [b"<" + b"x" * 3000 + b">"]
    assert len(outcome.data) < 20


# 5.5.2, 5.5.3


def test_pings_are_answered_with_what_they_hold_in_their_order() -> None:
    payloads = [bytes([number]) * number for number in (0, 1, 125)] + [b"%d" % n for n in range(10)]
    outcome = talk(b"".join(frame(PING, payload) for payload in payloads), DONE)
    assert outcome.data == [Frame(PONG, payload) for payload in payloads]


def test_a_pong_that_nobody_asked_for_is_nothing() -> None:
    outcome = talk(frame(PONG, b"unasked"), frame(TEXT, b"x"), DONE)
    assert outcome.data == [Frame(TEXT, b"x")]


# 5.5.1 and 7: the end

CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)


@pytest.mark.parametrize("code", CODES)
def test_a_close_is_answered_with_its_code_and_tcp_ends(code: int) -> None:
    outcome = talk(closing(code, "Grüße".encode()))
    assert outcome.frames == [Frame(CLOSE, code.to_bytes(2, "big"))]
    assert not outcome.is_reset
    assert outcome.ended_at == 0.04  # a round trip: nobody waits for anything


def test_a_close_without_a_code_is_answered_by_such_a_one() -> None:
    assert talk(closing(None)).frames == [Frame(CLOSE, b"")]


def test_a_reason_that_is_no_text_is_1007() -> None:
    close = talk(closing(1000, b"\xc3")).close
    assert close is not None
    assert close[0] == 1007


def test_after_close_nothing_is_answered() -> None:
    outcome = talk(DONE + frame(TEXT, b"late") + frame(PING, b"late") + DONE + bytes(100_000))
    assert outcome.frames == [Frame(CLOSE, b"\x03\xe8")]
    assert not outcome.is_reset


def test_a_message_that_has_not_ended_is_answered_as_far_as_it_came_before_the_close() -> None:
    outcome = talk(frame(TEXT, b"half", fin=False) + DONE)
    assert outcome.frames == [Frame(TEXT, b"half", fin=False), Frame(CLOSE, b"\x03\xe8")]


def test_a_peer_that_ends_tcp_without_a_close_gets_its_echo_and_no_close() -> None:
    outcome = talk(frame(TEXT, b"bye"), ends=True)
    assert outcome.frames == [Frame(TEXT, b"bye")]
    assert not outcome.is_reset


def test_a_peer_that_ends_tcp_inside_a_frame_gets_nothing() -> None:
    outcome = talk(frame(BINARY, b"whole")[:-1], ends=True)
    assert outcome.frames == []
    assert not outcome.is_reset


# 8.1: text is UTF-8

VALID = [
    "κόσμε",
    "\u0000",
    "\ud7ff\ue000\ufffd",
    "\U00010000\U0010ffff",
    "\ufffe\uffff",
    "\u0080߿ࠀ",
]


@pytest.mark.parametrize("text", VALID)
@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_text_that_is_utf8_comes_back_wherever_it_is_cut(text: str, step: int) -> None:
    raw = text.encode()
    pieces = [raw[i : i + step] for i in range(0, len(raw), step)]
    frames = [
        frame(TEXT if i == 0 else CONTINUATION, each, fin=False) for i, each in enumerate(pieces)
    ]
    outcome = talk(*frames, frame(CONTINUATION), DONE)
    assert outcome.messages == [raw]
    for each in outcome.data:
        each.payload.decode()  # what is half a character waits for the other


INVALID = {
    "a surrogate": b"\xed\xa0\x80", "two surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "too long for a slash": b"\xc0\xaf", "beyond the last": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80", "a stray one": b"\x80", "a lonely first": b"\xc3",
    "fe": b"\xfe", "ff": b"\xff", "half at the end": b"\xce\xba\xe1\xbd",
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_text_that_is_not_utf8_is_1007(case: str) -> None:
    for split in (False, True):
        raw = b"ok " + INVALID[case]
        pieces = [frame(TEXT, raw)]
        if split:
            pieces = [frame(TEXT, raw[:4], fin=False), 0.1, frame(CONTINUATION, raw[4:])]
        outcome = talk(*pieces)
        assert outcome.close is not None
        assert outcome.close[0] == 1007
        assert not outcome.is_reset


def test_it_fails_at_the_byte_that_is_wrong_and_does_not_wait_for_the_frame() -> None:
    raw = frame(TEXT, b"x" * 10 + b"\xff" + b"x" * 1000)
    outcome = talk(raw[:20])
    assert outcome.close is not None
    assert outcome.close[0] == 1007
    assert outcome.ended_at == 0.04


# /ws/time


def test_the_time_comes_at_once_and_each_second() -> None:
    outcome = talk(3.5, DONE, path="/ws/time")
    assert [each.payload.decode() for each in outcome.data] == [
        "2026-01-01T00:00:00.100Z",
        "2026-01-01T00:00:01.100Z",
        "2026-01-01T00:00:02.100Z",
        "2026-01-01T00:00:03.100Z",
    ]
    assert all(each.opcode == TEXT for each in outcome.data)
    assert outcome.close == (1000, "")


def test_the_interval_is_the_clients_choice() -> None:
    outcome = talk(1.1, DONE, path="/ws/time?every=0.2")
    assert [each.payload[-5:] for each in outcome.data] == [
        b".100Z", b".300Z", b".500Z", b".700Z", b".900Z", b".100Z"
    ]  # fmt: skip


def test_who_tells_the_time_takes_no_messages_and_answers_pings() -> None:
    outcome = talk(0.3, frame(PING, b"?"), 0.3, frame(TEXT, b"and?"), 0.3, DONE, path="/ws/time")
    assert Frame(PONG, b"?") in outcome.frames
    assert outcome.close is not None
    assert outcome.close[0] == 1003
    assert outcome.ended_at == 0.94
