"""A program that is not the same in each run is found out, and where; one that is has a digest."""

import asyncio
import itertools
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

import pystack
from pystack.testing.difference import Difference

_counter = itertools.count(10)
_remembered: list[bytes] = []


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def ask(word: bytes) -> bytes:
    async with await trio.open_tcp_stream("server", 7) as stream:
        await stream.send_all(word)
        return await stream.receive_some()


async def conversation(word: Callable[[int], bytes]) -> None:
    """Ask ten times; the fifth time with what `word` says."""
    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="20ms", loss="5%")
        await server.start(trio.serve_tcp, echo, 7)
        for number in range(10):
            await client.run(ask, word(number) if number == 5 else b"hello %d" % number)


async def always_the_same() -> int:
    await conversation(lambda number: b"five")
    return 3


class Item:
    """Something that sets keep in the order of its address."""

    def __init__(self, number: int) -> None:
        self.number = number


def items(kind: Callable[[int], object]) -> Iterator[object]:
    yield from {kind(number) for number in range(40)}


async def all_items(kind: Callable[[int], object]) -> None:
    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="20ms")
        await server.start(trio.serve_tcp, echo, 7)
        for item in items(kind):
            number = item.number if isinstance(item, Item) else item
            await client.run(ask, f"item {number}".encode())


def named(number: int) -> str:
    return f"name{number}"


async def items_by_name() -> None:
    await all_items(named)


def difference_of(main: Callable[..., object], *args: object, **words: int) -> Difference:
    with pytest.raises(pystack.NondeterminismError) as caught:
        pystack.check_determinism(main, *args, **words)
    assert str(caught.value).startswith("the same seed, and not the same run: the first run and ")
    return caught.value.difference


def other_hash_seed() -> int:
    return 1 if os.environ.get("PYTHONHASHSEED") == "4242" else 4242


def test_a_run_that_is_the_same_has_the_digest_of_its_network() -> None:
    digest = ""

    async def main() -> None:
        nonlocal digest
        async with pystack.Network(seed=3) as net:
            seen = net.digest()
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms", loss="5%")
            await server.start(trio.serve_tcp, echo, 7)
            await client.run(ask, b"hello")
            assert seen.entries > 10
        digest = seen.hexdigest()

    assert pystack.check_determinism(main) == digest
    assert pystack.check_determinism(main, seed=1) == digest  # that of Trio's ties: there are none


def test_it_is_the_same_in_another_process_with_another_hash_seed() -> None:
    here = pystack.check_determinism(always_the_same)
    assert pystack.check_determinism(always_the_same, hash_seed=other_hash_seed()) == here


def test_the_first_difference_is_named_with_what_was_before_and_who_did_it() -> None:
    found = difference_of(conversation, lambda number: str(uuid.uuid4()).encode())
    assert found.at == pytest.approx(0.48)
    assert found.number > 100
    text = str(found)
    assert text.startswith(f"the first run and the second run part at event {found.number}, at 0.4")
    assert "the same in both (the last 8):" in text
    assert "by the main task in ask (test_check_determinism.py:" in text
    assert "Data, data: 36 bytes: " in text
    assert found.why() == [
        "there is a UUID in it: it was drawn by code on no host, where uuid4, random and "
        "os.urandom are the machine's",
        "a third run did something else again: it is drawn, counted or timed anew",
    ]


def test_the_machines_calendar_is_recognized() -> None:
    found = difference_of(conversation, lambda number: str(time.time_ns()).encode())
    assert found.why()[0].startswith("an instant of the machine's calendar is in it")


def test_what_the_first_run_left_behind_is_recognized() -> None:
    def word(number: int) -> bytes:
        if not _remembered:
            _remembered.append(b"x")
            return b"for the first time"
        return b"again"

    found = difference_of(conversation, word)
    assert found.why()[-1].startswith("a third run did as the second: the first one left something")


def test_other_lengths_are_told_by_field() -> None:
    found = difference_of(conversation, lambda number: b"x" * next(_counter))
    fields = str(found).split("what differs:\n")[1].splitlines()
    assert fields[0].strip() == "IPv4 packet, Total Length: 62 / 63"


def test_the_order_of_a_set_of_objects_is_recognized() -> None:
    keep: list[object] = []

    def item(number: int) -> Item:
        # Without this the second run would find them at the addresses of the first.
        keep.append(bytearray(random.SystemRandom().randrange(16, 4000)))
        keep.append(made := Item(number))
        return made

    found = difference_of(all_items, item)
    assert found.why()[0].startswith("the same happens in another order: that of a set of objects")


def test_the_order_of_texts_is_found_in_a_process_with_another_hash_seed() -> None:
    pystack.check_determinism(items_by_name)
    found = difference_of(items_by_name, hash_seed=other_hash_seed())
    assert found.why()[0] == "the same happens in another order"
    assert "PYTHONHASHSEED" in found.why()[1]


def test_threads_are_named() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, _server = net.host("client"), net.host("server")
            net.link(client, _server, delay="20ms")
            wait_s = await trio.to_thread.run_sync(random.SystemRandom().random)
            await trio.sleep(wait_s)
            await client.ping("server")

    found = difference_of(main)
    assert found.why()[0].startswith("the same happens at another instant: something waited for")
    assert any(why.startswith("real threads (trio.to_thread)") for why in found.why())


@pytest.mark.parametrize("has_network", [False, True])
def test_how_it_ends_is_compared(has_network: bool) -> None:
    async def main() -> float:
        if has_network:
            await always_the_same()
        return random.SystemRandom().random()

    found = difference_of(main)
    assert found.at is None
    assert "end differently" in str(found)
    assert "nothing more happens; it returned 0." in str(found)


def test_one_run_may_end_earlier() -> None:
    runs = itertools.count()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, _server = net.host("client"), net.host("server")
            net.link(client, _server, delay="20ms")
            for _ in range(2 if next(runs) else 1):
                await client.ping("server")

    found = difference_of(main)
    assert found.at is not None
    assert not found.first
    assert found.second
    assert "the first run:\n  nothing more happens; it returned None" in str(found)


def test_a_network_without_a_seed_is_recognized() -> None:
    async def main() -> None:
        async with pystack.Network() as net:
            client, _server = net.host("client"), net.host("server")
            net.link(client, _server, delay="20ms")
            await client.ping("server")

    assert difference_of(main).why()[0].startswith("the networks have other seeds in each run")


async def names_of_all() -> dict[str, set[str]]:
    return {"names": {named(number) for number in range(40)}}


def test_what_it_returns_may_have_sets() -> None:
    pystack.check_determinism(names_of_all, hash_seed=other_hash_seed())


def test_a_program_that_always_fails_fails_in_its_own_way() -> None:
    async def main() -> None:
        await always_the_same()
        raise KeyError("nothing there")

    with pytest.raises(KeyError, match="nothing there"):
        pystack.check_determinism(main)


def test_the_second_run_ends_soon_after_the_difference() -> None:
    ends: list[float] = []

    async def main() -> None:
        first = not ends
        async with pystack.Network(seed=1) as net:
            client, _server = net.host("client"), net.host("server")
            net.link(client, _server, delay="20ms" if first else "30ms")
            try:
                for _ in range(1000):
                    await client.ping("server")
            finally:
                ends.append(trio.current_time())

    difference_of(main)
    assert ends[0] > 40
    assert max(ends[1:]) < 2


def test_what_cannot_be_is_told_in_a_sentence() -> None:
    with pytest.raises(pystack.ConfigError, match="hash_seed=-1 is not a whole number from 0"):
        pystack.check_determinism(always_the_same, hash_seed=-1)
    with pytest.raises(pystack.ConfigError, match="it has to be a function of a module"):
        pystack.check_determinism(lambda: None, hash_seed=1)


def test_a_script_that_would_call_itself_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import pystack\nasync def main(): pass\npystack.check_determinism(main, hash_seed=1)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert 'behind `if __name__ == "__main__":`' in done.stderr
    assert "ended by itself (status 1): what it said is above" in done.stderr


async def answer_in_asyncio() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(handle, port=7) as server:
        await server.serve_forever()


async def ask_in_asyncio(word: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("server", 7)
    writer.write(word)
    data = await reader.read(1000)
    writer.close()
    return data


@pytest.mark.parametrize("draws", [False, True])
def test_asyncio_programs_are_checked_too(draws: bool) -> None:
    async def main() -> None:
        async with pystack.Network(seed=3) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms", loss="5%")
            await server.start_asyncio(answer_in_asyncio, port=7)
            word = str(uuid.uuid4()) if draws else "hello"
            await client.run_asyncio(ask_in_asyncio, word.encode())

    if not draws:
        assert len(pystack.check_determinism(main, run=pystack.run_asyncio)) == 64
        return
    with pytest.raises(pystack.NondeterminismError) as caught:
        pystack.check_determinism(main, run=pystack.run_asyncio)
    assert "by ask_in_asyncio in ask_in_asyncio (test_check_determinism.py:" in str(caught.value)
