"""An experiment's file: what it says, and how each wrong word is told."""

import sys
from pathlib import Path
from typing import Final

import pytest

from pystack import ConfigError
from pystack.experiments import Compare, Limits, SeriesSpec, from_file
from pystack.experiments.file import setting
from pystack.experiments.model import FunctionBase, LabBase

MINE: Final = """
async def fetch(control, delay, rate, limit, loss, duration, seed, run): ...
def double(x, y=0): return 2 * x
"""
WHOLE: Final = """\
title = "Of controls"
run = "mine.py:fetch"
seeds = [3, 7]
measure = ["goodput", "rtt p50 p99"]
flows = "left*"
link = ["r1", "r2"]
after = "5s"
files = ["traces/*.csv"]
[constants]
duration = "30s"
[parameters]
control = ["cubic", "bbr"]
delay = { range = ["10ms", "100ms"], steps = 4 }
[[zip]]
rate = ["10mbit", "50mbit"]
limit = { range = [50, 51] }
[sample]
points = 3
seed = 2
loss = { log = ["0.01%", "10%"] }
[series]
every = "ack"
of = ["cwnd"]
[limits]
time = "5s"
memory = "1gb"
attempts = 3
[compare]
measure = "goodput"
between = "control"
baseline = "cubic"
"""
LINK: Final = "[[links]]\nbetween = ['a', 'tap0']"
LAB: Final = """
[hosts.a]
[hosts.b]
[[links]]
between = ["a", "b"]
rate = "1mbit"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "net.toml").write_text(LAB)
    (tmp_path / "tap.toml").write_text(
        "[hosts.a]\n\n[taps.tap0]\n[[links]]\nbetween = ['a', 'tap0']"
    )
    addresses = 'address = "10.9.0.1/24"\naddress6 = "fd09::1/64"'
    far = f"[hosts.a]\n{addresses}\n{LINK}".replace("'tap0'", "'udp://127.0.0.1:4789'")
    (tmp_path / "far.toml").write_text(far)
    for name in ("trio.py", "json.py"):
        (tmp_path / name).write_text("def f(): ...")
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "one.csv").write_bytes(b"\xff\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def test_a_file_says_all_of_an_experiment(folder: Path) -> None:
    found = from_file(write(folder, WHOLE))
    assert found.base == FunctionBase("mine", "fetch", "mine.py")
    assert (found.name, found.title) == ("sweep", "Of controls")
    assert found.parameters == ("control", "delay", "rate", "limit", "loss")
    assert found.size == 2 * 4 * 2 * 3 * 2
    assert [
        value
        for point in (found.point(0), found.point(95))
        for value in list(point.parameters.values())[:4]
    ] == [
        "cubic",
        "10ms",
        "10mbit",
        50,
        "bbr",
        "100ms",
        "50mbit",
        51,
    ]
    assert (found.seeds, found.measure) == ((3, 7), ("goodput", "rtt p50 p99"))
    assert (found.flows, found.link, found.after_s) == ("left*", ("r1", "r2"), 5.0)
    assert found.constants == {"duration": "30s"}
    assert found.series == SeriesSpec(("cwnd",), None)
    assert found.limits == Limits(5.0, 1 << 30, 3)
    assert found.compare == Compare("goodput", "control", "cubic")
    assert found.bundle.files["traces/one.csv"] == b"\xff\n"
    assert found.from_json(found.to_json()).to_json() == found.to_json()


def test_a_lab_stands_in_a_file(folder: Path) -> None:
    text = '[lab]\nfile = "net.toml"\nfor = "30s"\n[lab.set]\n"links.a-b.rate" = "{rate}"\n'
    found = from_file(write(folder, f'{text}[parameters]\nrate = ["1mbit", "2mbit"]'))
    assert found.base == LabBase("net.toml", 30.0, {"links.a-b.rate": "{rate}"})
    assert list(found.bundle.files) == ["net.toml"]


def test_a_module_is_named_in_three_ways(folder: Path) -> None:
    for run in ("mine.py:double", "mine:double"):
        found = from_file(write(folder, f'run = "{run}"\n[parameters]\nx = [1]'))
        assert str(found.base) == "mine.py:double"
    (folder / "apps").mkdir()  # as a part of pystack is called
    (folder / "apps" / "__init__.py").write_text(MINE)
    package = from_file(write(folder, 'run = "apps:double"\n[parameters]\nx = [1]'))
    assert list(package.bundle.files) == ["apps/__init__.py"]
    assert package.base == FunctionBase("apps", "double", "apps/__init__.py")
    installed = from_file(write(folder, 'run = "statistics:fmean"\n[constants]\ndata = 1'))
    assert installed.base == FunctionBase("statistics", "fmean")
    assert installed.bundle.files == {}


def test_places_are_set_before_it_is_read(folder: Path) -> None:
    path = write(folder, 'run = "mine.py:double"\nseeds = 5\n[parameters]\nx = [1, 2]')
    settings = dict(
        setting(text)
        for text in ("seeds=2", "parameters.x=[4]", "constants.y = 3", "title=all of it")
    )
    found = from_file(path, settings)
    assert [dict(point.parameters) for point in found.points()] == [{"x": 4}, {"x": 4}]
    assert (found.constants, found.title) == ({"y": 3}, "all of it")


ONE: Final = 'run = "mine.py:double"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "sweep.toml:1: there is nothing to run: it needs run = 'mine.py:function', or"),
        (f"{ONE}[lab]\nfile = 'net.toml'", "sweep.toml:1: there is both run and [lab]"),
        ("run = 'mine.py'", "sweep.toml:1: 'mine.py' is no function, like 'mine.py:function'"),
        ("run = 'mime.py:x'", "there is no file 'mime.py' in .; did you mean 'mine.py'?"),
        ("run = 'mine.py:dubble'", "sweep.toml:1: mine.py has no 'dubble'; did you mean 'double'?"),
        ("run = '../mine.py:x'", "sweep.toml:1: there is no file '../mine.py'"),
        (f"{ONE}sedes = 3", "sweep.toml:2: there is no word 'sedes'; did you mean 'seeds'?"),
        (f"{ONE}seeds = 0", "sweep.toml: there is no seed, so that there is nothing to run"),
        (f"{ONE}seeds = '3'", "sweep.toml:2: seeds must be a whole number, not a text ('3')"),
        (f"{ONE}measure = ['goodput',\n 'rt p50']", "sweep.toml:3: there is no measure 'rt'"),
        (f"{ONE}[parameters]\nx = []", "sweep.toml:3: x has no values, so that there is nothing"),
        (f"{ONE}[parameters]\nx = 3", "sweep.toml:3: x has one value, 3"),
        (f"{ONE}[parameters]\nx = [1]\nz = [1]", "sweep.toml:4: mine.py:double takes no 'z'"),
        (f"{ONE}[parameters]\ny = [1]", "sweep.toml: mine.py:double needs 'x', which is neither"),
        (f"{ONE}[parameters]\nx = [1]\n[constants]\nx = 2", "sweep.toml:3: 'x' is there already"),
        (f"{ONE}[parameters]\nx = [1]\n[[zip]]\nx = [2]", "sweep.toml:5: 'x' is there already"),
        (f"{ONE}[parameters]\nx = [1, 'a']", "sweep.toml:3: x has numbers and texts"),
        (f"{ONE}[parameters]\nx = {{ rnge = [1, 2] }}", "no word 'rnge' in parameters.x; did you"),
        (f"{ONE}[parameters]\nx = {{ steps = 2 }}", "x needs range = [FROM, TO], or log = [FROM"),
        (f"{ONE}[parameters]\nx = {{ range = [1] }}", "sweep.toml:3: a range has two ends, not 1"),
        (f"{ONE}[parameters]\nx = {{ range = [0.1, 2] }}", "sweep.toml:3: a range from 0.1 to 2"),
        (f"{ONE}[parameters]\nseed = [1]", "sweep.toml:3: no parameter can be called 'seed'"),
        (f"{ONE}[[zip]]\nx = [1]\ny = [1, 2]", "sweep.toml:2: parameters that are zipped have as"),
        (f"{ONE}[sample]\nx = {{ range = [1, 2] }}", "sweep.toml:2: the sample has no 'points'"),
        (
            f"{ONE}[sample]\npoints = 0\nx = [1]",
            "points of a sample is a whole number, 1 to",
        ),
        (f"{ONE}[constants]\nx = [1]", "sweep.toml:3: x can be a text, a number, true or false"),
        (f"{ONE}[series]\nof = ['cwmd']", "sweep.toml:3: there is no time series 'cwmd'"),
        (f"{ONE}[series]\nevery = '1s'", "sweep.toml:2: the series have no 'of'"),
        (f"{ONE}[limits]\ntime = 0", "sweep.toml:3: time_s is 0.0: it must be more than 0"),
        (f"{ONE}[limits]\nmemory = '1mb'", "sweep.toml:3: memory_bytes is 1048576: no process"),
        (f"{ONE}[limits]\nattempts = 0", "sweep.toml:3: attempts is 0"),
        (f"{ONE}link = ['a']", "sweep.toml:2: a link has two ends, not 1"),
        (f"{ONE}after = 'soon'", "sweep.toml:2: 'soon' is not a time"),
        (f"{ONE}files = ['x.csv']\n[constants]\nx = 1", "there is no file 'x.csv' in ."),
        (
            f"{ONE}[parameters]\nx = [1]\n[compare]\nmeasure = 'v'\nbetween = 'y'\nbaseline = 1",
            "sweep.toml:6: there is no parameter 'y' to compare between (there are: x)",
        ),
        (
            f"{ONE}[parameters]\nx = [1]\n[compare]\nmeasure = 'v'\nbetween = 'x'\nbaseline = 2",
            "sweep.toml:7: x is never 2, so that nothing can be compared with it",
        ),
        ("[lab]\nfile = 'no.toml'", "sweep.toml:1: cannot read no.toml: No such file"),
        ("[lab]\nfile = 'net.toml'\n[lab.set]\n'seed' = 3", "the seed of a lab is the run's"),
        (
            "[lab]\nfile = 'net.toml'\n[lab.set]\n'links.a-c.rate' = '{r}'\n[parameters]\nr = [1]",
            "'links.a-c.rate': there is no 'a-c' in links of net.toml; did you mean 'a-b'?",
        ),
        (
            "[lab]\nfile = 'net.toml'\n[lab.set]\n'links.a-b.rate' = '{s}'\n[parameters]\nr = [1]",
            "sweep.toml:4: 'links.a-b.rate': there is no parameter or constant 's'",
        ),
        (
            "[lab]\nfile = 'net.toml'\nfor = 1\n[parameters]\nr = [1]",
            "sweep.toml:5: the parameter 'r' changes nothing",
        ),
        ("[lab]\nfile = 'net.toml'", "sweep.toml:1: net.toml has no program that ends"),
        ("[lab]\nfile = 'tap.toml'\nfor = 1", "tap.toml:3: the tap tap0 lives in real time"),
        ("[lab]\nfile = 'far.toml'\nfor = 1", "far.toml:4: the link between a and udp://"),
        ("run = 'trio.py:f'", "trio.py has the name of a module that is installed"),
        ("run = 'json.py:f'", "json.py has the name of a module that is installed"),
        ("x = [", "sweep.toml:1: this is not TOML"),
    ],
)
def test_a_wrong_word_is_told_with_its_line(folder: Path, text: str, sentence: str) -> None:
    write(folder, text)
    with pytest.raises(ConfigError) as caught:
        from_file("sweep.toml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seeds", "'seeds' sets nothing: write PLACE=VALUE, such as seeds=2"),
        ("=2", "sets nothing"),
    ],
)
def test_a_setting_needs_place_and_value(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        setting(text)


def test_a_module_that_fails_is_told(folder: Path) -> None:
    (folder / "mine.py").write_text("import mine_helper\n")
    write(folder, ONE)
    with pytest.raises(ConfigError, match=r"sweep.toml:1: the module mine failed: No module named"):
        from_file("sweep.toml")
    (folder / "mine.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="the module mine failed: ZeroDivisionError: division"):
        from_file("sweep.toml")
