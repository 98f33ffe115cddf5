"""The meter: what it measures, by arithmetic; and that nobody can tell that it was there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import pystack
from pystack.experiments.measures import MEASURES, SERIES
from pystack.experiments.measures.distribution import quantile
from pystack.experiments.measures.meter import Meter
from pystack.experiments.model import Track
from pystack.experiments.scenes import dumbbell, request_response
from pystack.observe.journal import Digest
from pystack.runtime.network import Network
from pystack.runtime.onlookers import onlookers

Main = Callable[[], Awaitable[object]]
Measures = Mapping[str, bool | int | float | str | None]
FRAME_S = 1514 * 8 / 4e6  # of a full frame at 4 Mbit/s


def measured(
    main: Main, words: Iterable[str], **asked: object
) -> tuple[Measures, dict[tuple[str, str], Track]]:
    meter = Meter(words, **asked)  # type: ignore[arg-type]
    with meter:
        pystack.run(main)
    measures, tracks = meter.result()
    return measures, {(track.series, track.subject): track for track in tracks}


def one_flow(**words: object) -> Main:
    usual = {"rate": "4mbit", "duration": "6s", "spread": 0}
    return partial(dumbbell, **(usual | words))  # type: ignore[arg-type]


async def transfer(
    ip: str = "4", *, size: int = 14280, delay: str = "20ms", rate: str = "100mbit"
) -> None:
    """Send so much from a to b, over a link."""
    async with pystack.Network(seed=1, ip=ip) as net:  # type: ignore[arg-type]
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay=delay, rate=rate)
        await a.ping("b")  # so that the stations are known
        (listener,) = await b.open_tcp_listeners(80)

        async def serve() -> None:
            async with await listener.accept() as stream:
                while await stream.receive_some(1 << 16):
                    pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            async with await a.open_tcp_stream("b", 80) as stream:
                await stream.send_all(bytes(size))
                await stream.send_eof()
                await stream.receive_some(1)


@pytest.mark.parametrize("ip", ["4", "6"])
def test_a_short_transfer_takes_three_halves_of_a_round_trip(ip: str) -> None:
    # The SYN goes, the SYN-ACK comes, and ten segments and the FIN go: 20 ms each, and their bits
    found, _ = measured(
        partial(transfer, ip),
        ["completion_time", "goodput", "goodput min max", "flows", "flows complete failed", "rtt"],
    )
    time_s = found["completion_time_mean_s"]
    assert isinstance(time_s, float)
    assert 0.060 < time_s < 0.063
    assert found["goodput_bps"] == pytest.approx(14280 * 8 / time_s)
    assert found["goodput_min_bps"] == found["goodput_max_bps"] == found["goodput_bps"]
    assert (found["flows_opened"], found["flows_complete"], found["flows_failed"]) == (1, 1, 0)
    assert found["rtt_p50_s"] == pytest.approx(0.04, abs=2e-3)


def test_queue_delay_is_bounded_by_the_limit_and_a_full_queue_fills_the_line() -> None:
    found, tracks = measured(
        one_flow(limit=20),
        ["queue_delay p50 max", "utilization", "goodput", "loss", "loss rate pfifo_full", "marks"],
        series=["queue", "queue_bytes"],
        after_s=2.0,
    )
    # The last that is let in waits for 19, and for what is left of the one that is being sent
    assert 19 * FRAME_S < found["queue_delay_max_s"] <= 20 * FRAME_S  # type: ignore[operator]
    assert 0 < found["queue_delay_p50_s"] < 20 * FRAME_S  # type: ignore[operator]
    assert found["utilization"] == pytest.approx(1.0, abs=0.01)
    assert found["goodput_bps"] == pytest.approx(4e6 * 1448 / 1514, rel=0.02)
    assert found["loss_frames"] == found["loss_pfifo_full_frames"]
    assert found["loss_frames"] > 0  # type: ignore[operator]
    frames = 4 * 4e6 / (1514 * 8)  # of 4 s, that were sent
    assert found["loss_rate"] == pytest.approx(found["loss_frames"] / frames, rel=0.1)  # type: ignore[operator]
    assert found["marks_frames"] == 0
    queue = tracks["queue", "r1>r2"]
    assert max(queue.values) <= 20
    assert tracks["queue_bytes", "r1>r2"].values[-1] == pytest.approx(queue.values[-1] * 1514)


def test_half_a_line_is_used_by_half_its_rate() -> None:
    found, _ = measured(
        one_flow(cross="2mbit", starts="2.9s", size="1b"),
        ["utilization", "queue_delay max", "goodput", "flows"],
        link=("r1", "r2"),
    )
    assert found["utilization"] == pytest.approx(0.5, abs=0.01)
    # One frame in service at most: that of the SYN and of a byte's segment
    assert found["queue_delay_max_s"] <= 1242 * 8 / 4e6  # type: ignore[operator]
    assert found["flows_opened"] == 1  # of TCP


def test_flows_of_udp_are_measured_where_they_are_asked_for() -> None:
    main = one_flow(cross="2mbit", duration="4s")
    found, tracks = measured(main, ["goodput", "flows"], flows="udp", series=["goodput"])
    assert found["goodput_bps"] == pytest.approx(2e6 * 1200 / 1242, rel=0.03)  # some are lost
    assert found["flows_opened"] == 1
    assert {name for name, _ in tracks} == {"goodput"}
    both, _ = measured(main, ["flows", "fairness"], flows="any")
    assert both["flows_opened"] == 2
    assert both["fairness"] == pytest.approx(1.0, abs=0.05)


def test_equal_flows_are_fair_and_a_chosen_flow_is_measured_alone() -> None:
    main = one_flow(flows=2, control="newreno", duration="16s", rate="1500kbit")
    found, tracks = measured(
        main, ["fairness", "goodput mean", "retransmits"], after_s=2.0, series=["fairness"]
    )
    assert found["fairness"] > 0.95  # type: ignore[operator]
    assert found["goodput_mean_bps"] == pytest.approx(0.75e6 * 1448 / 1514, rel=0.05)
    assert min(tracks["fairness", ""].values) >= 0.5
    assert max(tracks["fairness", ""].values) <= 1.0
    one, _ = measured(main, ["flows", "fairness"], flows="left1 > right*")
    assert (one["flows_opened"], one["fairness"]) == (1, None)
    none, _ = measured(main, ["flows", "goodput", "goodput min", "rtt"], flows="nobody")
    assert none == {
        "flows_opened": 0,
        "goodput_bps": None,
        "goodput_min_bps": None,
        "rtt_p50_s": None,
    }


def test_losses_are_sent_again_and_every_cause_is_told() -> None:
    found, _ = measured(
        one_flow(loss="2%", limit=1000, duration="10s"),
        ["loss", "loss loss pfifo_full", "retransmits", "retransmits rate", "timeouts"],
    )
    assert found["loss_frames"] == found["loss_loss_frames"]
    assert found["loss_pfifo_full_frames"] == 0
    # Every loss of a segment with text is mended once; a few are lost again, or not yet mended
    assert found["retransmits"] == pytest.approx(found["loss_frames"], rel=0.3)
    assert found["retransmits_rate"] == pytest.approx(0.02, abs=0.012)


def test_a_line_that_is_cut_runs_the_timer_out() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            a, b = net.host("a"), net.host("b")
            link = net.link(a, b, delay="10ms")
            (listener,) = await b.open_tcp_listeners(80)
            stream = await a.open_tcp_stream("b", 80)
            with trio.move_on_after(20):
                async with await listener.accept():
                    await stream.send_all(b"x")
                    await trio.sleep(1)
                    link.down()
                    await stream.send_all(b"y")
                    await trio.sleep_forever()

    found, _ = measured(main, ["timeouts", "flows complete failed", "completion_time"])
    assert found["timeouts"] == 1  # in a row without an answer
    assert found["flows_complete"] == found["flows_failed"] == 0
    assert found["completion_time_mean_s"] is None


def test_refused_and_reset_flows_have_failed() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="10ms")
            with pytest.raises(OSError, match="refused"):
                await a.open_tcp_stream("b", 80)
            await trio.sleep(1)

    found, _ = measured(main, ["flows", "flows failed", "goodput"])
    assert (found["flows_opened"], found["flows_failed"]) == (1, 1)
    assert found["goodput_bps"] == 0.0


def test_marks_are_counted_beside_losses() -> None:
    found, _ = measured(
        one_flow(qdisc="fq_codel", ecn=True, duration="5s"), ["marks", "marks rate", "loss"]
    )
    assert found["marks_frames"] > 0  # type: ignore[operator]
    assert 0 < found["marks_rate"] < 0.05  # type: ignore[operator]
    assert found["loss_frames"] == 0


def test_the_window_of_a_fixed_control_is_what_it_is() -> None:
    found, tracks = measured(
        one_flow(control="fixed:10"), ["cwnd p5 p50 max mean"], series=["cwnd", "in_flight"]
    )
    assert {found[f"cwnd_{word}_bytes"] for word in ("p5", "p50", "max", "mean")} == {14480}
    (cwnd,) = (track for (name, _), track in tracks.items() if name == "cwnd")
    assert set(cwnd.values) == {14480.0}
    assert cwnd.times_s[:3].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert max(tracks["in_flight", cwnd.subject].values) <= 14480


def test_series_by_ack_have_a_value_for_each() -> None:
    _, tracks = measured(
        one_flow(duration="2s"), [], series=["cwnd", "rtt", "delivered", "queue"], every_s=None
    )
    subjects = {subject for name, subject in tracks if name == "cwnd"}
    assert len(subjects) == 1
    (subject,) = subjects
    assert subject.startswith("left1:")
    assert subject.endswith(">right1:5001")
    rtt = tracks["rtt", subject]
    assert min(rtt.values) >= 0.04
    assert len(tracks["cwnd", subject].values) > 200
    delivered = tracks["delivered", subject].values.tolist()
    assert delivered == sorted(delivered)
    assert ("queue", "r1>r2") in tracks


def test_the_series_of_round_trips_by_ack_has_each_measurement_once() -> None:
    """What `rtt` is the statistics of: its quantiles may be made of the series too."""
    found, tracks = measured(
        one_flow(control="bbr", loss="1%"), ["rtt p50 p99 mean"], series=["rtt"], every_s=None
    )
    (track,) = tracks.values()
    values = sorted(track.values)
    assert len(values) > 500
    assert found["rtt_mean_s"] == pytest.approx(sum(values) / len(values))
    assert found["rtt_p50_s"] == pytest.approx(quantile(values, 0.5))
    assert found["rtt_p99_s"] == pytest.approx(quantile(values, 0.99))


def test_sequence_numbers_are_those_of_the_senders_own_link() -> None:
    _, tracks = measured(one_flow(duration="3s", loss="1%"), [], series=["sequence"])
    (subject,) = {subject for _, subject in tracks}
    sent, acked = (tracks[f"sequence_{what}", subject].values for what in ("sent", "acked"))
    assert sent.tolist() == sorted(set(sent))
    assert sent[0] == 1448
    assert acked.tolist() == sorted(set(acked))
    assert acked[-1] <= sent[-1]
    assert len(tracks["sequence_retransmitted", subject].values) > 5
    assert len(tracks["sequence_sacked", subject].values) > 5


def test_downloads_are_flows_of_the_server() -> None:
    found, tracks = measured(
        partial(request_response, requests=5, response="100kb"),
        ["flows", "goodput", "retransmits"],
        flows="server > *",
        series=["delivered"],
    )
    assert found["flows_opened"] == 1
    ((_, subject),) = tracks
    assert subject.startswith("server:5001>client1:")
    assert tracks["delivered", subject].values[-1] > 4 * 100 * 1024


def test_flows_of_unmodified_programs_are_found_and_of_hosts_that_begin_anew() -> None:
    async def serve() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes(10_000))
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "0.0.0.0", 80) as server:
            await server.serve_forever()

    async def fetch() -> int:
        reader, writer = await asyncio.open_connection("b", 80)
        got = await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        return len(got)

    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="10ms")
            for _ in range(2):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(b.run_asyncio, serve)
                    await trio.sleep(0.5)
                    assert await a.run_asyncio(fetch) == 10_000
                    nursery.cancel_scope.cancel()
                b.power_off()
                await trio.sleep(0.5)
                b.power_on()

    found, _ = measured(main, ["flows", "flows complete", "goodput"], flows="b > a")
    assert (found["flows_opened"], found["flows_complete"]) == (2, 2)


def test_a_run_that_waits_for_ever_ends_although_it_is_sampled() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="10ms")
            (listener,) = await b.open_tcp_listeners(80)
            async with await a.open_tcp_stream("b", 80) as stream, listener:
                await stream.receive_some(1)

    with pytest.raises(pystack.DeadlockError, match="there have been only measurements"):
        measured(main, ["goodput"], series=["cwnd"])


def test_networks_of_one_run_are_taken_together() -> None:
    async def main() -> None:
        for seed in (1, 2):
            await transfer(size=14280 * seed)

    found, _ = measured(main, ["flows", "goodput", "completion_time min max"])
    least, most = found["completion_time_min_s"], found["completion_time_max_s"]
    assert found["flows_opened"] == 2
    assert found["goodput_bps"] == pytest.approx(3 * 14280 * 8 / (least + most))  # type: ignore[operator]


def test_a_connection_counts_the_bytes_that_it_sends_again() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            a, b = net.host("a"), net.host("b")
            # Behind ARP, the ping, SYN and ACK: of ten segments the second and the fourth
            net.link(a, b, delay="10ms", a_to_b={"drop": "6,8"})
            (listener,) = await b.open_tcp_listeners(80)
            await a.ping("b")
            async with await a.open_tcp_stream("b", 80) as stream, await listener.accept() as other:
                await stream.send_all(bytes(14480))
                got = 0
                while got < 14480:
                    got += len(await other.receive_some(1 << 16))
                await trio.sleep(1)
                info = stream.info()
                assert info.retransmits == 2
                assert info.bytes_retransmitted == 2 * 1448
                assert info.bytes_sent == 14480 + 2 * 1448

    pystack.run(main)


def test_a_link_that_is_not_there_is_named() -> None:
    with pytest.raises(
        pystack.ConfigError, match="no link leads from r1 > r3; did you mean 'r1 > r2'"
    ):
        measured(one_flow(duration="1s"), ["utilization"], link=("r1", "r3"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"flows": ""}, "flows are named by their hosts"),
        ({"flows": "> b"}, "flows are named by their hosts"),
        ({"every_s": 0}, "every_s is 0: it must be more than 0"),
        ({"after_s": -1}, "after_s is -1: it must be 0 or more"),
        ({"link": "r1"}, "a link is named by its sender and receiver, not by 'r1'"),
    ],
)
def test_what_a_meter_cannot_do_is_refused(words: dict[str, object], sentence: str) -> None:
    with pytest.raises(pystack.ConfigError) as error:
        Meter([], **words)  # type: ignore[arg-type]
    assert sentence in str(error.value)


# nobody can tell


def seen(main: Main, meter: Meter | None) -> str:
    """Return a digest of all frames of a run."""
    digests: list[Digest] = []

    def look(net: Network) -> None:
        digests.append(net.digest())

    watch = (look,) if meter is None else (meter.opened, look)
    token = onlookers.set(watch)
    try:
        pystack.run(main)
    finally:
        onlookers.reset(token)
    return " ".join(digest.hexdigest() for digest in digests)


def bare(main: Main, meter: Meter | None) -> object:
    """Return what a run came to that nobody else looks at."""
    counted: list[object] = []

    def look(net: Network) -> None:
        net.resources.callback(
            lambda: counted.append(
                (
                    net.now(),
                    {name: dict(host.counters) for name, host in net.hosts.items()},
                    [dict(link.counters) for link in net.links],
                )
            )
        )

    token = onlookers.set((look,) if meter is None else (meter.opened, look))
    try:
        return pystack.run(main), counted
    finally:
        onlookers.reset(token)


@settings(max_examples=8, deadline=None)
@given(
    words=st.lists(st.sampled_from(sorted(MEASURES)), max_size=4),
    series=st.lists(st.sampled_from(sorted(SERIES)), max_size=3, unique=True),
    every_s=st.sampled_from([0.05, 0.1, 0.37]),
    after_s=st.sampled_from([0.0, 0.5]),
    control=st.sampled_from(["cubic", "bbr", "newreno"]),
    qdisc=st.sampled_from(["", "fq_codel", "dualpi2"]),
    loss=st.sampled_from([0, "2%"]),
    seed=st.integers(0, 2**32),
)
def test_frames_are_the_same_with_and_without_a_meter(
    words: list[str],
    series: list[str],
    every_s: float,
    after_s: float,
    control: str,
    qdisc: str,
    loss: str | int,
    seed: int,
) -> None:
    main = one_flow(
        flows=2,
        control=control,
        qdisc=qdisc,
        loss=loss,
        seed=seed,
        rate="2mbit",
        duration="1s",
        cross="200kbit",
        ecn=True,
    )

    def meter() -> Meter:
        return Meter(words, series=series, every_s=every_s, after_s=after_s, flows="any")

    assert seen(main, None) == seen(main, meter())
    assert bare(main, None) == bare(main, meter())


def test_a_meter_measures_the_same_twice() -> None:
    main = one_flow(flows=2, loss="1%", duration="2s")
    words = [f"{name} p50" if measure.over else name for name, measure in MEASURES.items()]
    assert measured(main, words, series=list(SERIES)) == measured(main, words, series=list(SERIES))
