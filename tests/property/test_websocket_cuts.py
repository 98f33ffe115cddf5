"""WebSocket frames, cut wherever the network cuts: what comes back is the same."""

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from pystack.apps.limits import DEFAULT_WEBSOCKET_LIMITS
from pystack.apps.websocket.connection import WebSocket
from pystack.apps.websocket.endpoints import echo
from pystack.apps.websocket.offers import Deflate, agree

DEFLATE = agree("permessage-deflate; client_max_window_bits")


class Wire(trio.abc.HalfCloseableStream):
    """A stream that yields what it is given, and keeps what is sent on it."""

    def __init__(self, pieces: Iterator[bytes], *, keeps: bool = True) -> None:
        self._pieces = pieces
        self._keeps = keeps
        self.sent = bytearray()
        self.sent_bytes = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return next(self._pieces, b"")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self.sent_bytes += len(data)
        if self._keeps:
            self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def echoed(pieces: Iterator[bytes], deflate: Deflate | None = None, *, keeps: bool = True) -> Wire:
    """Return the wire after an echo of all the pieces."""
    wire = Wire(pieces, keeps=keeps)

    async def main() -> None:
        await WebSocket(wire, b"", deflate, DEFAULT_WEBSOCKET_LIMITS).run(echo)

    trio.run(main)
    return wire


def seen(sent: bytes) -> tuple[list[str | bytes], list[bytes], list[int]]:
    """Return the messages, the pongs, and the codes of Close, as wsproto's client reads them."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(sent)
    messages: list[str | bytes] = []
    pongs: list[bytes] = []
    codes: list[int] = []
    begun: list[str | bytes] = []
    for event in client.events():
        if isinstance(event, Pong):
            pongs.append(bytes(event.payload))
        elif isinstance(event, CloseConnection):
            codes.append(event.code)
        elif isinstance(event, TextMessage | BytesMessage):
            begun.append(event.data)
            if event.message_finished and event.frame_finished:
                empty: str | bytes = "" if isinstance(begun[0], str) else b""
                messages.append(empty.join(begun))  # type: ignore[arg-type]
                begun = []
    return messages, pongs, codes


texts = st.text(max_size=200)
payloads = st.binary(max_size=200)
events = st.one_of(
    st.builds(TextMessage, data=texts),
    st.builds(BytesMessage, data=payloads),
    st.builds(BytesMessage, data=st.integers(60_000, 140_000).map(bytes)),
    st.builds(Ping, payload=st.binary(max_size=125)),
    st.builds(Pong, payload=st.binary(max_size=125)),
    # In fragments, with a ping between them
    st.builds(
        lambda a, b: (TextMessage(a, message_finished=False), Ping(b"?"), TextMessage(b)),
        texts,
        texts,
    ),
)


def packed(sent: list[Event | tuple[Event, ...]]) -> bytes:
    """Return it all as a client sends it."""
    client = Connection(ConnectionType.CLIENT)
    flat = [each for one in sent for each in (one if isinstance(one, tuple) else (one,))]
    return b"".join(client.send(each) for each in (*flat, CloseConnection(code=1000)))


def expected(sent: list[Event | tuple[Event, ...]]) -> tuple[list[str | bytes], list[bytes]]:
    """Return what is to come back."""
    messages: list[str | bytes] = []
    pongs: list[bytes] = []
    for each in sent:
        match each:
            case TextMessage() | BytesMessage():
                messages.append(each.data)
            case Ping():
                pongs.append(each.payload)
            case (TextMessage() as first, Ping(), TextMessage() as last):
                messages.append(first.data + last.data)
                pongs.append(b"?")
    return messages, pongs


@settings(max_examples=60, deadline=None)
@given(st.lists(events, max_size=8), st.lists(st.integers(0, 200_000), max_size=12))
def test_wherever_it_is_cut_all_of_it_comes_back(
    sent: list[Event | tuple[Event, ...]], cuts: list[int]
) -> None:
    raw = packed(sent)
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    pieces = [raw[a:b] for a, b in pairwise(places)]
    messages, pongs, codes = seen(bytes(echoed(iter(pieces)).sent))
    assert (messages, pongs) == expected(sent)
    assert codes == [1000]


def test_cut_in_two_at_each_byte_it_is_the_same_to_the_byte() -> None:
    sent: list[Event | tuple[Event, ...]] = [
        TextMessage("κόσμε"),
        (TextMessage("a", message_finished=False), Ping(b"?"), TextMessage("€")),
        BytesMessage(bytes(130)),
        Ping(b"there?"),
        TextMessage(""),
    ]
    raw = packed(sent)
    want = seen(bytes(echoed(iter([raw])).sent))
    assert want[2] == [1000]
    for cut in range(1, len(raw)):
        got = bytes(echoed(iter([raw[:cut], raw[cut:]])).sent)
        assert seen(got) == want, cut
    for cut in range(1, len(raw)):
        got = bytes(echoed(iter([raw[:cut]])).sent)
        assert seen(got)[2] == [], f"the end at {cut} is no close"


changes = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(events, max_size=5), changes, st.booleans())
def test_frames_with_wrong_bytes_end_in_order(
    sent: list[Event | tuple[Event, ...]], wrong: list[tuple[int, int]], deflated: bool
) -> None:
    raw = bytearray(packed(sent))
    for place, value in wrong:
        raw[place % min(len(raw), 400)] = value
    _, _, codes = seen(bytes(echoed(iter([bytes(raw)]), DEFLATE if deflated else None).sent))
    assert len(codes) <= 1
    assert all(code in (1002, 1007, 1009) or 1000 <= code < 5000 for code in codes)


def test_sixteen_mib_are_echoed_in_the_memory_of_a_piece() -> None:
    head = bytes([0x82, 0xFF]) + (16 << 20).to_bytes(8, "big") + bytes(4)
    piece = bytes(64 << 10)

    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(256):
            yield piece
        yield b"\x88\x80" + bytes(4)

    tracemalloc.start()
    try:
        wire = echoed(pieces(), keeps=False)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert wire.sent_bytes > 16 << 20
    assert peak_bytes < 1 << 20
