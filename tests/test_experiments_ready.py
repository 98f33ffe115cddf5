"""The experiments of examples/experiments, reduced: what each of them found is still so."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pystack.experiments import Experiment, Point, from_file
from pystack.experiments.point import run_point

READY = Path(__file__).resolve().parent.parent / "examples" / "experiments"
Measures = Mapping[str, float]


def run(name: str, constants: Mapping[str, object] | None = None, **parameters: object) -> Measures:
    """Run a file's experiment at one of its points, with some of its constants changed."""
    places = {f"constants.{constant}": value for constant, value in (constants or {}).items()}
    experiment = from_file(READY / f"{name}.toml", {"seeds": 1, **places})
    (point,) = (point for point in experiment.points() if point.parameters == parameters)
    return measured(experiment, point)


def measured(experiment: Experiment, point: Point) -> Measures:
    """Run a point, and return what it measured."""
    outcome = run_point(experiment, point)
    assert outcome.error == ""
    return {name: float(value) for name, value in outcome.measures.items() if value is not None}


def test_what_many_would_ask_is_there() -> None:
    assert {path.name for path in READY.glob("*.toml")} >= {
        "access_lines.toml",
        "bufferbloat.toml",
        "http_over_loss.toml",
        "l4s.toml",
        "mathis.toml",
        "outage_httpx.toml",
        "quic_beside_tcp.toml",
        "retry_storms.toml",
        "rtt_unfairness.toml",
    }


@pytest.mark.parametrize("path", sorted(READY.glob("*.toml")), ids=lambda path: path.stem)
def test_each_says_what_it_asks_how_to_run_it_and_what_it_found(path: Path) -> None:
    if path.stem == "quic_beside_tcp":
        pytest.importorskip("aioquic", reason="the library of this experiment")
    head = path.read_text("utf-8").partition("title =")[0].splitlines()
    assert all(line.startswith("#") for line in head)
    assert f"#   pystack experiment run examples/experiments/{path.name}" in head
    assert any(line.startswith("#   pystack plot ") for line in head)
    assert any(line.startswith("# Found: ") for line in head)
    assert len(from_file(path)) <= 80


@pytest.mark.parametrize("line", ["dsl", "lte"])
def test_an_upload_by_cubic_fills_the_queue_of_an_access_line_and_one_by_bbr_does_not(
    line: str,
) -> None:
    cubic, bbr = (
        run("access_lines", {"seconds": 4}, control=control, line=line)
        for control in ("cubic", "bbr")
    )
    assert cubic["ping_median_s"] > 0.2
    assert bbr["ping_median_s"] < cubic["ping_median_s"] / 2
    assert bbr["ping_alone_s"] == cubic["ping_alone_s"]


def test_fair_queueing_spares_a_ping_and_a_long_fifo_does_not() -> None:
    found = {
        queue: run("bufferbloat", {"seconds": 6}, queue=queue, control="cubic")
        for queue in ("pfifo limit 1000", "codel", "fq_codel")
    }
    assert found["pfifo limit 1000"]["ping_p95_s"] > 0.5
    assert found["codel"]["ping_p95_s"] < 0.08
    assert found["fq_codel"]["ping_p95_s"] < 0.045
    assert found["fq_codel"]["goodput_bps"] > 0.85 * found["pfifo limit 1000"]["goodput_bps"]


@pytest.mark.parametrize("loss", ["0%", "3%"])
def test_six_connections_load_a_page_faster_than_one(loss: str) -> None:
    one, six = (
        run("http_over_loss", loss=loss, connections=connections, control="cubic")
        for connections in (1, 6)
    )
    assert six["page_s"] < one["page_s"] / 3


def test_loss_costs_a_page_by_cubic_more_than_one_by_bbr() -> None:
    cubic, bbr = (
        run("http_over_loss", loss="3%", connections=1, control=control)
        for control in ("cubic", "bbr")
    )
    assert cubic["page_s"] > 6
    assert bbr["page_s"] < 5.5


def test_retries_without_a_budget_make_a_slow_server_a_dead_one() -> None:
    none, backoff, budget = (
        run("retry_storms", {"seconds": 18.0}, policy=policy, retries=retries, deadline=False)
        for policy, retries in [("backoff", 0), ("backoff", 1), ("budget", 1)]
    )
    assert none["answered"] > 0.5
    assert backoff["answered"] < 0.35  # it has not recovered by the end
    assert backoff["trouble_s"] > 8
    assert budget["trouble_s"] < 6


def test_only_a_queue_that_knows_both_kinds_gives_a_scalable_control_a_share_and_no_wait() -> None:
    codel, dual = (
        run("l4s", {"seconds": 3}, queue=queue)
        for queue in ("codel ecn ce_threshold 1ms", "dualpi2")
    )
    assert codel["scalable_bps"] < codel["classic_bps"] / 10
    assert dual["scalable_bps"] > dual["classic_bps"] / 2
    assert dual["scalable_wait_s"] < 0.002 < 0.01 < dual["classic_wait_s"]


def test_a_short_time_out_with_retries_gets_over_an_outage_before_tcp_does() -> None:
    patient, brisk, hasty = (
        run("outage_httpx", timeout_s=timeout_s, retries=retries, outage_s=6.0)
        for timeout_s, retries in [(20.0, 0), (2.0, 3), (0.5, 0)]
    )
    assert hasty["failed"] == 13
    assert (patient["failed"], brisk["failed"]) == (0, 0)
    assert patient["trouble_after_s"] > 3  # its connections wait for TCP's next retransmission
    assert brisk["trouble_after_s"] < 0.5


def test_cubic_is_as_large_as_its_law_for_deterministic_loss() -> None:
    found = run("cubic_law", control="cubic", rtt_s=0.2, period=1000)
    assert found["cubic"] > 1.2 * found["reno"]
    assert 0.8 < found["of_law"] < 1.02  # the law knows no fast convergence


def test_reno_goes_by_mathis_and_bbr_does_not() -> None:
    reno, bbr = (
        run("mathis", {"duration": duration}, control=control, loss="1.00794%")
        for control, duration in (("newreno", "10s"), ("bbr", "5s"))
    )
    law_bps = 1448 * 8 / 0.060 * (1.5 / 0.01) ** 0.5
    assert reno["goodput_bps"] == pytest.approx(law_bps, rel=0.2)
    assert bbr["goodput_bps"] > 4 * law_bps


def test_the_nearer_flow_gets_more_by_reno_and_less_by_bbr() -> None:
    reno, bbr = (
        run(
            "rtt_unfairness",
            {"duration": "10s", "warmup": "3s"},
            control=control,
            access_delay="1ms 31ms",
        )
        for control in ("newreno", "bbr")
    )
    assert reno["goodput_1_bps"] > 1.5 * reno["goodput_2_bps"]
    assert bbr["goodput_1_bps"] < bbr["goodput_2_bps"]


def test_bbr_takes_more_than_cubic_only_where_the_queue_is_short() -> None:
    short, deep = (
        run("bbr_beside_cubic", {"duration": "12s", "warmup": "5s"}, limit=limit)
        for limit in ("0.5bdp", "16bdp")
    )
    assert short["goodput_1_bps"] > 1.5 * short["goodput_2_bps"]
    assert deep["goodput_1_bps"] < deep["goodput_2_bps"]


def test_quic_takes_longer_than_tcp_with_the_same_control_and_as_long_in_each_run() -> None:
    pytest.importorskip("aioquic", reason="the library of this experiment")
    found = {
        (protocol, loss): run("quic_beside_tcp", protocol=protocol, loss=loss, control="cubic")
        for protocol in ("quic", "tcp")
        for loss in ("0%", "3%")
    }
    took_s = {place: round(each["completion_time_s"], 3) for place, each in found.items()}
    # The seed settles what is lost, and aioquic has the world's clock and chance.
    assert took_s == {
        ("quic", "0%"): 0.605,
        ("quic", "3%"): 1.705,
        ("tcp", "0%"): 0.585,
        ("tcp", "3%"): 1.503,
    }
