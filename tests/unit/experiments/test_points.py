"""A point is run: what a function is given, what it may return, and how errors are told."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import trio

import pystack
from pystack.experiments import Experiment, Outcome, Run, SeriesSpec, lab, span
from pystack.experiments.bundle import Bundle
from pystack.experiments.point import digest_of, run_point

# What stands for an object whose address differs from run to run.
THING: Final = object()


def run_all(experiment: Experiment) -> list[Outcome]:
    return [run_point(experiment, point) for point in experiment.points()]


async def fetch(control: str, delay: str, size: int, seed: int, run: Run) -> Mapping[str, object]:
    got = run.series("got", "byte")
    async with pystack.Network() as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay=delay, loss="5%")
        listeners = await server.open_tcp_listeners(80)

        async def send(stream: trio.abc.SendStream) -> None:
            await stream.send_all(bytes(size))
            await stream.aclose()

        assert net.nursery is not None
        net.nursery.start_soon(trio.serve_listeners, send, listeners)
        stream = await client.open_tcp_stream("server", 80, congestion=control)
        got_bytes = 0
        while data := await stream.receive_some():
            got_bytes += len(data)
            got.add(trio.current_time(), got_bytes)
        return {
            "got_bytes": got_bytes,
            "took_s": trio.current_time(),
            "of": net.seed,
            "seed_of": seed,
        }


def sweep() -> Experiment:
    return Experiment(
        fetch,
        {"control": ["cubic", "bbr"], "delay": span("10ms", "30ms", steps=2)},
        constants={"size": 20_000},
        seeds=[3, 7],
    )


def test_each_point_has_its_parameters_and_each_repetition_its_seed() -> None:
    experiment = sweep()
    points = list(experiment.points())
    assert len(experiment) == experiment.size == len(points) == 8
    assert [experiment.point(number) for number in range(8)] == points
    assert [(point.repetition, point.seed) for point in points] == [(0, 3), (1, 7)] * 4
    assert str(points[3]) == "control = 'cubic', delay = '30ms', seed = 7"
    with pytest.raises(IndexError):
        experiment.point(8)


def test_a_network_without_a_seed_has_that_of_the_point() -> None:
    outcomes = run_all(sweep())
    assert [outcome.ended for outcome in outcomes] == ["ok"] * 8
    assert [outcome.measures["of"] for outcome in outcomes] == [3, 7] * 4
    assert [outcome.measures["seed_of"] for outcome in outcomes] == [3, 7] * 4
    assert {outcome.measures["got_bytes"] for outcome in outcomes} == {20_000}


def test_an_experiment_is_the_same_after_its_journey() -> None:
    here = sweep()
    elsewhere = Experiment.from_json(here.to_json())
    assert elsewhere.to_json() == here.to_json()
    assert elsewhere.identity == here.identity
    assert list(elsewhere.points()) == list(here.points())
    assert "test_points.py" in elsewhere.bundle.files


@pytest.mark.parametrize(
    ("words", "is_another"),
    [
        ({"title": "Of controls", "name": "others"}, False),
        ({"limits": pystack.experiments.Limits(time_s=5)}, False),
        ({"compare": pystack.experiments.Compare("got_bytes", "control", "bbr")}, False),
        ({"seeds": [3, 8]}, True),
        ({"constants": {"size": 20_001}}, True),
        ({"measure": ["goodput"]}, True),
        ({"after_s": "1s"}, True),
    ],
)
def test_an_identity_is_that_of_the_results(words: dict[str, object], is_another: bool) -> None:
    said: dict[str, object] = {"constants": {"size": 20_000}, "seeds": [3, 7], **words}
    parameters = {"control": ["cubic", "bbr"], "delay": span("10ms", "30ms", steps=2)}
    other = Experiment(fetch, parameters, **said)  # type: ignore[arg-type]
    assert (other.identity != sweep().identity) == is_another


def odd(what: str, run: Run) -> object:
    match what:
        case "raises":
            raise ValueError(f"{THING} is\nnot it")
        case "group":
            raise ExceptionGroup("two", [ExceptionGroup("one", [KeyError("k")])])
        case "exits":
            sys.exit(3)
        case "nan":
            return {"a": float("nan")}
        case "list":
            return {"a": [1]}
        case "number":
            return 7
        case "nothing":
            return None
        case "text":
            return {"control": "none", "is_it": True, "at_s": None}
        case "parameter":
            return {"what": 1}
        case "reserved":
            return {"digest": 1}
        case "nameless":
            return {3: 1}
        case "goodput":
            return {"goodput_bps": 1}
        case "memory":
            raise MemoryError
        case "awaited":
            return asyncio.sleep(1)
    raise AssertionError(what)


@pytest.mark.parametrize(
    ("what", "ended", "error"),
    [
        ("raises", "raised", "ValueError: <object object at 0x...> is not it, in test_points.py:"),
        ("group", "raised", "KeyError: 'k'"),
        ("exits", "raised", "SystemExit: 3, in test_points.py:"),
        ("nan", "wrong_result", "a: nan is not finite"),
        ("list", "wrong_result", "a can be a text, a number, true or false, not list ([1])"),
        ("parameter", "wrong_result", "'what' was measured, but is the name of a parameter"),
        ("reserved", "wrong_result", "'digest' was measured, but is the name of a column of all"),
        ("nameless", "wrong_result", "a measurement has the name 3, which is none"),
        ("awaited", "wrong_result", "returned something to be awaited: write it with async def"),
        ("memory", "memory_limit", "MemoryError"),
    ],
)
def test_what_is_no_measurement_is_told_with_its_point(what: str, ended: str, error: str) -> None:
    experiment = Experiment(odd, {"what": [what]})
    (outcome,) = run_all(experiment)
    assert outcome.ended == ended
    told = experiment.point(0).told(outcome.error)
    assert told.startswith(f"run 0 (what = '{what}', seed = 1): ")
    assert error in told
    assert "\n" not in outcome.error
    assert (outcome.measures, outcome.series, outcome.digest) == ({}, None, "")


@pytest.mark.parametrize(
    ("what", "measures"),
    [
        ("number", {"value": 7}),
        ("nothing", {}),
        ("text", {"control": "none", "is_it": True, "at_s": None}),
    ],
)
def test_a_function_returns_measurements(what: str, measures: dict[str, object]) -> None:
    (outcome,) = run_all(Experiment(odd, {"what": [what]}))
    assert (outcome.ended, outcome.measures) == ("ok", measures)
    assert outcome.digest == digest_of(measures, ())  # type: ignore[arg-type]


def of_numpy(kind: str) -> Mapping[str, object]:
    import numpy

    values = {"float": numpy.float64(0.5), "int": numpy.int32(7), "array": numpy.zeros(3)}
    return {"a": values[kind]}


def test_numbers_of_numpy_are_numbers() -> None:
    outcomes = run_all(Experiment(of_numpy, {"kind": ["float", "int", "array"]}))
    assert [(type(each.measures.get("a")), each.measures.get("a")) for each in outcomes[:2]] == [
        (float, 0.5),
        (int, 7),
    ]
    assert "a is an array, and no number" in outcomes[2].error


def interrupted(x: int) -> None:
    raise BaseExceptionGroup("of a nursery", [KeyboardInterrupt()])


def test_ctrl_c_is_no_result() -> None:
    experiment = Experiment(interrupted, {"x": [1]})
    with pytest.raises(KeyboardInterrupt):
        run_point(experiment, experiment.point(0))


class Case:
    @staticmethod
    def doubled(x: int, **others: object) -> int:
        return 2 * x


def test_functions_of_classes_and_with_any_words_are_found_again() -> None:
    experiment = Experiment(Case.doubled, {"x": [4], "y": ["any"]})
    assert [outcome.measures for outcome in run_all(experiment)] == [{"value": 8}]
    assert str(experiment.base) == "test_points.py:Case.doubled"


def plain(x: int, y: int = 0) -> int:
    return x + y


def by_position(x: int, /) -> int:
    return x


@pytest.mark.parametrize(
    ("base", "parameters", "sentence"),
    [
        (lambda x: x, {"x": [1]}, "is a lambda, so that another process cannot find it again"),
        (print, {"x": [1]}, "is no function of a module"),
        (plain, {"x": [1], "yy": [1]}, "test_points.py:plain takes no 'yy'; did you mean 'y'?"),
        (plain, {"y": [1]}, "needs 'x', which is neither a parameter nor a constant"),
        (by_position, {"x": [1]}, "takes no 'x'"),
        ("random:nothing", {}, "random has no 'nothing'"),
        ("no.where:plain", {}, "there is no module 'no.where'"),
        ("plain", {}, "'plain' is no function, like 'mine.py:function'"),
    ],
)
def test_what_cannot_be_called_is_refused(
    base: object, parameters: dict[str, object], sentence: str
) -> None:
    with pytest.raises(pystack.ConfigError) as caught:
        Experiment(base, parameters)  # type: ignore[arg-type]
    assert sentence in str(caught.value)


def test_what_is_inside_a_function_cannot_be_found_again() -> None:
    def inside(x: int) -> int:
        return x

    with pytest.raises(pystack.ConfigError, match="a function inside of another"):
        Experiment(inside, {"x": [1]})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"seeds": 0}, "there is no seed, so that there is nothing to run"),
        ({"seeds": [1, 1]}, "the seed 1 is there twice"),
        ({"seeds": ["1"]}, "a seed is a whole number of 64 bits, not '1'"),
        ({"seeds": True}, "seeds are how many, or a list of which, not True"),
        ({"constants": {"x": 2}}, "'x' is a parameter and a constant"),
        ({"measure": ["goodputt"]}, "there is no measure 'goodputt'; did you mean 'goodput'?"),
        ({"measure": ["rtt"], "link": ("a",)}, "a link is named by its"),
        ({"measure": ["rtt"], "series": SeriesSpec(("cwmd",))}, "there is no time series 'cwmd'"),
        ({"name": "a/b"}, "'a/b' cannot be a name"),
        ({"files": ["*.none"]}, "there is no file '*.none' in"),
        ({"files": ["../x"]}, "is outside of"),
        (
            {"compare": pystack.experiments.Compare("value", "x", 3)},
            "x is never 3, so that nothing can be compared with it",
        ),
        (
            {"compare": pystack.experiments.Compare("value", "z", 3)},
            "there is no parameter 'z' to compare between (there are: x)",
        ),
    ],
)
def test_wrong_words_are_refused(words: dict[str, object], sentence: str) -> None:
    with pytest.raises(pystack.ConfigError) as caught:
        Experiment(plain, {"x": [1, 2]}, **words)  # type: ignore[arg-type]
    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1}'])
def test_what_is_no_experiment_is_told(text: str) -> None:
    with pytest.raises(pystack.ConfigError, match=r"this .*experiment"):
        Experiment.from_json(text)


def test_a_bundle_writes_nowhere_else() -> None:
    said = json.loads(sweep().to_json())
    for name in ("../x.py", "/x.py", ""):
        said["files"] = {name: "x"}
        with pytest.raises(pystack.ConfigError, match="no file of a bundle can be called"):
            Experiment.from_json(json.dumps(said))


def test_a_bundle_has_a_limit() -> None:
    with pytest.raises(pystack.ConfigError, match="67,108,865 bytes, and 67,108,864 are the most"):
        Bundle({"x": bytes(64 << 20), "y": b"1"})


LAB: Final = """
[hosts.client]
congestion = "cubic"
programs = [{ run = "measuring:get", args = ["server"] }]
[hosts.server]
serve = ["echo"]
[routers.r1]
[[links]]
between = ["client", "r1"]
[[links]]
between = ["r1", "server"]
delay = "10ms"
[[timeline]]
at = "5s"
link = ["r1", "server"]
set = { loss = "30%" }
"""
MEASURING: Final = """
import trio
import words

async def get(host, peer, run):
    async with await host.open_tcp_stream(peer, 7) as stream:
        began_at = trio.current_time()
        await stream.send_all(words.WORD)
        await stream.receive_some()
        run.series("answers").add(trio.current_time(), 1)
        return {"answer_s": round(trio.current_time() - began_at, 6), "seed_is": run.seed}
"""
PLACES: Final = {"links.server-r1.delay": "{delay}ms", "hosts.client.congestion": "{control}"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.toml").write_text(LAB)
    (tmp_path / "measuring.py").write_text(MEASURING)
    (tmp_path / "words.py").write_text('WORD = b"hello"\n')
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("measuring", "words"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_places_of_a_lab_are_parameters(folder: Path) -> None:
    experiment = Experiment(
        lab(folder / "net.toml", PLACES), {"delay": [20, 40], "control": ["bbr"]}, seeds=[9]
    )
    assert sorted(experiment.bundle.files) == ["measuring.py", "net.toml", "words.py"]
    outcomes = run_all(experiment)
    assert [outcome.error for outcome in outcomes] == ["", ""]
    assert [outcome.measures for outcome in outcomes] == [
        {"answer_s": 0.04, "seed_is": 9},
        {"answer_s": 0.08, "seed_is": 9},
    ]
    assert all(outcome.series for outcome in outcomes)


def test_a_lab_is_found_again_where_it_is_unpacked(folder: Path, tmp_path: Path) -> None:
    experiment = Experiment(lab(folder / "net.toml", PLACES), {"delay": [20], "control": ["bbr"]})
    again = Experiment.from_json(experiment.to_json())
    (elsewhere := tmp_path / "elsewhere").mkdir()
    again.unpack(elsewhere)
    assert run_all(again) == run_all(experiment)


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        ({"links.r1-r3.rate": "{x}"}, "there is no 'r1-r3' in links of net.toml"),
        ({"hosts.cliennt.dns": "{x}"}, "no 'cliennt' in net.toml; did you mean 'client'?"),
        ({"host.client.dns": "{x}"}, "there is no 'host' in net.toml; did you mean 'hosts'?"),
        ({"links.r1-server.ratee": "{x}"}, "net.toml:10: there is no word 'ratee' in links #2"),
        ({"links.1.rate": "{y}"}, "'links.1.rate': there is no parameter or constant 'y'"),
        ({"links.3.rate": "{x}"}, "there is no '3' in links of net.toml"),
        ({"links.1.rate": "{x"}, "'{x' has a brace without its other"),
        ({"links.1.rate": "{x:5}"}, "in braces is the name of a parameter, and no more"),
        ({"links.1.rate": "{x}"}, "net.toml:8: rate = 'fast' is not possible"),
        ({"seed": "{x}"}, "the seed of a lab is the run's"),
        ({"a b": "{x}"}, "'a b' is no place in a file"),
        ({"links.2.delay.y": "{x}"}, "there is nothing further in net.toml"),
    ],
)
def test_a_place_that_there_is_not_is_named(
    folder: Path, places: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(pystack.ConfigError) as caught:
        Experiment(lab("net.toml", places), {"x": ["fast"]})  # type: ignore[arg-type]
    assert sentence in str(caught.value)


def test_networks_are_measured_that_open_in_a_run(folder: Path) -> None:
    words = {"measure": ["goodput", "rtt p50"], "series": SeriesSpec(("cwnd",), None)}
    of_function = Experiment(
        fetch,
        {"control": ["bbr"], "delay": ["10ms"]},
        constants={"size": 20_000},
        flows="server > client",
        **words,  # type: ignore[arg-type]
    )
    of_lab = Experiment(
        lab(folder / "net.toml", PLACES),
        {"control": ["bbr"], "delay": [20]},
        **words,  # type: ignore[arg-type]
    )
    for experiment, more in ((of_function, 4), (of_lab, 2)):
        (outcome,) = run_all(experiment)
        assert outcome.error == ""
        assert list(outcome.measures)[more:] == ["goodput_bps", "rtt_p50_s"]
        assert outcome.measures["rtt_p50_s"] == pytest.approx(0.02 * (1 + (more == 2)), rel=0.2)
        assert outcome.series is not None


def test_a_measure_that_the_function_returns_too_is_told() -> None:
    (outcome,) = run_all(
        Experiment(odd, {"what": ["goodput"]}, measure=["goodput"]),
    )
    assert "'goodput_bps' was measured twice" in outcome.error


MINE: Final = """
import words

def counted(x):
    return {"letters": x * len(words.WORD), "of": words.__file__.rpartition("/")[0]}
"""


def test_a_function_runs_with_its_modules_wherever_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine.py").write_text(MINE)
    monkeypatch.chdir(folder)
    here = Experiment("mine.py:counted", {"x": [1, 2]})
    assert sorted(here.bundle.files) == ["mine.py", "words.py"]
    there = Experiment.from_json(here.to_json())
    (elsewhere := folder / "elsewhere").mkdir()
    there.unpack(elsewhere)
    # as in another process
    monkeypatch.delitem(sys.modules, "words")
    found = [outcome.measures for outcome in run_all(there)]
    assert found == [{"letters": 5 * x, "of": str(elsewhere)} for x in (1, 2)]


def test_a_parameter_of_a_lab_that_changes_nothing_is_told(folder: Path) -> None:
    (folder / "measuring.py").write_text("async def get(host, peer): ...")
    with pytest.raises(pystack.ConfigError, match="the parameter 'x' changes nothing"):
        Experiment(lab(folder / "net.toml", {"links.1.rate": "1mbit"}), {"x": [1]})
