"""The experiments of examples/experiments, reduced: what each of them found is still so."""

import importlib.util
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pystack

READY = Path(__file__).resolve().parent.parent / "examples" / "experiments"
Measures = dict[str, float]


def function_of(file: str, name: str) -> Callable[..., Coroutine[Any, Any, Measures]]:
    """Return a function of a file of examples/experiments."""
    module_name = f"ready_{file}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, READY / f"{file}.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    found: Callable[..., Coroutine[Any, Any, Measures]] = getattr(sys.modules[module_name], name)
    return found


def run(file: str, name: str, **parameters: object) -> Measures:
    """Run it once."""
    seed = 1
    return pystack.run(partial(function_of(file, name), seed=seed, **parameters), seed=seed)


def test_each_is_a_file_with_its_modules_and_they_are_short() -> None:
    lengths = {path.name: path.read_text("utf-8").count("\n") for path in READY.iterdir()}
    assert {name for name in lengths if name.endswith(".toml")} >= {
        "access_lines.toml",
        "bufferbloat.toml",
        "http_over_loss.toml",
        "l4s.toml",
        "mathis.toml",
        "outage_httpx.toml",
        "retry_storms.toml",
        "rtt_unfairness.toml",
    }
    assert {name: lines for name, lines in lengths.items() if lines >= 60} == {}


@pytest.mark.parametrize("line", ["dsl", "lte"])
def test_an_upload_by_cubic_fills_the_queue_of_an_access_line_and_one_by_bbr_does_not(
    line: str,
) -> None:
    cubic, bbr = (
        run("access_lines", "call", control=control, line=line, seconds=4)
        for control in ("cubic", "bbr")
    )
    assert cubic["ping_median_s"] > 0.2
    assert bbr["ping_median_s"] < cubic["ping_median_s"] / 2
    assert bbr["ping_alone_s"] == cubic["ping_alone_s"]


def test_fair_queueing_spares_a_ping_and_a_long_fifo_does_not() -> None:
    found = {
        queue: run("bufferbloat", "share", queue=queue, control="cubic", uploads=2, seconds=8)
        for queue in ("pfifo limit 1000", "codel", "fq_codel")
    }
    assert found["pfifo limit 1000"]["ping_p95_s"] > 0.5
    assert found["codel"]["ping_p95_s"] < 0.08
    assert found["fq_codel"]["ping_p95_s"] < 0.045


@pytest.mark.parametrize("loss", [0.0, 0.03])
def test_six_connections_load_a_page_faster_than_one(loss: float) -> None:
    one, six = (
        run("http_over_loss", "load", loss=loss, connections=connections, control="cubic")
        for connections in (1, 6)
    )
    assert six["page_s"] < one["page_s"] / 3


def test_loss_costs_a_page_by_cubic_more_than_one_by_bbr() -> None:
    cubic, bbr = (
        run("http_over_loss", "load", loss=0.03, connections=1, control=control)
        for control in ("cubic", "bbr")
    )
    assert cubic["page_s"] > 6
    assert bbr["page_s"] < 5.5


def test_retries_without_a_budget_make_a_slow_server_a_dead_one() -> None:
    found = {
        (policy, retries, deadline): run(
            "retry_storms", "storm", policy=policy, retries=retries, deadline=deadline, seconds=18
        )
        for policy, retries, deadline in [
            ("backoff", 0, False),
            ("backoff", 1, False),
            ("budget", 1, False),
        ]
    }
    assert found["backoff", 0, False]["answered"] > 0.5
    assert found["backoff", 1, False]["answered"] < 0.35  # it has not recovered by the end
    assert found["backoff", 1, False]["trouble_s"] > 5
    assert found["budget", 1, False]["trouble_s"] < 5.9


def test_only_queues_that_know_both_kinds_give_a_scalable_control_a_share_and_no_wait() -> None:
    found = {
        queue: run(
            "l4s", "share", queue=queue, scalable="dctcp", classic="cubic", rate="40mbit", seconds=3
        )
        for queue in ("codel ecn ce_threshold 1ms", "dualpi2 any_ect")
    }
    codel, dual = found.values()
    assert codel["scalable_bps"] < codel["classic_bps"] / 10
    assert dual["scalable_bps"] > dual["classic_bps"] / 4
    assert dual["scalable_wait_s"] < 0.002 < 0.01 < dual["classic_wait_s"]


def test_a_short_time_out_with_retries_gets_over_an_outage_before_tcp_does() -> None:
    patient, brisk, hasty = (
        run("outage_httpx", "outage", timeout_s=timeout_s, retries=retries, outage_s=6.0)
        for timeout_s, retries in [(20.0, 0), (2.0, 3), (0.5, 0)]
    )
    assert hasty["failed"] == 13
    assert (patient["failed"], brisk["failed"]) == (0, 0)
    assert patient["trouble_after_s"] > 3  # its connections wait for TCP's next retransmission
    assert brisk["trouble_after_s"] < 0.5


def test_cubic_is_as_large_as_its_law_for_deterministic_loss() -> None:
    found = run("cubic_law", "law", control="cubic", rtt_s=0.3, period=1000, periods=8)
    assert found["cubic"] > 1.2 * found["reno"]
    assert found["of_law"] == pytest.approx(1, abs=0.08)
