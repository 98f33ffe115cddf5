"""What a WebSocket costs whoever misuses it: sizes, silence, deafness, ends that are none."""

from functools import partial

import pytest
import trio
from worlds import in_virtual_time, pair
from ws_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    PING,
    PONG,
    TEXT,
    Frame,
    Outcome,
    closing,
    deflated,
    frame,
    handshake,
    parse,
    talk,
)

import pystack
from pystack.apps.limits import WebSocketLimits
from pystack.apps.service import place_services
from pystack.apps.serving import serve
from pystack.apps.websocket.connection import Part, WebSocket
from pystack.core.errors import ConfigError

DONE = closing()
SMALL = WebSocketLimits(message_bytes=100_000)


def code_of(outcome: Outcome) -> int | None:
    return None if outcome.close is None else outcome.close[0]


# sizes


def test_a_message_of_the_limit_comes_back_and_one_byte_more_is_1009() -> None:
    assert talk(frame(BINARY, bytes(100_000)), DONE, limits=SMALL).messages == [bytes(100_000)]
    outcome = talk(frame(BINARY, bytes(100_001)), limits=SMALL)
    assert outcome.close == (1009, "a message of more than 100000 bytes")
    assert outcome.data == []  # its head said it
    assert not outcome.is_reset


def test_it_is_the_whole_message_that_counts_and_the_next_begins_anew() -> None:
    half = frame(BINARY, bytes(50_000), fin=False)
    more = frame(CONTINUATION, bytes(50_000))
    assert talk(half, more, half, more, DONE, limits=SMALL).messages == [bytes(100_000)] * 2
    outcome = talk(half, frame(CONTINUATION, bytes(50_001)), limits=SMALL)
    assert code_of(outcome) == 1009
    assert sum(len(each.payload) for each in outcome.data) == 50_000


def test_the_usual_limit_is_16_mib_and_a_frame_that_says_more_need_not_come() -> None:
    outcome = talk(frame(BINARY, length=b"\x7f" + (2**24 + 1).to_bytes(8, "big")))
    assert outcome.close == (1009, "a message of more than 16777216 bytes")
    outcome = talk(frame(TEXT, length=b"\x7f" + (2**62).to_bytes(8, "big")))
    assert code_of(outcome) == 1009
    assert outcome.counters == {"websocket_too_big": 1}


def test_a_bomb_is_1009_at_the_limit_of_what_it_holds() -> None:
    bomb = deflated(bytes(64 << 20))
    assert len(bomb) < 70_000
    outcome = talk(frame(BINARY, bomb, rsv=4), headers=[DEFLATE], limits=SMALL)
    assert outcome.close == (1009, "a message of more than 100000 bytes")
    assert not outcome.is_reset


def test_what_inflates_to_nothing_is_bounded_too() -> None:
    nothing = b"\0\0\0\xff\xff" * 30_000  # empty stored blocks
    pieces = [frame(BINARY, nothing, fin=False, rsv=4), frame(CONTINUATION, nothing)]
    outcome = talk(*pieces, headers=[DEFLATE], limits=SMALL)
    assert code_of(outcome) == 1009


@pytest.mark.parametrize("limit", ["message_bytes", "ping_s", "pong_s", "send_s", "close_s"])
def test_a_limit_of_nothing_is_a_mistake(limit: str) -> None:
    with pytest.raises(ConfigError, match=limit):
        WebSocketLimits(**{limit: 0})


# silence


def test_a_silent_peer_is_asked_after_30_s_and_let_go_after_20_more() -> None:
    outcome = talk(reads=True)
    assert [each.opcode for each in outcome.frames] == [PING, CLOSE]
    assert outcome.close == (1008, "no answer to a ping")
    assert outcome.ended_at == 50.04
    assert not outcome.is_reset
    assert outcome.counters == {"websocket_silent": 1}


def test_a_peer_that_answers_pings_may_be_silent_for_ever() -> None:
    outcome = talk(*[31.0, frame(PONG, b"")] * 20, DONE)
    assert [each.opcode for each in outcome.frames] == [PING] * 20 + [CLOSE]
    assert code_of(outcome) == 1000


def test_a_peer_that_is_told_the_time_is_asked_too() -> None:
    outcome = talk(path="/ws/time?every=10")
    assert [each.opcode for each in outcome.frames] == [*[TEXT] * 4, PING, *[TEXT] * 2, CLOSE]
    assert code_of(outcome) == 1008


def test_who_speaks_is_not_asked() -> None:
    outcome = talk(*[20.0, frame(TEXT, b"x")] * 10, DONE)
    assert PING not in [each.opcode for each in outcome.frames]


# deafness


def test_a_peer_that_takes_nothing_is_cut_off_after_a_minute() -> None:
    many = frame(BINARY, bytes(1 << 20)) * 4
    outcome = talk(many, reads=False)
    assert outcome.is_reset
    assert outcome.counters == {"websocket_deaf": 1}


def test_who_takes_the_time_slowly_is_told_less_and_not_what_is_past() -> None:
    async def main() -> None:
        async with pair(delay="20ms") as (_net, client, server, _link):
            await pystack.serve(server, "http")
            stream = await client.open_tcp_stream("server", 80)
            await stream.send_all(handshake("/ws/time?every=0.05"))
            await trio.sleep(30)
            await stream.send_all(DONE)
            received = b""
            async for data in stream:
                received += data
            texts = parse(received.partition(b"\r\n\r\n")[2])
            assert texts[-1].opcode == CLOSE
            assert len(texts) == 602  # nothing was in its way: its window took them all

    in_virtual_time(main)


# ends


def test_a_peer_that_does_not_answer_close_is_waited_for_5_s() -> None:
    outcome = talk(0.5, frame(TEXT, b"?"), path="/ws/time")
    assert code_of(outcome) == 1003
    assert outcome.is_reset
    assert outcome.ended_at == 5.54


def test_a_peer_that_goes_on_sending_after_our_close_is_read_no_further() -> None:
    for close_bytes, is_reset in ((1 << 20, True), (5 << 20, False)):
        limits = WebSocketLimits(close_bytes=close_bytes)
        outcome = talk(frame(3), bytes(4 << 20), limits=limits, reads=False, ends=True)
        assert outcome.is_reset == is_reset


def test_a_mistake_of_the_handler_is_1011_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(socket: WebSocket) -> None:
        await socket.receive()
        raise RuntimeError("a mistake")

    outcome = talk(frame(TEXT, b"x"), DONE, handler=fail)
    assert outcome.close == (1011, "the server's program failed")
    assert "a mistake" in caplog.text


def test_a_handler_may_end_it_with_a_code_and_a_reason() -> None:
    async def refuse(socket: WebSocket) -> None:
        await socket.send(Part("no"))
        socket.close(4000, "never")
        assert not socket.is_open
        assert await socket.receive() == []

    outcome = talk(DONE, handler=refuse)
    assert outcome.frames[0] == Frame(TEXT, b"no")
    assert outcome.close == (4000, "never")


def test_a_server_that_is_told_to_end_says_1001() -> None:
    async def main() -> None:
        (placed,) = place_services(["http"])
        async with pair(delay="20ms") as (_net, client, server, _link), trio.open_nursery() as all_:
            await all_.start(partial(serve, server, placed.service, tcp_port=80, udp_port=None))
            stream = await client.open_tcp_stream("server", 80)
            await stream.send_all(handshake() + frame(TEXT, b"x"))
            await trio.sleep(1)
            all_.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                received = b""
                async for data in stream:
                    received += data
            frames = parse(received.partition(b"\r\n\r\n")[2])
            assert frames == [Frame(TEXT, b"x"), Frame(CLOSE, b"\x03\xe9")]

    in_virtual_time(main)


def test_a_thousand_at_once() -> None:
    answered = 0

    async def one(client: pystack.Host, number: int) -> None:
        nonlocal answered
        stream = await client.open_tcp_stream("server", 80)
        await stream.send_all(handshake() + frame(TEXT, b"%d" % number))
        await trio.sleep(40)  # all are open, and have been asked whether they are there
        await stream.send_all(frame(PONG) + DONE)
        received = b""
        async for data in stream:
            received += data
        frames = parse(received.partition(b"\r\n\r\n")[2])
        assert frames[0] == Frame(TEXT, b"%d" % number)
        assert frames[-1].opcode == CLOSE
        answered += 1

    async def main() -> None:
        async with pair(delay="20ms") as (_net, client, server, _link), trio.open_nursery() as all_:
            await pystack.serve(server, "http")
            for number in range(1000):
                all_.start_soon(one, client, number)

    in_virtual_time(main)
    assert answered == 1000
