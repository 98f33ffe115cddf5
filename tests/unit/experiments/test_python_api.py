"""The Python API of experiments, from the function to the frame."""

import sys
from types import ModuleType
from typing import Any

import pytest
import trio

import pystack
from pystack import ConfigError, experiments
from pystack.experiments import Experiment, Results, Run, log_span, sample, span, zipped
from pystack.experiments.point import run_point


async def upload(control: str, rate: str, limit: int, loss: str, size: int, run: Run) -> float:
    async with pystack.Network() as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, rate=rate, limit=limit, delay="5ms", a_to_b={"loss": loss})
        await pystack.serve(server, "discard")
        async with await client.open_tcp_stream("server", 9, congestion=control) as stream:
            await stream.send_all(bytes(size))
            await stream.send_eof()
            await stream.receive_some()
            run.series("window", "bytes").add(trio.current_time(), stream.info().cwnd_bytes)
        return trio.current_time()


def sweep() -> Experiment:
    return Experiment(
        upload,
        [
            {"control": ["cubic", "bbr"]},
            zipped(rate=["5mbit", "20mbit"], limit=span(20, 80, steps=2)),
            sample(2, seed=4, loss=log_span("0.1%", "2%")),
        ],
        constants={"size": 20_000},
        seeds=2,
        measure=["retransmits"],
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return experiments.run(sweep(), to=tmp_path_factory.mktemp("sweep") / "out", processes=1)


def test_a_sweep_in_python_comes_to_a_frame(results: Results) -> None:
    frame = results.frame()
    assert len(frame) == len(sweep()) == 2 * 2 * 2 * 2
    assert list(frame["ended"].unique()) == ["ok"]
    assert list(frame["rate"][:5]) == ["5mbit"] * 4 + ["20mbit"]
    medians = frame.groupby("rate")["value"].median()
    assert medians["20mbit"] < medians["5mbit"]
    windows = results.series("window", where={"control": "bbr"})
    assert set(windows["number"]) == set(range(8, 16))


def test_it_comes_to_the_same_here_and_in_a_process(results: Results) -> None:
    experiment = sweep()
    for row in results.rows[:3]:
        outcome = run_point(experiment, row.point)
        assert (outcome.ended, outcome.digest) == ("ok", row.digest)
        assert outcome.measures == row.measures


def test_a_function_of_a_cell_is_told_how_it_becomes_one_of_a_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: dict[str, Any] = {"__name__": "cell"}
    exec("def run() -> int:\n    return 1\n", names)  # as a kernel, or `python -i`, has it
    with pytest.raises(ConfigError, match=r"run is in no file \(cell\).* write it into a module$"):
        Experiment(names["run"])
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    with pytest.raises(ConfigError, match=r"begins with %%writefile NAME\.py\), and import it$"):
        Experiment(names["run"])
