"""A live connection's window, rate and control, set from outside."""

import math

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from transfer_rig import PATTERN, Transfer, transfer, until

import pystack
from pystack.core.errors import ConfigError
from pystack.plugins import AckSample, ControlDefaults, ControlLike, LossSample
from pystack.tcp.congestion.base import INITIAL_SSTHRESH_BYTES
from pystack.tcp.congestion.registry import BUILT_IN

MSS = 1448


@pytest.mark.parametrize("version", [4, 6])
def test_a_steered_window_holds_at_once_and_lets_go_to_the_control(version: int) -> None:
    async def main() -> None:
        async with transfer(version=version, limit=400) as rig:
            rig.send(4 << 20)
            await trio.sleep_until(0.5)
            own = rig.client.info().cwnd_bytes
            rig.client.steer(cwnd_bytes=20_000)
            await trio.sleep_until(1.0)
            assert rig.client.info().cwnd_bytes == 20_000
            assert 20_000 - MSS < rig.client.info().pipe_bytes <= 20_000
            got = len(rig.got)
            await trio.sleep_until(2.0)
            # each round trip of an empty queue so many whole segments
            mss = rig.client.info().snd_mss_bytes
            assert (len(rig.got) - got) / mss == pytest.approx(20_000 // mss / 0.0424, rel=0.05)
            rig.client.steer()
            await trio.sleep_until(2.05)
            assert rig.client.info().cwnd_bytes >= own

    pystack.run(main)


def test_a_larger_window_is_used_at_once_while_nothing_comes_in() -> None:
    async def main() -> None:
        async with transfer() as rig:
            rig.send(1 << 20)
            await trio.sleep(0.01)  # the first ACK takes 40 ms
            assert rig.client.info().pipe_bytes == 10 * MSS
            rig.client.steer(cwnd_bytes=20 * MSS)
            await trio.lowlevel.checkpoint()
            await trio.sleep(0.001)
            assert rig.client.info().pipe_bytes == 20 * MSS

    pystack.run(main)


def test_a_steered_rate_paces_and_lets_go() -> None:
    async def main() -> None:
        async with transfer(limit=400) as rig:
            rig.send(4 << 20)
            await trio.sleep_until(0.3)
            rig.client.steer(pacing_bps=2e6)
            await trio.sleep_until(1.0)
            assert rig.client.info().pacing_bps == 2e6
            got = len(rig.got)
            await trio.sleep_until(3.0)
            assert (len(rig.got) - got) * 8 / 2 == pytest.approx(2e6, rel=0.02)
            rig.client.steer()
            assert rig.client.info().pacing_bps is None

    pystack.run(main)


def test_a_steered_window_holds_in_recovery_and_after_a_time_out() -> None:
    async def main() -> None:
        async with transfer(limit=20) as rig:
            rig.send(2 << 20)
            await until(lambda: rig.client.info().loss_state == "recovery", 5)
            connection = rig.client._socket.connection
            assert connection.prr is not None
            rig.client.steer(cwnd_bytes=10 * MSS)
            assert connection.prr is None
            await trio.sleep(1)
            assert rig.client.info().loss_state == "open"
            rig.link.down()
            await trio.sleep(3)
            assert rig.client.info().loss_state == "loss"
            rig.link.up()
            await trio.sleep(4)
            assert rig.client.info().loss_state == "open"
            assert rig.client.info().cwnd_bytes == 10 * MSS
            rig.client.steer()
            await until(lambda: len(rig.got) == 2 << 20, 60)
            assert rig.got == PATTERN[: 2 << 20]

    pystack.run(main)


@pytest.mark.parametrize(
    "words",
    [
        {"cwnd_bytes": 0},
        {"cwnd_bytes": MSS - 1},
        {"cwnd_bytes": -5},
        {"cwnd_bytes": math.nan},
        {"cwnd_bytes": math.inf},
        {"cwnd_bytes": True},
        {"cwnd_bytes": "20"},
        {"cwnd_bytes": 1 << 40},
        {"pacing_bps": 0},
        {"pacing_bps": -1.0},
        {"pacing_bps": math.nan},
        {"pacing_bps": math.inf},
        {"pacing_bps": "1mbit"},
    ],
)
def test_what_can_be_no_window_or_rate_is_refused_and_changes_nothing(
    words: dict[str, object],
) -> None:
    async def main() -> None:
        async with transfer() as rig:
            rig.client.steer(cwnd_bytes=9 * MSS)
            with pytest.raises(ConfigError, match=next(iter(words)).partition("_")[0] + "|window"):
                rig.client.steer(**words)  # type: ignore[arg-type]
            assert rig.client.info().cwnd_bytes == 9 * MSS

    pystack.run(main)


def test_after_the_end_it_is_refused() -> None:
    async def main() -> None:
        async with transfer() as rig:
            rig.server.abort()
            await trio.sleep(0.1)
            with pytest.raises(trio.BrokenResourceError):
                rig.client.steer(cwnd_bytes=9 * MSS)
            with pytest.raises(trio.BrokenResourceError):
                rig.client.set_congestion("bbr")
            rig.client.close()
            with pytest.raises(trio.ClosedResourceError):
                rig.client.steer()
            with pytest.raises(trio.ClosedResourceError):
                rig.client.set_congestion("bbr")

    pystack.run(main)


@pytest.mark.parametrize("after", ["cubic", "newreno", "dctcp", "bbr"])
@pytest.mark.parametrize("before", ["cubic", "newreno", "dctcp", "bbr"])
def test_the_next_control_goes_on_with_the_window_of_the_last(before: str, after: str) -> None:
    async def main() -> None:
        async with transfer(congestion=before, limit=400) as rig:
            rig.send(1 << 20)
            await trio.sleep_until(0.25)
            last = rig.client.info()
            rig.client.set_congestion(after)
            now = rig.client.info()
            assert now.congestion == after
            assert now.cwnd_bytes == last.cwnd_bytes > 20 * MSS
            none_yet = after == "bbr" != before  # it finds its own, as in Linux
            assert now.ssthresh_bytes == (
                INITIAL_SSTHRESH_BYTES if none_yet else last.ssthresh_bytes
            )
            assert (now.pacing_bps is not None) is (after == "bbr")
            await until(lambda: len(rig.got) == 1 << 20, 20)
            assert rig.got == PATTERN[: 1 << 20]

    pystack.run(main)


@pytest.mark.parametrize("after", ["cubic", "newreno", "dctcp"])
def test_after_bbr_there_is_no_slow_start_into_a_full_pipe(after: str) -> None:
    """As beside Linux 6.18, whose BBR leaves the BDP as ssthresh: nothing is lost after that."""

    async def main() -> None:
        async with transfer(congestion="bbr", limit=60) as rig:
            rig.send(4 << 20)
            await trio.sleep_until(2.0)
            last = rig.client.info()
            bdp_bytes = 1e7 / 8 * 0.0424
            assert last.ssthresh_bytes == pytest.approx(bdp_bytes, rel=0.1)
            rig.client.set_congestion(after)
            await trio.sleep_until(2.6)
            info = rig.client.info()
            assert info.retransmits == last.retransmits
            # ten round trips or so, a segment each
            assert last.cwnd_bytes < info.cwnd_bytes < last.cwnd_bytes + 15 * MSS

    pystack.run(main)


def test_the_control_that_it_has_already_stays_with_all_it_knows() -> None:
    async def main() -> None:
        async with transfer(congestion="bbr", limit=400) as rig:
            rig.send(4 << 20)
            await trio.sleep_until(2.0)
            connection = rig.client._socket.connection
            control, last = connection.congestion, rig.client.info()
            rig.client.set_congestion("bbr")
            assert connection.congestion is control
            assert rig.client.info().pacing_bps == last.pacing_bps
            assert rig.client.info().ssthresh_bytes == last.ssthresh_bytes

    pystack.run(main)


def test_rates_are_measured_only_while_the_control_wants_them() -> None:
    async def main() -> None:
        async with transfer() as rig:
            rig.send(2 << 20)
            await trio.sleep(0.3)
            connection = rig.client._socket.connection
            assert connection.rates is None
            rig.client.set_congestion("bbr")
            await trio.sleep(0.3)
            rate_bps = rig.client.info().delivery_rate_bps
            assert rate_bps is not None
            assert rate_bps == pytest.approx(9.5e6, rel=0.1)
            rig.client.set_congestion("cubic")
            assert connection.rates is None
            assert rig.client.info().delivery_rate_bps is None

    pystack.run(main)


def test_in_the_middle_of_a_repair_prr_goes_on_or_gives_way() -> None:
    async def main(after: str) -> tuple[bool, bool]:
        async with transfer(limit=20) as rig:
            rig.send(1 << 20)
            await until(lambda: rig.client.info().loss_state == "recovery", 5)
            rig.client.set_congestion(after)
            has_prr = rig.client._socket.connection.prr is not None
            await until(lambda: len(rig.got) == 1 << 20, 30)
            return has_prr, rig.got == PATTERN[: 1 << 20]

    assert pystack.run(main, "newreno") == (True, True)
    assert pystack.run(main, "bbr") == (False, True)


def test_ecn_that_was_not_agreed_on_makes_newreno_of_dctcp_as_in_linux() -> None:
    async def main(*, ecn: bool) -> tuple[bool, int]:
        async with transfer(ecn=ecn, limit=20) as rig:
            rig.send(1 << 20)
            rig.client.set_congestion("dctcp")
            await trio.sleep(2)
            info = rig.client.info()
            assert info.losses >= 0
            return info.ecn, len(rig.got)

    assert pystack.run(lambda: main(ecn=False)) == (False, 1 << 20)
    assert pystack.run(lambda: main(ecn=True)) == (True, 1 << 20)


def test_what_is_no_control_is_refused_and_the_last_one_goes_on() -> None:
    async def main() -> None:
        async with transfer() as rig:
            control = rig.client._socket.connection.congestion
            for wrong in ("cubi", "fixed:0", 5, object):
                with pytest.raises(ConfigError):
                    rig.client.set_congestion(wrong)  # type: ignore[arg-type]
            assert rig.client._socket.connection.congestion is control
            assert rig.client._socket.connection.config.congestion == "cubic"

    pystack.run(main)


class Told(ControlDefaults):
    """Says what it was told first."""

    name = "told"
    opened: list[tuple[int | None, int | None]] = []  # noqa: RUF012

    def __init__(self, smss_bytes: int) -> None:
        self.cwnd_bytes = 10 * smss_bytes

    def on_established(self, opening: object) -> None:
        self.opened.append((opening.cwnd_bytes, opening.ssthresh_bytes))  # type: ignore[attr-defined]

    def on_ack(self, sample: AckSample) -> None: ...
    def on_loss(self, sample: LossSample) -> None: ...
    def on_rto(self, now: float, flight_size_bytes: int) -> None: ...


def test_a_control_of_ones_own_is_told_what_it_takes_over() -> None:
    async def main() -> None:
        async with transfer(congestion="newreno") as rig:
            Told.opened.clear()
            rig.send(1 << 18)
            await trio.sleep(0.2)
            info = rig.client.info()
            rig.client.set_congestion(Told)
            assert Told.opened == [(info.cwnd_bytes, info.ssthresh_bytes)]
            assert rig.client.info().congestion == "told"

    pystack.run(main)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([*BUILT_IN, "fixed:3", "steer", "pace", "both", "let go", Told]),
        st.integers(1, 200),  # milliseconds until then
    ),
    max_size=30,
)


def act(rig: Transfer, what: ControlLike) -> None:
    match what:
        case "steer":
            rig.client.steer(cwnd_bytes=MSS)
        case "pace":
            rig.client.steer(pacing_bps=300_000)
        case "both":
            rig.client.steer(cwnd_bytes=40 * MSS, pacing_bps=4e6)
        case "let go":
            rig.client.steer()
        case _:
            rig.client.set_congestion(what)


@given(steps=STEPS, loss=st.sampled_from(["0%", "2%", "15%"]), seed=st.integers(1, 1000))
@settings(max_examples=25, deadline=None)
def test_whatever_is_switched_under_loss_all_data_arrives(
    steps: list[tuple[ControlLike, int]], loss: str, seed: int
) -> None:
    size = 100_000

    async def main() -> None:
        async with transfer(loss=loss, limit=10, seed=seed) as rig:
            rig.client.watch(
                on_sample=lambda sample: seen.append((sample.cwnd_bytes, sample.in_flight_bytes))
            )
            rig.send(size, eof=True)
            for what, after_ms in steps:
                await trio.sleep(after_ms / 1000)
                if rig.ended.is_set():
                    break
                act(rig, what)
            if not rig.ended.is_set():
                rig.client.steer()
            with trio.fail_after(600):
                await rig.ended.wait()
            assert rig.got == PATTERN[:size]

    seen: list[tuple[int, int]] = []
    pystack.run(main)
    assert min(cwnd for cwnd, _ in seen) >= MSS
    assert min(pipe for _, pipe in seen) >= 0


def test_a_steered_window_has_room_for_a_segment_however_large_those_become() -> None:
    async def main() -> None:
        async with transfer() as rig:
            conn = rig.client._socket.connection
            conn.tcb.snd_mss = 536
            rig.client.steer(cwnd_bytes=536)
            conn.tcb.snd_mss = MSS  # as when the path is found to have room for more
            conn.congestion.on_segment_size(MSS)
            assert rig.client.info().cwnd_bytes == MSS
            rig.send(20_000, eof=True)
            await rig.ended.wait()
            assert rig.got == PATTERN[:20_000]

    pystack.run(main)
