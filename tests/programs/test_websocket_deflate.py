"""permessage-deflate, RFC 7692, with raw frames in virtual time."""

import zlib

import pytest
from ws_frames import (
    BINARY,
    CONTINUATION,
    DEFLATE,
    PING,
    TEXT,
    Outcome,
    closing,
    deflated,
    frame,
    talk,
)

DONE = closing()
FIELD = b"Sec-WebSocket-Extensions: "
STORY = b"It was the best of times, it was the worst of times. " * 40


def agreed(outcome: Outcome) -> str | None:
    """Return what the server has agreed to; None: nothing."""
    for line in outcome.head.split(b"\r\n"):
        if line.startswith(FIELD):
            return line.removeprefix(FIELD).decode()
    return None


def inflated(outcome: Outcome, bits: int = 12, *, anew: bool = False) -> list[bytes]:
    """Return the messages, of which those with RSV1 are inflated."""
    messages: list[bytes] = []
    unpacker, packed, is_packed = zlib.decompressobj(-bits), b"", False
    for each in outcome.frames:
        if each.opcode > BINARY:
            assert each.rsv == 0
            continue
        if each.opcode != CONTINUATION:
            is_packed = each.rsv == 4
            assert each.rsv in (0, 4)
        else:
            assert each.rsv == 0
        packed += each.payload
        if each.fin:
            if is_packed:
                packed = unpacker.decompress(packed + b"\0\0\xff\xff")
                if anew:
                    unpacker = zlib.decompressobj(-bits)
            messages.append(packed)
            packed = b""
    return messages


OFFERS = {
    "permessage-deflate": "server_max_window_bits=12",
    "permessage-deflate; client_max_window_bits":
        "server_max_window_bits=12; client_max_window_bits=15",
    "permessage-deflate; client_max_window_bits=9":
        "server_max_window_bits=12; client_max_window_bits=9",
    "permessage-deflate; client_max_window_bits=8":
        "server_max_window_bits=12; client_max_window_bits=8",
    'permessage-deflate; server_max_window_bits="10"': "server_max_window_bits=10",
    "permessage-deflate; server_max_window_bits=15": "server_max_window_bits=12",
    "permessage-deflate; server_no_context_takeover":
        "server_no_context_takeover; server_max_window_bits=12",
    "permessage-deflate; client_no_context_takeover":
        "client_no_context_takeover; server_max_window_bits=12",
    # The first that can be taken is; what is declined is not answered.
    "permessage-deflate; server_max_window_bits=8": None,
    "permessage-deflate; server_max_window_bits=8, permessage-deflate":
        "server_max_window_bits=12",
    "x-other; a=b, permessage-deflate": "server_max_window_bits=12",
    "permessage-deflate; unknown": None,
    "permessage-deflate; unknown=1, permessage-deflate; server_max_window_bits=9":
        "server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits": None,
    "permessage-deflate; server_max_window_bits=16": None,
    "permessage-deflate; server_max_window_bits=09": None,
    "permessage-deflate; server_max_window_bits=x": None,
    "permessage-deflate; client_max_window_bits=7": None,
    "permessage-deflate; server_no_context_takeover=1": None,
    "permessage-deflate; client_max_window_bits; client_max_window_bits": None,
    "x-webkit-deflate-frame": None,
    ",": None,
}  # fmt: skip


@pytest.mark.parametrize("offer", OFFERS)
def test_the_first_offer_that_can_be_taken_is(offer: str) -> None:
    expected = OFFERS[offer]
    outcome = talk(frame(TEXT, b"plain"), DONE, headers=[f"Sec-WebSocket-Extensions: {offer}"])
    answer = None if expected is None else f"permessage-deflate; {expected}"
    assert agreed(outcome) == answer
    bits = 12 if expected is None or "server_max_window_bits=1" in expected else 9
    assert inflated(outcome, bits) == [b"plain"]


def test_offers_in_two_fields_are_one_list() -> None:
    headers = ["Sec-WebSocket-Extensions: x-other", DEFLATE]
    assert agreed(talk(DONE, headers=headers)) == "permessage-deflate; server_max_window_bits=12"


def test_compressed_messages_come_back_compressed_and_the_context_is_taken_over() -> None:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    sent = [
        frame(TEXT, (packer.compress(STORY) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4)
        for _ in range(3)
    ]
    outcome = talk(*sent, DONE, headers=[DEFLATE])
    assert inflated(outcome) == [STORY] * 3
    first, second, _ = (len(each.payload) for each in outcome.data)
    assert first < len(STORY) // 10
    assert second < first  # it knows what was before


def test_without_takeover_each_message_stands_by_itself() -> None:
    offer = "; ".join((DEFLATE, "server_no_context_takeover", "client_no_context_takeover"))
    sent = [frame(BINARY, deflated(STORY), rsv=4)] * 3
    outcome = talk(*sent, DONE, headers=[offer])
    assert inflated(outcome, anew=True) == [STORY] * 3
    assert len({each.payload for each in outcome.data}) == 1


@pytest.mark.parametrize("payload", [b"", b"x", bytes(1 << 20)])
def test_sizes_of_nothing_and_of_much(payload: bytes) -> None:
    headers = ["; ".join((DEFLATE, "client_no_context_takeover"))]
    sent = [frame(BINARY, deflated(payload), rsv=4)] * 3
    assert inflated(talk(*sent, DONE, headers=headers)) == [payload] * 3


def test_messages_that_are_not_compressed_may_come_between() -> None:
    sent = [frame(TEXT, b"plain"), frame(TEXT, deflated(b"packed"), rsv=4), frame(TEXT, b"plain")]
    assert inflated(talk(*sent, DONE, headers=[DEFLATE])) == [b"plain", b"packed", b"plain"]


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_compressed_message_in_fragments_with_pings_between(step: int) -> None:
    raw = deflated(STORY)
    parts = [raw[i : i + step] for i in range(0, len(raw), step)]
    sent = [frame(TEXT, parts[0], fin=False, rsv=4)]
    for part in parts[1:]:
        sent += [frame(PING, b"?"), frame(CONTINUATION, part, fin=False)]
    sent += [frame(PING, b"?"), frame(CONTINUATION)]
    assert inflated(talk(*sent, DONE, headers=[DEFLATE])) == [STORY]


def test_a_final_block_ends_the_stream_and_not_the_connection() -> None:
    # RFC 7692 section 7.2.3.4, and its example: what follows is a stream of its own.
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    final = packer.compress(b"Hello") + packer.flush(zlib.Z_FINISH) + b"\0"
    sent = [frame(TEXT, final, rsv=4), frame(TEXT, deflated(b"more"), rsv=4)]
    assert inflated(talk(*sent, DONE, headers=[DEFLATE])) == [b"Hello", b"more"]


def test_the_examples_of_the_rfc_are_read() -> None:
    # 7.2.3.1, 7.2.3.2 and 7.2.3.3
    hello = bytes.fromhex("f2 48 cd c9 c9 07 00")
    again = bytes.fromhex("f2 00 11 00 00")
    stored = bytes.fromhex("00 05 00 fa ff 48 65 6c 6c 6f 00")
    sent = [frame(TEXT, each, rsv=4) for each in (hello, again, stored)]
    assert inflated(talk(*sent, DONE, headers=[DEFLATE])) == [b"Hello"] * 3


WRONG = {
    "rsv1 in a continuation":
        (frame(TEXT, b"", fin=False, rsv=4) + frame(CONTINUATION, b"", rsv=4), 1002),
    "rsv1 of a ping": (frame(PING, b"", rsv=4), 1002),
    "rsv2 too": (frame(TEXT, deflated(b"x"), rsv=6), 1002),
    "a beginning inside":
        (frame(TEXT, deflated(b"x"), fin=False, rsv=4) + frame(TEXT, b"\xff", rsv=4), 1002),
    "no such blocks": (frame(TEXT, b"\xff" * 20, rsv=4), 1007),
    "no text": (frame(TEXT, deflated(b"\xff"), rsv=4), 1007),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_gets_its_code(case: str) -> None:
    raw, code = WRONG[case]
    outcome = talk(raw, headers=[DEFLATE])
    assert outcome.close is not None
    assert outcome.close[0] == code
    assert not outcome.is_reset
