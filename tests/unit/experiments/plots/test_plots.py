"""Pictures: what is in them, by their lines, labels and captions; and that they stay the same."""

import itertools
import warnings
from array import array
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from contrast import contrast
from made_results import Measures, described, folder_of, sweep
from matplotlib.colors import to_hex

from pystack.core.errors import ConfigError, OutputError
from pystack.experiments import Results, plot
from pystack.experiments.model import Compare, Outcome, Point, Track, Value
from pystack.experiments.plots.look import COLOURS, MOST_LINES, style

RATES = {"cubic": 8e6, "bbr": 9e6}
TIMES = array("d", [0.5, 1.0, 1.5, 2.0])
FLOWS = ("a:1>b:2", "c:1>d:2")


def measured(point: Point, rng: Random) -> Measures:
    loss = float(point.parameters["loss"])
    rate = RATES[str(point.parameters["control"])] * (1 - loss) + 1e5 * point.seed
    return {
        "goodput_bps": rate,
        "rtt_p95_s": 0.05 if point.parameters["control"] == "cubic" else 0.02 + loss,
        "completion_time_s": 1000.0 ** (point.seed / 5),
    }


def tracks(point: Point, rng: Random) -> list[Track]:
    shares = ([4e6, 4e6, 2e6, 2e6], [4e6, 4e6, 6e6, 6e6])
    windows = [array("d", [1e4 * point.seed] * 4) for _ in FLOWS]
    return [
        *(
            Track("goodput", flow, "bps", TIMES, array("d", share))
            for flow, share in zip(FLOWS, shares, strict=True)
        ),
        *(
            Track("cwnd", flow, "bytes", TIMES, window)
            for flow, window in zip(FLOWS, windows, strict=True)
        ),
        Track("queue", "r1 > r2", "frames", TIMES, array("d", [0, 10, 20, 5])),
        Track("sequence_sent", FLOWS[0], "bytes", TIMES, array("d", [1e3, 2e3, 3e3, 4e3])),
        Track("sequence_acked", FLOWS[0], "bytes", TIMES, array("d", [0, 1e3, 2e3, 2e3])),
        Track("sequence_retransmitted", FLOWS[0], "bytes", TIMES[:1], array("d", [3e3])),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(
        tmp_path_factory.mktemp("plots") / "access.results",
        {"control": ["cubic", "bbr"], "loss": [0.0001, 0.001, 0.01], "rate": ["10mbit"]},
        measured,
        seeds=[1, 2, 3],
        tracks=tracks,
        failed=lambda point: "time_limit" if point.number == 8 else "ok",
        compare=Compare("goodput", "control", "cubic"),
        title="Two controls",
        name="access",
    )


def lines(picture: plot.Picture, axes: int = 0) -> dict[str, Any]:
    return {line.get_label(): line for line in picture.figure.axes[axes].get_lines()}


def legend(picture: plot.Picture) -> list[str]:
    return [text.get_text() for each in picture.figure.legends for text in each.get_texts()]


def test_a_cdf_steps_at_each_run(made: Path) -> None:
    picture = plot.cdf(made, "rtt_p95", by="control")
    found = lines(picture)
    assert list(found) == legend(picture) == ["cubic", "bbr"]
    (axes,) = picture.figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("RTT p95 (ms)", "part of the runs")
    assert found["bbr"].get_xdata()[-1] == pytest.approx(30)
    assert found["bbr"].get_ydata().tolist() == pytest.approx([n / 9 for n in range(10)])
    assert len(found["cubic"].get_ydata()) == 9  # 8 runs, and one has failed
    assert picture.caption.startswith(
        "Distribution of RTT p95 (ms), 8-9 runs each; 17 runs, seeds 1-3; over all loss; "
        "rate 10mbit; 1 run failed and left out; access, pystack 0.1.0, digest "
    )
    assert picture.figure.get_suptitle() == "Two controls"


def test_what_is_far_apart_has_a_log_axis(made: Path) -> None:
    far = sweep(
        made.parent / "far",
        {"control": ["cubic", "bbr"], "loss": [0.1]},
        lambda point, rng: {"completion_time_s": 10.0**point.seed},
    )
    assert plot.cdf(far).figure.axes[0].get_xscale() == "log"
    assert plot.box(far).figure.axes[0].get_yscale() == "log"
    assert plot.cdf(made).figure.axes[0].get_xscale() == "linear"


def test_boxes_show_each_run_and_few_runs_make_none(made: Path) -> None:
    picture = plot.box(made, by=["loss", "control"])
    (axes,) = picture.figure.axes
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[:3] == ["0.0001\ncubic", "0.0001\nbbr", "0.001\ncubic"]
    assert axes.get_ylabel() == "goodput (Mbit/s)"
    assert len(axes.patches) == 0  # with 3 runs each there is no box
    points = axes.get_lines()[1]
    assert points.get_ydata() == pytest.approx([8.0992, 8.1992, 8.2992])
    assert len(plot.box(made, by="control").figure.axes[0].patches) == 2


@pytest.mark.parametrize(("names", "leans"), [("cubic bbr", False), ("cubic newreno", True)])
def test_names_of_boxes_stand_beside_each_other_or_lean(
    names: str, leans: bool, tmp_path: Path
) -> None:
    made = sweep(
        tmp_path / "boxes",
        {"control": names.split(), "limit": ["0.5bdp", "1bdp", "2bdp", "4bdp", "8bdp", "9bdp"]},
        lambda point, rng: {"wait_s": rng.random()},
    )
    figure = plot.box(made, by=["control", "limit"]).figure
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_rotation() for label in labels] == [35 if leans else 0] * 12
    if not leans:
        places = [label.get_window_extent() for label in labels]
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(places))


def test_a_long_title_ends_before_the_legend(made: Path) -> None:
    figure = plot.cdf(made, by="control", title="a word and another " * 9).figure
    (legend,) = figure.legends
    assert figure.get_suptitle().count("\n") >= 2
    assert figure._suptitle.get_window_extent().x1 < legend.get_window_extent().x0


def test_the_numbers_of_a_heat_map_can_be_read(made: Path, tmp_path: Path) -> None:
    made = sweep(
        tmp_path / "map",
        {"loss": [n / 100 for n in range(12)], "limit": [1, 2]},
        lambda point, rng: {"wait_s": float(point.number // 3)},
    )
    (axes, _) = plot.heatmap(made, "wait_s", x="loss", y="limit").figure.axes
    (image,) = axes.images
    for text in axes.texts:
        across, up = text.get_position()
        cell = to_hex(image.cmap(image.norm(image.get_array()[int(up), int(across)])))
        assert contrast(cell, to_hex(text.get_color())) >= 4.5  # WCAG 2.2, 1.4.3


def test_a_series_of_one_value_is_a_point(tmp_path: Path) -> None:
    made = sweep(
        tmp_path / "one",
        {"control": ["cubic", "bbr"]},
        lambda point, rng: {"x": 1},
        tracks=lambda point, rng: [Track("share", "", "", array("d", [6.0]), array("d", [0.5]))],
    )
    for words in ({}, {"number": 0}):
        for line in plot.series(made, "share", **words).figure.axes[0].get_lines():
            assert line.get_marker() not in {"", "None"}
            assert line.get_markevery() == 1  # a part of the way marks nothing where there is none


def test_a_heat_map_has_a_cell_for_each_pair_and_a_map_for_what_is_compared(made: Path) -> None:
    picture = plot.heatmap(made, "goodput", x="loss", y="control", by=[])
    axes, bar = picture.figure.axes
    grid = axes.images[0].get_array()
    assert grid.shape == (2, 3)
    assert grid[1].tolist() == pytest.approx([9.1991, 9.191, 9.11])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.0001", "0.001", "0.01"]
    assert bar.get_ylabel() == "goodput (Mbit/s)"
    assert "9.199" in [text.get_text() for text in axes.texts]


def test_a_long_title_has_two_lines_and_maps_say_the_unit_of_what_they_are_by(made: Path) -> None:
    folder = sweep(
        made.parent / "long",
        {"outage_s": [2.0, 6.0], "rate": [1, 2], "flows": [1, 2]},
        lambda point, rng: {"failed": 1},
        title=" ".join(["depth of the queue"] * 6),
    )
    figure = plot.heatmap(folder, x="rate", y="flows", by="outage_s").figure
    assert [axes.get_title() for axes in figure.axes[:2]] == ["outage (s): 2", "outage (s): 6"]
    first, second = figure.get_suptitle().splitlines()
    assert len(first) <= 80
    assert second


def test_a_heat_map_tells_what_is_missing(made: Path) -> None:
    folder = sweep(
        made.parent / "gap",
        {"loss": [0.0, 0.1], "delay": ["10ms", "50ms"], "control": ["cubic", "bbr"]},
        lambda point, rng: {"goodput_bps": 1e6},
        failed=lambda point: "died" if point.number < 5 else "ok",
        compare=Compare("goodput", "control", "cubic"),
    )
    picture = plot.heatmap(folder)
    assert [axes.get_title() for axes in picture.figure.axes[:2]] == [
        "control: cubic",
        "control: bbr",
    ]
    cubic, bbr = (axes.images[0].get_array() for axes in picture.figure.axes[:2])
    assert cubic.mask.tolist() == [[True, False], [False, False]]
    assert bbr.count() == 4
    assert "(hatched: no run has it)" in picture.caption


def test_pareto_marks_what_is_unbeaten(made: Path) -> None:
    picture = plot.pareto(made)
    (axes,) = picture.figure.axes
    assert axes.get_xlabel() == "RTT p95 (ms)   (less is better)"
    assert axes.get_ylabel() == "goodput (Mbit/s)   (more is better)"
    best = lines(picture)["unbeaten in both"]
    assert best.get_xdata() == pytest.approx([20.1])  # bbr at the least loss beats all
    assert legend(picture) == ["cubic", "bbr", "unbeaten in both"]
    assert "medians over seeds at each loss, bars are the range of the runs" in picture.caption
    assert len(axes.containers) == 6


def test_parameters_of_names_are_no_way_and_those_with_a_unit_say_it(tmp_path: Path) -> None:
    folder = sweep(
        tmp_path / "r",
        {"control": ["cubic", "bbr"], "access": ["dsl", "cable"], "timeout_s": [1, 2]},
        lambda point, rng: {"goodput_bps": 1e6 * point.seed, "rtt_p95_s": 0.1},
    )
    picture = plot.pareto(folder, by=["control", "timeout_s"])
    assert legend(picture) == ["cubic, 1", "cubic, 2", "bbr, 1", "bbr, 2"]
    said = [text.get_text() for text in picture.figure.axes[0].texts]
    assert said == ["dsl", "cable"] * 4
    assert plot.pareto(folder, by=["control", "access"]).figure.axes[0].texts[:] == []
    (axes, *_) = plot.heatmap(folder, x="timeout_s", y="control", by=[]).figure.axes
    assert axes.get_xlabel() == "timeout (s)"
    assert plot.curve(folder, by="control").figure.axes[0].get_xlabel() == "timeout (s)"


def test_a_curve_has_a_log_axis_where_steps_are_factors(made: Path) -> None:
    picture = plot.curve(made, "goodput")
    (axes,) = picture.figure.axes
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "loss")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.0001", "0.001", "0.01"]
    assert lines(picture)["cubic"].get_ydata() == pytest.approx([8.1992, 8.192, 8.07])
    assert len(axes.collections) == 2


def test_a_run_has_a_line_for_each_flow(made: Path) -> None:
    picture = plot.series(made, number=4)
    labels = [axes.get_ylabel() for axes in picture.figure.axes]
    assert labels == ["goodput (Mbit/s)", "cwnd (kB)", "queue (frames)"]
    assert picture.figure.axes[-1].get_xlabel() == "time (s)"
    found = lines(picture)
    assert list(found) == list(FLOWS)
    assert found[FLOWS[1]].get_ydata().tolist() == [4, 4, 6, 6]
    assert "1 run, seed 2; control cubic, loss 0.001, rate 10mbit" in picture.caption


def test_names_of_any_length_leave_room_for_the_title_and_the_picture(tmp_path: Path) -> None:
    folder = sweep(
        tmp_path / "r",
        {"control": ["a" * 140, "b" * 140]},
        lambda _point, rng: {"goodput_bps": 1e6 * rng.random()},
        title="A title of several words that is too long for one line beside a legend",
    )
    figure = plot.cdf(folder, "goodput").figure
    (legend,) = figure.legends
    assert [text.get_text().replace("\n", "") for text in legend.get_texts()] == [
        "a" * 140,
        "b" * 140,
    ]
    assert figure._suptitle.get_text().count("\n") <= 2
    assert figure.axes[0].get_position().width > 0.4


@pytest.mark.parametrize(("count", "more"), [(10, ""), (19, ""), (22, ", and 3 more")])
def test_a_caption_says_all_that_tells_which_run_it_is(
    tmp_path: Path, count: int, more: str
) -> None:
    constants: dict[str, Value] = {f"word{number}": 10**number for number in range(count)}
    constants |= {"rate": "20mbit", "file": "y" * 60, "outage_s": 6.0, "after_s": "6s"}
    folder = sweep(
        tmp_path / "r",
        {"control": ["bbr"], "limit": ["1bdp", "4bdp"]},
        lambda _point, _rng: {"goodput_bps": 1e6, "queue_delay_p95_s": 0.01},
        constants=dict(reversed(constants.items())),
    )
    picture = plot.pareto(folder, by="limit")
    caption = picture.caption
    assert f"control bbr, after 6s, file {'y' * 33}.., outage 6 s, rate 20mbit, word" in caption
    assert ("word9" in caption) == (not more)
    assert f"{more}; made, pystack" in caption
    drawn = picture.figure._supxlabel
    assert drawn.get_text().replace("\n", " ") == caption
    renderer = picture.figure.canvas.get_renderer()
    assert drawn.get_window_extent(renderer).x1 < picture.figure.bbox.width  # it is wrapped
    assert picture.figure.axes[0].get_position().height > 0.5  # and leaves the picture its room


def test_many_runs_have_their_median_over_time(made: Path) -> None:
    picture = plot.series(made, "cwnd", by="control")
    (axes,) = picture.figure.axes
    assert list(lines(picture)) == ["cubic", "bbr"]
    assert set(lines(picture)["bbr"].get_ydata().tolist()) == {20}
    assert len(axes.collections) == 2


def test_fairness_is_jains_of_what_flows_get_in_windows(made: Path) -> None:
    picture = plot.fairness(made)
    found = lines(picture)["bbr"]
    assert found.get_xdata().tolist() == [0.5, 1.5]
    assert found.get_ydata().tolist() == pytest.approx([1.0, 64 / 80])
    assert "in windows of 1s" in picture.caption
    one = plot.fairness(made, number=0, window="2s")
    (line,) = [line for line in one.figure.axes[0].get_lines() if len(line.get_xdata()) == 1]
    assert line.get_ydata().tolist() == pytest.approx([0.5 * 64 / (9 + 25) + 0], abs=0.2)


def test_sequence_numbers_are_of_one_flow(made: Path) -> None:
    picture = plot.sequence(made, number=3)
    assert legend(picture) == ["acknowledged", "sent", "retransmitted"]
    assert lines(picture)["sent"].get_ydata().tolist() == [1, 2, 3, 4]
    assert lines(picture)["retransmitted"].get_xdata().tolist() == [0.5]
    assert picture.figure.axes[0].get_ylabel() == "sequence number (kB)"
    assert picture.caption.startswith(f"Sequence numbers (kB) of {FLOWS[0]} over time (s), run 3;")


def test_a_part_of_the_time_can_be_shown(made: Path) -> None:
    found = lines(plot.series(made, "goodput", number=0, begin="1s", until=1.5))
    assert found[FLOWS[0]].get_xdata().tolist() == [1.0, 1.5]
    assert lines(plot.sequence(made, begin=1))["sent"].get_xdata().tolist() == [1.0, 1.5, 2.0]
    with pytest.raises(ConfigError, match="nothing was written down from 3s: the run ends at 2s"):
        plot.sequence(made, begin="3s")


KINDS: list[Callable[[Path], plot.Picture]] = [
    plot.box,
    plot.cdf,
    plot.curve,
    plot.fairness,
    plot.heatmap,
    plot.pareto,
    plot.sequence,
    plot.series,
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_the_same_bytes_and_says_units_and_seeds(
    made: Path, kind: Callable[[Path], plot.Picture]
) -> None:
    matplotlib.rcParams["lines.linewidth"] = 9  # the user's, which we do not take
    try:
        first = kind(made).data()
    finally:
        matplotlib.rcParams.update({"lines.linewidth": 1.5})
    again = kind(made)
    assert first == again.data()
    assert "seed" in again.caption
    texts = " ".join(ElementTree.fromstring(first).itertext())
    assert "pystack 0.1.0, digest" in " ".join(texts.split())
    assert b"<dc:date>" not in first


def test_nothing_of_matplotlibs_state_changes(made: Path) -> None:
    before = dict(matplotlib.rcParams)
    plot.cdf(made).data("png")
    assert dict(matplotlib.rcParams) == before


def test_a_picture_is_saved_by_its_name(made: Path, tmp_path: Path) -> None:
    picture = plot.cdf(Results(made))
    assert picture.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert picture.save(tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")
    assert picture.save(tmp_path / "a.svg").read_bytes() == picture.data()
    assert picture._repr_svg_().startswith("<?xml")
    with pytest.raises(ConfigError, match="is no name for a picture: it ends in"):
        picture.save(tmp_path / "a.gif")
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        picture.save(tmp_path / "none" / "a.svg")


def test_lines_are_told_apart_without_their_colour() -> None:
    looks = [style(number) for number in range(MOST_LINES)]
    assert len({look.marker for look in looks}) == MOST_LINES
    assert len({(look.color, str(look.linestyle)) for look in looks}) == MOST_LINES
    assert {look.color for look in looks} == set(COLOURS)


def test_names_of_strangers_are_shown_as_they_are(tmp_path: Path) -> None:
    folder = sweep(
        tmp_path / "r",
        {"word": ["$x_1$", "\u4f60\u597d", "a<b>&", "_hidden"]},
        lambda point, rng: {"goodput_bps": 1e6 * point.seed},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for picture in (plot.cdf(folder), plot.box(folder)):
            picture.data("png")
            text = picture.data().decode()
            assert all(
                word in text for word in ("$x_1$", "\u4f60\u597d", "a&lt;b&gt;&amp;", "_hidden")
            )


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda r: plot.cdf(r, "rtt"), r"no measurement 'rtt'; did you mean 'rtt_p95_s'\?"),
        (lambda r: plot.cdf(r, by="contrl"), r"no parameter 'contrl'; did you mean 'control'\?"),
        (lambda r: plot.cdf(r, where={"control": "reno"}), r"no run has control = 'reno'"),
        (
            lambda r: plot.cdf(r, by=["control", "loss", "seed"]),
            r"there are 17 lines, and 12 can be",
        ),
        (lambda r: plot.heatmap(r, x="loss", y="loss"), r"x and y are both loss"),
        (
            lambda r: plot.heatmap(r, x="loss", y="control", by="loss"),
            r"loss is an axis of the map",
        ),
        (lambda r: plot.heatmap(r, where={"loss": 0.01}), r"there are not two \(vary: control\)"),
        (lambda r: plot.curve(r, x="control"), r"the values of control are no numbers: see `box`"),
        (lambda r: plot.curve(r, x="loss", by="loss"), r"loss is the axis of the picture"),
        (lambda r: plot.pareto(r, x="goodputt"), r"no measurement 'goodputt'; did you mean"),
        (lambda r: plot.series(r, "queu"), r"no time series 'queu'; did you mean 'queue'\?"),
        (lambda r: plot.series(r, number=8), r"this run failed \(time_limit: run 8 \("),
        (lambda r: plot.series(r, number=99), r"there is no run 99: 18 runs up to 17"),
        (lambda r: plot.fairness(r, window=0), r"a window of 0 s holds nothing"),
        (lambda r: plot.sequence(r, subject="x:9"), r"this run has no flow 'x:9'"),
        (lambda r: plot.cdf(r.parent), r"is no folder of results"),
    ],
)
def test_what_cannot_be_drawn_is_named(
    made: Path, draw: Callable[[Path], object], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        draw(made)


def test_what_was_not_written_down_cannot_be_drawn(tmp_path: Path) -> None:
    folder = sweep(
        tmp_path / "r",
        {"n": list(range(50)), "m": [1, 2]},
        lambda point, rng: {"word": "x", "x": None, "y": point.number},
        seeds=[1],
    )
    with pytest.raises(ConfigError, match="has no time series of these runs: ask for them"):
        plot.series(folder)
    with pytest.raises(ConfigError, match="measured nothing that is a number"):
        plot.cdf(sweep(tmp_path / "none", {"n": [1, 2]}, lambda point, rng: {"word": "x"}))
    with pytest.raises(ConfigError, match="none of these runs has a value of x"):
        plot.cdf(folder, "x")
    with pytest.raises(ConfigError, match=r"no measurement looks like a delay: say which one is x"):
        plot.pareto(folder)
    with pytest.raises(ConfigError, match="n has 50 values, and a heat map has room for 40"):
        plot.heatmap(folder)
    with pytest.raises(ConfigError, match="by n there are 50 boxes, and 24 have room"):
        plot.box(folder, by="n")


def test_a_title_with_controls_makes_an_svg_that_is_xml(made: Path) -> None:
    data = plot.cdf(made, "rtt_p95", title="\x1b[31mred\x00").data()
    ElementTree.fromstring(data)
    assert b"\x1b" not in data


def test_values_that_matplotlib_has_no_place_for_are_told(tmp_path: Path) -> None:
    points = [Point(number, {"control": "a"}, number, number + 1) for number in range(2)]
    outcomes = [Outcome("ok", measures={"v_s": value}) for value in (1e308, -1e308)]
    folder = folder_of(tmp_path / "r", described(), zip(points, outcomes, strict=True))
    with (
        pytest.warns(RuntimeWarning, match="overflow"),
        pytest.raises(ConfigError, match="no place for values so far apart"),
    ):
        plot.cdf(folder, "v_s")
