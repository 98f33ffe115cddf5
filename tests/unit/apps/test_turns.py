"""However a stranger feeds a service: others get their turn before much has been done.

Time cannot be judged here, so work is: the calls of functions, of Python's and of C's, that are
made from one step of a task that only ticks to its next. A thousand are about 0.2 ms. Tasks that
are ready together go on in an order that Trio draws, here from a seed: work between two ticks is
that of nearly two rounds where one ticks first and then last.
"""

import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import pytest
import trio
import trio.testing
from http_talk import get
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.apps.http import serve_connection
from pystack.apps.http.site import Site
from pystack.apps.turns import ROUND_UNITS, SLICE_UNITS, Turn, begin_turn
from pystack.runtime.driver.virtual import seeded_trio

pytestmark = pytest.mark.trio

MOST_CALLS = 40_000  # from tick to tick: some 8 ms
CHUNKED = get("/upload", "Transfer-Encoding: chunked", method="POST")

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}")
WEBSOCKET = get("/ws/echo", *UPGRADE, "Sec-WebSocket-Version: 13")
DEFLATED = get(
    "/ws/echo",
    *UPGRADE,
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover",
)
MASK = bytes(4)


class Ticker:
    """A task that wants to run in every round, as one that answers pings does."""

    def __init__(self) -> None:
        self.calls = 0
        self.most_calls = 0
        self.total = 0
        self.ticks = 0

    async def run(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self.most_calls = max(self.most_calls, self.calls)
            self.calls = 0
            self.ticks += 1

    def profile(self, frame: FrameType, event: str, arg: object) -> None:
        if event in ("call", "c_call"):
            self.calls += 1
            self.total += 1


@asynccontextmanager
async def ticking() -> AsyncIterator[Ticker]:
    ticker = Ticker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticker.run)
        before = sys.getprofile()
        sys.setprofile(ticker.profile)
        try:
            yield ticker
        finally:
            sys.setprofile(before)
        nursery.cancel_scope.cancel()


async def talk(site: Site, raw: bytes, connections: int = 1) -> None:
    """Send it on so many connections at once, and read what comes."""

    async def one() -> None:
        client, server = trio.testing.memory_stream_pair()

        async def read() -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async for _ in client:
                    pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_connection, server, site)
            nursery.start_soon(read)
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await client.send_all(raw)
                await client.send_eof()

    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(one)


@pytest.fixture(autouse=True)
def _one_order() -> Iterator[None]:
    with seeded_trio(1):
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    for number in range(2000):
        (root / f"{number}").touch()
    return root


_PACKER = zlib.compressobj(9, zlib.DEFLATED, -15)
PACKED = _PACKER.compress(bytes(400_000)) + _PACKER.flush(zlib.Z_SYNC_FLUSH)[:-4]
WORST = {
    "chunks of one byte": CHUNKED + b"1\r\na\r\n" * 8000 + b"0\r\n\r\n",
    "chunks with extensions": CHUNKED + b"1;a=b\r\na\r\n" * 4000 + b"0\r\n\r\n",
    "trailers": CHUNKED + b"0\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    "headers": get("/", *["a: b"] * 10_000),
    "folded headers": get("/", "a: b" + "\r\n c" * 4000),
    "blank lines": b"\r\n" * 100_000 + get("/connection.json"),
    "pipelined requests": get("/connection.json") * 60,
    "pipelined requests for pages": get("/connection") * 40,
    "pipelined HEAD": get("/bytes/1", method="HEAD") * 60,
    "pipelined ranges": get("/bytes/1000", "Range: bytes=0-0") * 60,
    "many ranges": get("/bytes/1000", "Range: bytes=" + "0-0," * 3000) * 4,
    "many tags": get("/bytes/1", "If-None-Match: " + '"a",' * 3000) * 4,
    "deep paths": get("/" + "1/" * 4000) * 4,
    "paths of encoded bytes": get("/" + "%41" * 2500) * 4,
    "listings": get("/"),
    "pings": WEBSOCKET + (b"\x89\x80" + MASK) * 10_000,
    "messages of nothing": WEBSOCKET + (b"\x81\x80" + MASK) * 10_000,
    "fragments of one byte":
        WEBSOCKET + b"\x01\x80" + MASK + (b"\x00\x81" + MASK + b"a") * 9000,
    "messages in fragments": WEBSOCKET + (b"\x02\x81" + MASK + b"a\x80\x80" + MASK) * 5000,
    "small compressed messages": DEFLATED + (b"\xc1\x83" + MASK + b"\x4a\x04\x00") * 7000,
    "large compressed messages":
        DEFLATED + (b"\xc2\xfe" + len(PACKED).to_bytes(2, "big") + MASK + PACKED) * 20,
    "ends of compressed streams": DEFLATED + b"\x42\xfe\xff\x00" + MASK + b"\x03\x00" * 32_640,
}  # fmt: skip


@pytest.mark.parametrize("name", WORST)
async def test_whatever_one_connection_sends_others_run_soon(root: Path, name: str) -> None:
    site = Site(root)
    await talk(site, WORST[name])  # what is imported and compiled once is not counted
    async with ticking() as ticker:
        await talk(site, WORST[name])
    assert ticker.most_calls < MOST_CALLS / 4


@pytest.mark.parametrize(
    ("name", "connections", "size"),
    [
        ("chunks of one byte", 20, 12_000),
        ("pipelined requests", 60, 12_000),
        ("headers", 60, 12_000),
        ("listings", 5, 12_000),
        ("pings", 60, 4_000),
    ],
)
async def test_a_crowd_holds_up_others_no_longer(
    root: Path, name: str, connections: int, size: int
) -> None:
    site, raw = Site(root), WORST[name][:size]
    await talk(site, raw)
    async with ticking() as ticker:
        await talk(site, raw, connections)
    assert ticker.most_calls < MOST_CALLS


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b"1\r\na\r\n",
                b"0\r\n\r\n",
                b"\r\n",
                b"a: b\r\n",
                CHUNKED,
                get("/"),
                get("/bytes/9"),
                b"x",
            ]
        ).flatmap(lambda piece: st.integers(1, 3000).map(lambda count: piece * count)),
        max_size=6,
    )
)
async def test_no_mixture_of_them_is_worse(pieces: list[bytes]) -> None:
    async with ticking() as ticker:
        await talk(Site(), b"".join(pieces)[:30_000])
    assert ticker.most_calls < MOST_CALLS / 4


class FromAddress:
    def __init__(self, address: str) -> None:
        self.remote_address = address, 40_000


async def work(turn: Turn, log: Callable[[], None], slices: int) -> None:
    for _ in range(slices * SLICE_UNITS):
        if turn.spend(1):
            await turn.wait()
        log()


async def test_of_those_that_go_on_one_works_in_each_round() -> None:
    done: list[int] = []  # in each round
    counts = [0]

    async def one() -> None:
        await work(begin_turn(FromAddress("10.0.0.1")), count, 10)

    def count() -> None:
        counts[0] += 1

    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(one)

            async def tick() -> None:
                while True:
                    await trio.lowlevel.checkpoint()
                    done.append(counts[0])
                    counts[0] = 0

            outer.start_soon(tick)
        outer.cancel_scope.cancel()
    assert max(done[:2]) <= ROUND_UNITS
    assert max(done[2:]) <= 2 * SLICE_UNITS + 2  # from tick to tick there may be two


@pytest.mark.parametrize(
    ("crowd", "other"),
    [
        (["10.0.0.1"] * 40, "10.0.0.2"),
        # Who has one address of IPv6 has a network of them.
        ([f"2001:db8::{number:x}" for number in range(1, 41)], "2001:db8:0:1::1"),
    ],
)
async def test_an_address_with_a_thousand_connections_has_no_more_than_one_with_one(
    crowd: list[str], other: str
) -> None:
    order: list[str] = []

    async def one(address: str, slices: int) -> None:
        await work(begin_turn(FromAddress(address)), partial(order.append, address), slices)

    async with trio.open_nursery() as nursery:
        for address in crowd:
            nursery.start_soon(one, address, 5)
        await trio.lowlevel.checkpoint()
        nursery.start_soon(one, other, 5)
    last = len(order) - 1 - order[::-1].index(other)
    between = [each for each in order[order.index(other) : last] if each != other]
    assert len(between) <= 6 * (SLICE_UNITS + 1)


async def test_who_is_cancelled_while_waiting_holds_up_nobody() -> None:
    finished = []

    async def one(number: int) -> None:
        turn = begin_turn(FromAddress("10.0.0.1"))
        with trio.CancelScope() as scope:
            if number % 3 == 0:
                cancelled.append(scope)
            await work(turn, lambda: None, 5)
            finished.append(number)

    cancelled: list[trio.CancelScope] = []
    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(one, number)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        for scope in cancelled:
            scope.cancel()
    assert sorted(finished) == [number for number in range(30) if number % 3]


@pytest.mark.parametrize("name", ["chunks of one byte", "pipelined requests", "listings"])
async def test_beside_the_worst_another_client_gets_half_of_what_it_gets_alone(
    root: Path, name: str
) -> None:
    """What twenty others' clients do in this program counts as well, and is about a fifth."""
    site = Site(root)

    async def visit() -> None:
        for _ in range(20):
            await talk(site, get("/connection", "Connection: close"))

    async def calls_of_a_visit() -> int:
        counted.total = 0
        await visit()
        return counted.total

    async with ticking() as counted:
        alone = await calls_of_a_visit()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(talk, site, WORST[name] * 50)
            await trio.lowlevel.checkpoint()
            beside = await calls_of_a_visit()
            nursery.cancel_scope.cancel()
    assert beside <= 2.5 * alone
