"""How long things take in virtual time: numbers that move only when the engine has changed."""

import pytest
import trio
from wires import Pair, connected, in_network, pair

import pystack
from pystack.runtime.streams import TcpStream
from pystack.tcp.config import TcpConfig
from pystack.wire.frame import Frame

MEGABYTES_10 = 10_000_000
CONTROLS = ["cubic", "newreno"]


async def transfer(wire: Pair, size: int) -> tuple[float, TcpStream]:
    """Send that much to the server; return how long it took, and the sender's end."""
    client, server = await connected(wire)
    started_at = trio.current_time()

    async def send() -> None:
        await client.send_all(bytes(size))
        await client.send_eof()

    got = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while data := await server.receive_some():
            got += len(data)
    assert got == size
    return trio.current_time() - started_at, client


def timed(
    congestion: str,
    *,
    losing: tuple[int, ...] = (),
    size: int = MEGABYTES_10,
    recovery: str = "auto",
    most_bytes: int | None = 1 << 20,  # that buffers may grow to; None: the default
) -> dict:  # type: ignore[type-arg]
    """Return what became of a transfer over 20 ms each way, with those data segments lost."""
    result = {}

    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.02)
        wire.configure(
            TcpConfig(
                congestion=congestion,
                recovery=recovery,
                send_buffer_max_bytes=most_bytes,
                receive_buffer_max_bytes=most_bytes,
            )
        )
        count = 0

        def passes(frame: Frame) -> bool:
            nonlocal count
            if len(frame.data) < 1000:
                return True
            count += 1
            return count not in losing

        wire.to_server.passes = passes
        result["seconds"], stream = await transfer(wire, size)
        result["retransmits"] = stream.info().retransmits
        result["counters"] = wire.client.counters

    in_network(program)
    return result


@pytest.mark.parametrize("congestion", CONTROLS)
def test_ten_megabytes_without_loss(congestion: str) -> None:
    # Round trips of 40 ms: 10, 20, 40, ... segments until 1 MiB, the buffers, is on the way.
    result = timed(congestion)
    assert result["seconds"] == pytest.approx(0.70)
    assert result["retransmits"] == 0


@pytest.mark.parametrize("congestion", CONTROLS)
def test_buffers_that_grow_never_hold_slow_start_up(congestion: str) -> None:
    # All 6906 segments in ten round trips, doubled each time; the last one half.
    result = timed(congestion, most_bytes=None)
    assert result["seconds"] == pytest.approx(0.38)


@pytest.mark.parametrize("congestion", CONTROLS)
@pytest.mark.parametrize("recovery", ["rack", "sack", "newreno"])
def test_one_lost_segment_is_repaired_without_a_timeout(congestion: str, recovery: str) -> None:
    result = timed(congestion, losing=(2000,), recovery=recovery)
    # RFC 6675's rescue of the last segment is for nothing here, but who knows
    assert result["retransmits"] == (2 if recovery == "sack" else 1)
    assert result["counters"]["tcp_retransmits_rto"] == 0
    assert result["seconds"] < 1.2


@pytest.mark.parametrize("congestion", CONTROLS)
def test_several_lost_in_one_window_are_repaired_one_a_round_trip(congestion: str) -> None:
    result = timed(congestion, losing=(2000, 2010, 2020, 2030), recovery="newreno")
    assert result["retransmits"] == 4
    assert result["counters"]["tcp_retransmits_rto"] == 0
    assert result["seconds"] < 1.5


@pytest.mark.parametrize("recovery", ["rack", "sack"])
def test_selective_acknowledgements_repair_several_in_one_round_trip(recovery: str) -> None:
    one = timed("cubic", losing=(2000,), recovery=recovery)
    four = timed("cubic", losing=(2000, 2010, 2020, 2030), recovery=recovery)
    assert four["counters"][f"tcp_retransmits_{recovery}"] == (5 if recovery == "sack" else 4)
    assert four["seconds"] == one["seconds"]


@pytest.mark.parametrize("congestion", CONTROLS)
def test_a_lost_tail_is_repaired_by_the_timer(congestion: str) -> None:
    result = timed(congestion, losing=(19, 20), size=20 * 1448, recovery="sack")
    assert result["counters"]["tcp_retransmits_rto"] == 2
    assert 0.4 < result["seconds"] < 0.5


@pytest.mark.rfc("8985", "7")
def test_a_lost_tail_is_repaired_by_a_probe() -> None:
    result = timed("cubic", losing=(19, 20), size=20 * 1448, recovery="rack")
    assert result["counters"]["tcp_retransmits_tlp"] == 1
    assert result["counters"]["tcp_retransmits_rack"] == 1
    assert result["counters"]["tcp_retransmits_rto"] == 0
    assert 0.2 < result["seconds"] < 0.35


@pytest.mark.rfc("8985", "7")
def test_a_lost_flight_is_found_by_a_probe_and_repaired_by_rack() -> None:
    result = timed("cubic", losing=(17, 18, 19, 20), size=20 * 1448, recovery="rack")
    assert result["counters"]["tcp_retransmits_tlp"] == 1
    assert result["counters"]["tcp_retransmits_rack"] == 3
    assert result["counters"]["tcp_retransmits_rto"] == 0
