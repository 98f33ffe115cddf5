"""`stream.watch`: samples of a live connection, by ACK or by time, and nothing else changes."""

from collections.abc import Callable
from functools import partial

import pytest
import trio
from transfer_rig import Transfer, transfer

import pystack
from pystack.core.errors import ConfigError
from pystack.events import FrameSeen
from pystack.runtime.watching import Watch
from pystack.tcp import live
from pystack.tcp.live import Live


@pytest.mark.parametrize("version", [4, 6])
def test_samples_come_at_the_multiples_of_the_interval(version: int) -> None:
    async def main() -> list[pystack.TcpSample]:
        async with transfer(version=version, limit=400) as rig:
            await trio.sleep_until(1.0)
            watch = rig.client.watch("100ms", rig.link)
            rig.send(1 << 20)
            await trio.sleep_until(1.55)
            return watch.taken()

    samples = pystack.run(main)
    assert [sample.now for sample in samples] == [1.1, 1.2, 1.3, 1.4, 1.5]
    assert {sample.what for sample in samples} == {"interval"}
    last = samples[-1]
    assert last.queue_packets is not None
    assert last.queue_packets > 10
    assert last.queue_bytes is not None
    assert last.queue_bytes > 10_000
    # The line is full: what arrives is 10 Mbit/s less headers, and the queue is in the round trip.
    assert last.delivery_rate_bps is not None
    assert 9.2e6 < last.delivery_rate_bps < 9.8e6
    assert last.srtt_s is not None
    assert last.min_rtt_s is not None
    assert last.srtt_s > 1.3 * last.min_rtt_s > 0.04
    assert last.loss_state == "open"
    assert last.pacing_bps is None
    assert 0 < last.in_flight_bytes <= last.cwnd_bytes
    assert samples[0].delivered_bytes < last.delivered_bytes


def test_by_ack_each_measurement_and_each_loss_is_there() -> None:
    async def main() -> list[pystack.TcpSample]:
        async with transfer(limit=20) as rig:
            seen: list[pystack.TcpSample] = []
            rig.client.watch(on_sample=seen.append)
            rig.send(1 << 20, eof=True)
            await rig.ended.wait()
            return seen

    samples = pystack.run(main)
    whats = [sample.what for sample in samples]
    assert whats.count("loss") == whats.count("recovered") >= 1
    assert whats.count("ack") > 300
    assert all(sample.rtt_s is not None for sample in samples if sample.what == "ack")
    at_loss = samples[whats.index("loss")]
    assert (
        at_loss.cwnd_bytes == at_loss.ssthresh_bytes < samples[whats.index("loss") - 1].cwnd_bytes
    )
    assert at_loss.loss_state == "recovery"
    assert samples[-1].retransmits > 0
    assert [s.now for s in samples] == sorted(s.now for s in samples)


def test_the_accepted_end_is_watched_as_well_and_bbr_tells_its_rates() -> None:
    async def main() -> tuple[int, int, int]:
        async with transfer(congestion="bbr") as rig:
            sending, receiving = rig.client.watch(), rig.server.watch("50ms")
            rig.send(1 << 20)
            await trio.sleep(1)
            ours = sending.taken()
            assert ours[-1].delivery_rate_bps == rig.client.info().delivery_rate_bps
            assert ours[-1].pacing_bps == rig.client.info().pacing_bps
            theirs = receiving.taken()
            return len(ours), len(theirs), theirs[-1].delivered_bytes

    acks, ticks, delivered_bytes = pystack.run(main)
    assert acks > 100
    assert ticks == 20
    assert delivered_bytes == 0


def frames(watched: Callable[[Transfer], object]) -> list[tuple[float, str, bytes]]:
    seen: list[tuple[float, str, bytes]] = []

    class Note:
        def on_event(self, event: pystack.Event) -> None:
            if isinstance(event, FrameSeen):
                seen.append((event.at, event.host, bytes(event.frame.data)))

    async def main() -> None:
        async with transfer(loss="2%", limit=20, see=lambda net: net.observe(Note())) as rig:
            watched(rig)
            rig.send(1 << 19, eof=True)
            await rig.ended.wait()

    pystack.run(main)
    return seen


@pytest.mark.parametrize("every", [None, "3ms"])
def test_a_watch_changes_nothing_of_what_is_sent(every: str | None) -> None:
    alone = frames(lambda rig: None)
    assert len(alone) > 300
    assert frames(lambda rig: rig.client.watch(every, rig.link)) == alone


async def iterated(rig: Transfer, end: Callable[[Transfer], object]) -> int:
    seen = 0
    rig.send(1 << 18)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(_later, 0.2, end, rig))
            async for _sample in rig.client.watch("10ms"):
                seen += 1
    return seen


async def _later(after_s: float, do: Callable[[Transfer], object], rig: Transfer) -> None:
    await trio.sleep(after_s)
    do(rig)


@pytest.mark.parametrize(
    "end",
    [
        lambda rig: rig.client.close(),
        lambda rig: rig.client.abort(),
        lambda rig: rig.server.abort(),
    ],
    ids=["closed here", "reset here", "reset by the peer"],
)
def test_the_iteration_ends_with_the_connection(end: Callable[[Transfer], object]) -> None:
    async def main() -> int:
        async with transfer() as rig:
            return await iterated(rig, end)

    assert 19 <= pystack.run(main) <= 24


def test_a_connection_that_is_over_has_no_samples_and_a_closed_stream_is_refused() -> None:
    async def main() -> None:
        async with transfer() as rig:
            rig.server.abort()
            await trio.sleep(0.1)
            assert [sample async for sample in rig.client.watch("10ms")] == []
            assert [sample async for sample in rig.client.watch()] == []
            rig.client.close()
            with pytest.raises(trio.ClosedResourceError):
                rig.client.watch()

    pystack.run(main)


def test_what_there_is_no_room_for_is_counted_and_the_newest_are_kept() -> None:
    async def main() -> None:
        async with transfer() as rig:
            start = trio.current_time()
            watch = rig.client.watch("10ms", buffer=3)
            await trio.sleep(0.105)
            assert watch.left_out == 7
            kept = [round(sample.now - start, 9) for sample in watch.taken()]
            assert kept == [0.08, 0.09, 0.1]

    pystack.run(main)


def test_who_watches_no_more_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with transfer() as rig:
            connection = rig.client._socket.connection
            before = connection.congestion
            first, second = rig.client.watch(), rig.client.watch()
            assert isinstance(connection.congestion, Live)
            first.close()
            first.close()
            assert isinstance(connection.congestion, Live)
            second.close()
            assert connection.congestion is before

    pystack.run(main)


def test_a_callback_may_steer_and_close_what_it_watches() -> None:
    async def main() -> list[int]:
        async with transfer() as rig:
            windows: list[int] = []

            def act(sample: pystack.TcpSample) -> None:
                windows.append(sample.cwnd_bytes)
                if len(windows) < 20:
                    rig.client.steer(cwnd_bytes=4000 + 100 * len(windows))
                elif len(windows) == 20:
                    rig.client.abort()

            rig.client.watch(on_sample=act)
            rig.send(1 << 20)
            with trio.fail_after(10):
                await rig.ended.wait()
            return windows

    windows = pystack.run(main)
    assert len(windows) <= 22
    assert 4100 in windows


def test_watching_is_no_progress_for_a_program_that_waits_for_ever() -> None:
    async def main() -> None:
        async with transfer() as rig:
            rig.client.watch("10ms", on_sample=lambda sample: None)
            await rig.client.receive_some()

    with pytest.raises(pystack.DeadlockError, match="watching a connection"):
        pystack.run(main)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"every": "0ms"}, "a time above 0"),
        ({"every": "often"}, "often"),
        ({"buffer": 0}, "buffer is 0"),
        ({"link": "a"}, "is no link"),
    ],
)
def test_what_cannot_be_watched_is_said(words: dict[str, object], why: str) -> None:
    async def main() -> None:
        async with transfer() as rig:
            with pytest.raises(ConfigError, match=why):
                rig.client.watch(**words)  # type: ignore[arg-type]

    pystack.run(main)


def test_a_link_elsewhere_needs_its_direction() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b, r = net.host("a"), net.host("b"), net.router("r")
            net.link(a, r)
            far = net.link(r, b, rate="1mbit", delay="1ms", limit=100)
            (listener,) = await b.open_tcp_listeners(9)
            stream = await a.open_tcp_stream("b", 9)
            with pytest.raises(ConfigError, match="does not begin at a: say which direction"):
                stream.watch("10ms", far)
            watch = stream.watch("10ms", far.a_to_b)
            await stream.send_all(bytes(50_000))
            await trio.sleep(0.1)
            assert max(sample.queue_packets or 0 for sample in watch.taken()) > 5
            await (await listener.accept()).aclose()

    pystack.run(main)


def test_in_real_time_too() -> None:
    async def main() -> int:
        async with transfer() as rig:
            rig.send(100_000)
            seen = 0
            with trio.fail_after(10):
                async for _sample in rig.client.watch("1ms"):
                    seen += 1
                    if seen == 5:
                        return seen
        return 0

    assert trio.run(main) == 5


def test_who_closes_in_the_callback_hears_nothing_more() -> None:
    async def main() -> None:
        async with transfer(limit=400) as rig:
            told: list[int] = []
            watches: list[Watch] = []

            def take(number: int) -> None:
                told.append(number)
                for watch in watches:
                    watch.close()

            watches += [
                rig.client.watch(on_sample=lambda _: take(1)),
                rig.client.watch(on_sample=lambda _: take(2)),
            ]
            for watch in watches:  # two at the same instant
                watch._take(live.sample(rig.client._socket.connection, 0.0, "ack"))
                watch._take(live.sample(rig.client._socket.connection, 0.0, "ack"))
            rig.send(1 << 16, eof=True)
            await rig.ended.wait()
            # the other has its samples of before it was closed
            assert told == [1, 2, 2]

    pystack.run(main)


def test_one_function_that_watches_twice_is_let_go_one_by_one() -> None:
    async def main() -> None:
        async with transfer(limit=400) as rig:
            conn = rig.client._socket.connection
            told: list[str] = []

            def tell(_conn: object, _now: float, what: str, _rtt_s: float | None) -> None:
                told.append(what)

            ends = [live.watch(conn, tell), live.watch(conn, tell)]
            ends[0]()
            ends[0]()
            rig.send(1000, eof=True)
            await trio.sleep(1)
            assert told == ["ack", "ack"]  # of the text, and of the end
            ends[1]()
            assert type(conn.congestion).__name__ == "Cubic"

    pystack.run(main)


def test_watches_are_begun_and_closed_in_no_more_time_the_more_there_are() -> None:
    async def main() -> None:
        async with transfer(limit=400) as rig:
            stream = rig.client
            watches = [stream.watch() for _ in range(20_000)]  # minutes, if each looked at all
            for watch in reversed(watches):
                watch.close()
            assert not stream._watches
            assert type(stream._socket.connection.congestion).__name__ == "Cubic"

    pystack.run(main)
