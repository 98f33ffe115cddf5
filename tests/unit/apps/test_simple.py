"""The simple services, RFC 862, 863, 864, 867 and 868."""

from random import Random

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.simple import (
    IDLE_S,
    SEND_S,
    Chargen,
    Daytime,
    Discard,
    Echo,
    Time,
    chargen_line,
    daytime_line,
    time_number,
)

PEER = ("10.0.0.1", 40000)
UTC_S = 382_210_663.0  # the moment of RFC 867's example


@pytest.mark.trio
async def test_echo_returns_everything_until_the_end() -> None:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Echo().handle_tcp, server)
        await client.send_all(b"one")
        assert await client.receive_some() == b"one"
        await client.send_all(b"two")
        await client.send_eof()
        assert await client.receive_some() == b"two"


@pytest.mark.trio
async def test_echo_gives_up_a_peer_that_reads_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Echo().handle_tcp, server)
        await client.send_all(b"one")
    assert trio.current_time() == pytest.approx(SEND_S)


@pytest.mark.trio
async def test_a_silent_peer_is_let_go(autojump_clock: trio.testing.MockClock) -> None:
    for service in (Echo(), Discard()):
        began = trio.current_time()
        _, server = trio.testing.memory_stream_pair()
        await service.handle_tcp(server)
        assert trio.current_time() - began == pytest.approx(IDLE_S)


@pytest.mark.trio
async def test_discard_reads_to_the_end_and_says_nothing() -> None:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Discard().handle_tcp, server)
        await client.send_all(b"x" * 1_000_000)
        await client.send_eof()
    await server.aclose()
    assert await client.receive_some() == b""


@pytest.mark.trio
async def test_chargen_sends_the_pattern_until_the_peer_goes() -> None:
    client, server = trio.testing.lockstep_stream_pair()
    received = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Chargen(Random(0)).handle_tcp, server)
        while len(received) < 20_000:
            received += bytes(await client.receive_some(1000))
        await client.aclose()
    lines = received.split(b"\r\n")[:-1]
    assert lines == [chargen_line(n)[:-2] for n in range(len(lines))]


@pytest.mark.trio
async def test_chargen_ends_when_the_peer_ends_its_side() -> None:
    client, server = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Chargen(Random(0)).handle_tcp, server)
        await client.send_all(b"who reads this?")
        await client.send_eof()


@pytest.mark.trio
async def test_chargen_gives_up_a_peer_that_reads_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = trio.testing.lockstep_stream_pair()
    await Chargen(Random(0)).handle_tcp(server)
    assert trio.current_time() == pytest.approx(SEND_S)
    await client.aclose()


def test_the_pattern_is_that_of_rfc_864() -> None:
    first = chargen_line(0)
    assert len(first) == 74
    assert first.startswith(b" !\"#$%&'()*+,-./0123456789:;<=>?@ABC")
    assert chargen_line(1)[:-2] == first[1:-2] + b"h"
    assert chargen_line(94).startswith(b"~ !")
    assert chargen_line(95) == first
    assert all(0x20 <= c <= 0x7E for n in range(95) for c in chargen_line(n)[:-2])


@given(st.integers(), st.binary(max_size=2000))
def test_a_chargen_datagram_is_at_most_512_characters_and_never_longer_than_the_question(
    seed: int, payload: bytes
) -> None:
    answer = Chargen(Random(seed)).answer_udp(payload, PEER, 0.0) or b""
    assert len(answer) <= min(len(payload), 512)
    assert b"".join(chargen_line(n) for n in range(95)).startswith(answer)


@pytest.mark.trio
async def test_daytime_sends_one_line_and_ends() -> None:
    client, server = trio.testing.memory_stream_pair()
    service = Daytime(lambda: UTC_S)
    await service.handle_tcp(server)
    assert await client.receive_some() == b"Wednesday, February 10, 1982 17:37:43-UTC\r\n"
    assert service.answer_udp(b"", PEER, 0.0) == daytime_line(UTC_S)


@pytest.mark.trio
async def test_time_sends_four_bytes_and_ends() -> None:
    client, server = trio.testing.memory_stream_pair()
    service = Time(lambda: UTC_S)
    await service.handle_tcp(server)
    assert await client.receive_some() == time_number(UTC_S)
    assert service.answer_udp(b"", PEER, 0.0) == time_number(UTC_S)


@pytest.mark.parametrize(
    ("utc_s", "number"),
    [  # the examples of RFC 868: 1970, 1976, 1980, May 1983
        (0, 2_208_988_800),
        (189_302_400, 2_398_291_200),
        (315_532_800, 2_524_521_600),
        (420_595_200, 2_629_584_000),
        (2**32 - 2_208_988_800 - 0.5, 2**32 - 1),
        (2**32 - 2_208_988_800, 0),
    ],
)
def test_time_is_counted_from_1900_and_begins_anew_in_2036(utc_s: float, number: int) -> None:
    assert int.from_bytes(time_number(utc_s), "big") == number


def test_over_udp_echo_returns_and_discard_does_not() -> None:
    assert Echo().answer_udp(b"", PEER, 0.0) == b""
    assert Echo().answer_udp(b"x" * 65507, PEER, 0.0) == b"x" * 65507
    assert Discard().answer_udp(b"x", PEER, 0.0) is None
