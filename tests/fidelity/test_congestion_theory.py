"""Congestion controls in a whole network, held against what theory says of them.

`docs/tcp.md` has the figures; run as a script, this file prints them.
"""

from math import sqrt

import pytest
from flows import Flow, jain, run_flows

RTT_S = 0.1
LINE_BPS = 4e6  # of the bottleneck that two flows share
# Lines on which BBR was not tuned: bit/s, s one way, random loss, packets of queue
OTHER_LINES = (
    (20e6, 0.01, 0.01, 100),
    (20e6, 0.05, 0.01, 400),
    (100e6, 0.01, 0.01, 400),
    (10e6, 0.1, 0.02, 200),
    (50e6, 0.02, 0.005, 100),
)


def mathis_bps(flow: Flow, loss: float) -> float:
    """Return what Reno gets by the square-root law: 1.5 ** 0.5 segments a round trip, and p."""
    return flow.mss_bytes * 8 / RTT_S * sqrt(1.5 / loss)


def reno_over_mathis(loss: float, seconds: float, *, seed: int = 1) -> float:
    """Return NewReno's rate over random loss, as a part of what the law says."""
    flow = Flow("newreno")
    (rate_bps,) = run_flows(
        flow, seconds=seconds, settle_s=5, seed=seed, delay=RTT_S / 2, loss=loss
    )
    return rate_bps / mathis_bps(flow, loss)


@pytest.mark.parametrize(("loss", "seconds"), [(0.01, 200), (0.004, 150), (0.001, 120)])
def test_reno_follows_the_square_root_law(loss: float, seconds: float) -> None:
    assert reno_over_mathis(loss, seconds) == pytest.approx(1, abs=0.15)


def cubic_off_the_curve(lost: int) -> tuple[float, float]:
    """Return K, and how far from W_cubic the window was at most, as a part, after one loss."""
    flow = Flow("cubic")
    run_flows(flow, seconds=14, watch_s=0.1, delay=RTT_S / 2, drop=[lost])
    epoch_at, k, w_max = flow.control.epoch_start_at, flow.control.k, flow.control.w_max
    windows = [(at - epoch_at, cwnd) for at, cwnd in flow.cwnd_bytes if at > epoch_at + RTT_S]
    assert windows[-1][0] > 1.8 * k  # well into the convex region
    return k, max(
        abs(cwnd / (0.4 * (t - k) ** 3 * flow.mss_bytes + w_max) - 1) for t, cwnd in windows
    )


def test_cubics_window_follows_its_function_from_a_loss_on() -> None:
    k, error = cubic_off_the_curve(200)
    assert 4 < k < 8
    assert error < 0.03


def shares(congestion: str) -> list[float]:
    """Return the rates of two flows over 4 Mbit/s and 60 ms; the second begins a second later."""
    flows = [Flow(congestion), Flow(congestion, start_s=1.0)]
    return run_flows(*flows, seconds=120, settle_s=20, delay=0.03, rate=LINE_BPS, limit=30)


@pytest.mark.parametrize("congestion", ["newreno", "cubic", "bbr"])
def test_two_equal_flows_share_a_bottleneck(congestion: str) -> None:
    rates = shares(congestion)
    assert jain(rates) > 0.98
    assert rates == pytest.approx([sum(rates) / 2] * 2, rel=0.1)
    assert sum(rates) > 0.9 * LINE_BPS


def test_dctcp_fills_the_line_with_a_queue_of_milliseconds_and_loses_nothing() -> None:
    flow = Flow("dctcp")
    (rate_bps,) = run_flows(
        flow,
        seconds=12,
        settle_s=2,
        delay=0.005,
        rate="20mbit",
        qdisc="codel ecn ce_threshold 3ms target 500ms",
        server_congestion="dctcp",
    )
    info = flow.info()
    assert rate_bps > 0.93 * 20e6 * 1448 / 1514
    assert info.retransmits == 0
    assert info.srtt_s is not None
    assert info.srtt_s < 0.010 + 0.008
    assert 0 < flow.control.alpha < 0.4


def over_random_loss(congestion: str, *, loss: float = 0.01, seconds: float = 10) -> float:
    """Return what a flow gets of 50 Mbit/s and 40 ms, in bits a second, after two seconds."""
    line: dict[str, object] = {"delay": 0.02, "rate": 50e6, "limit": 400, "loss": loss}
    (rate_bps,) = run_flows(Flow(congestion), seconds=seconds, settle_s=2, **line)
    return rate_bps


def test_bbr_fills_a_pipe_at_one_percent_of_random_loss_where_reno_collapses() -> None:
    assert over_random_loss("bbr") > 0.9 * 50e6
    assert over_random_loss("newreno") < 0.1 * 50e6


def test_bbr_fills_a_pipe_and_leaves_its_queue_short() -> None:
    flow = Flow("bbr")
    (rate_bps,) = run_flows(flow, seconds=8, settle_s=2, delay=0.02, rate=20e6, limit=400)
    assert rate_bps > 0.92 * 20e6
    srtt_s = flow.info().srtt_s
    assert srtt_s is not None
    assert srtt_s < 0.045  # CUBIC's is above 100 ms here


def share_of_line(
    congestion: str, rate_bps: float, delay: float, loss: float, limit: int, *, seconds: float
) -> float:
    """Return which part of a line a flow fills, after three seconds."""
    words: dict[str, object] = {"delay": delay, "rate": rate_bps, "loss": loss, "limit": limit}
    (found_bps,) = run_flows(Flow(congestion), seconds=seconds, settle_s=3, seed=3, **words)
    return found_bps / rate_bps


@pytest.mark.parametrize("line", OTHER_LINES[:2])
def test_bbr_fills_lines_that_it_was_not_tuned_on(line: tuple[float, float, float, int]) -> None:
    assert share_of_line("bbr", *line, seconds=10) > 0.8
    assert share_of_line("cubic", *line, seconds=10) < 0.5


def main() -> None:
    """Print the figures."""
    for line in OTHER_LINES:
        found = [
            f"{name} {share_of_line(name, *line, seconds=20):.0%}" for name in ("bbr", "cubic")
        ]
        print(f"of {line[0] / 1e6:g} Mbit/s, {line[1]:g} s one way, loss {line[2]:.1%}: {found}")
    for loss, seconds in ((0.01, 300), (0.004, 300), (0.001, 300)):
        found = [f"{reno_over_mathis(loss, seconds, seed=seed):.2f}" for seed in (1, 2, 3)]
        print(f"Reno at {loss:.1%} of loss, of the square-root law: {', '.join(found)}")
    for congestion in ("bbr", "cubic", "newreno"):
        found = [
            f"{over_random_loss(congestion, loss=loss, seconds=30) / 1e6:.1f}"
            for loss in (0.0, 0.001, 0.01)
        ]
        print(
            f"{congestion} over 50 Mbit/s, 40 ms, losses 0, 0.1 %, 1 %: {', '.join(found)} Mbit/s"
        )
    for lost in (200, 400):
        k, error = cubic_off_the_curve(lost)
        print(f"CUBIC, K = {k:.2f} s: off its curve by {error:.1%} at most")
    for congestion in ("newreno", "cubic", "bbr"):
        rates = shares(congestion)
        told = " and ".join(f"{rate / 1e6:.2f}" for rate in rates)
        print(f"{congestion}: {told} Mbit/s; Jain's index {jain(rates):.4f}")


if __name__ == "__main__":
    main()
