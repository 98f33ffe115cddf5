"""`pystack plot`: a picture from one line, and a sentence for each thing that is wrong."""

import logging
from pathlib import Path

import pytest
from made_results import sweep

from pystack.cli.main import make_app
from pystack.cli.plot import KINDS
from pystack.core.errors import ConfigError
from pystack.experiments import plot


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(
        tmp_path_factory.mktemp("plot") / "access.results",
        {"control": ["cubic", "bbr"], "loss": [0.0, 0.01]},
        lambda point, rng: {"goodput_bps": 1e6 * point.seed, "rtt_p95_s": 0.05},
    )


def draw(*words: str | Path) -> None:
    make_app("plot")(["plot", *map(str, words)], standalone_mode=False)


def test_a_picture_is_one_line(
    made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "rtt.svg"
    draw("cdf", made, "--of", "rtt_p95", "--by", "control", "-o", file, "--where", "loss=0.01")
    assert capsys.readouterr().out.startswith(f"{file}: Distribution of RTT p95 (ms), 5 runs each;")
    assert file.read_bytes() == plot.cdf(made, "rtt_p95", by="control", where={"loss": 0.01}).data()


def test_it_has_a_name_of_its_own_or_goes_to_standard_output(
    made: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    draw("pareto", made, "--title", "Both")
    assert (tmp_path / "pareto.svg").exists()
    capsysbinary.readouterr()
    draw("heatmap", made, "-x", "loss", "-y", "control", "-o", "-")
    assert capsysbinary.readouterr().out == plot.heatmap(made, x="loss", y="control").data()


def test_the_help_says_what_each_kind_is_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw("--help")
    lines = capsys.readouterr().out.splitlines()
    for kind, about in KINDS.items():
        assert f"  {kind:10}{about}" in lines


def test_matplotlib_tells_of_fonts_and_not_of_where_it_keeps_its_cache(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw("cdf", made, "-o", tmp_path / "cdf.svg")
    for name in ("matplotlib", "matplotlib.font_manager"):
        logging.getLogger(name).warning("said by %s", name)
    assert caplog.messages == ["said by matplotlib.font_manager"]


def test_each_kind_is_a_function() -> None:
    assert set(KINDS) == set(plot.__all__) - {"Picture"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["cdff"], r"there is no picture 'cdff'; did you mean 'cdf'\?"),
        (["cdf", "-x", "loss"], r"cdf has no -x: it has --of, --by, --where"),
        (["sequence", "--window", "1s"], r"sequence has no --window: it has --number, --flow"),
        (["cdf", "--where", "control"], r"--where 'control' is not NAME=VALUE"),
        (["cdf", "--of", "goodput,rtt_p95"], r"cdf is of one measurement: use --of with one name"),
        (["cdf", "-o", "x.gif"], r"x\.gif is no name for a picture"),
    ],
)
def test_wrong_words_are_named(made: Path, words: list[str], sentence: str) -> None:
    kind, *rest = words
    with pytest.raises(ConfigError, match=sentence):
        draw(kind, made, *rest)
