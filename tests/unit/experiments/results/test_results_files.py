"""Journal, rows.parquet and files of series: what is written is read, whatever it is."""

import io
import math
import subprocess
import sys
from array import array
from pathlib import Path
from random import Random
from tempfile import NamedTemporaryFile
from typing import Final

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import described, folder_of, sweep

from pystack.core.errors import ConfigError
from pystack.experiments.model import Outcome, Point, Track, Value
from pystack.experiments.results.columns import array_of, bare, find, text_of, unit_of
from pystack.experiments.results.journal import Row, entries, line_of, read_rows
from pystack.experiments.results.reading import Results
from pystack.experiments.results.series import pack_series, read_series
from pystack.experiments.results.table import read_table, rows_in, table_of, write_rows
from pystack.experiments.values import RESERVED

TEXTS = st.text(max_size=8)
VALUES = st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
NAMES = st.from_regex(r"[a-zäµ][a-z_]{0,6}", fullmatch=True).filter(lambda n: n not in RESERVED)


@st.composite
def sweeps(draw: st.DrawFn) -> list[tuple[Point, Outcome]]:
    """Draw runs with the same parameters, each of one type, and any measurements."""
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    kinds = {
        name: draw(st.sampled_from([st.booleans(), st.integers(), st.floats(-1e9, 1e9), TEXTS]))
        for name in names
    }
    measured = draw(st.lists(NAMES.map(lambda n: f"m_{n}"), max_size=3, unique=True))
    made = []
    for number in range(draw(st.integers(1, 4))):
        parameters = {name: draw(kind) for name, kind in kinds.items()}
        point = Point(number, parameters, 0, draw(st.integers()))
        values = {name: draw(VALUES | st.none()) for name in measured if draw(st.booleans())}
        made.append((point, Outcome("ok", draw(TEXTS), values, None, "d" * 64)))
    return made


def same(found: object, wanted: Value | None) -> bool:
    """Tell whether a column has the value: as it was, as a float if it is measured, or as text."""
    if isinstance(wanted, str):
        return found == wanted.encode("utf-8", "backslashreplace").decode()
    if found == wanted:
        return True
    if isinstance(found, float) and not isinstance(wanted, str | None):
        return found == float(wanted)
    return found == (str(wanted).lower() if isinstance(wanted, bool) else repr(wanted))


@given(sweeps())
def test_a_journal_is_read_as_it_was_written(made: list[tuple[Point, Outcome]]) -> None:
    lines = "".join(line_of(point, outcome) + "\n" for point, outcome in made)
    assert lines.isascii()
    with NamedTemporaryFile("w+", suffix=".jsonl") as file:
        file.write(lines)
        file.flush()
        found = [entry for _, entry in entries(Path(file.name))]
    assert found == [(point.parameters, point.seed, outcome) for point, outcome in made]


@given(sweeps())
def test_a_table_has_all_that_was_measured(made: list[tuple[Point, Outcome]]) -> None:
    rows = [Row.of(*each) for each in made]
    description = described(rows[0].parameters)
    table = table_of(description, rows)
    for row, found in zip(rows, rows_in(description, table), strict=True):
        assert (found.number, found.ended, found.digest) == (row.number, row.ended, row.digest)
        assert same(found.seed, row.seed)
        assert all(same(found.parameters[name], value) for name, value in row.parameters.items())
        assert all(same(found.measures[name], value) for name, value in row.measures.items())


@given(sweeps(), st.randoms(use_true_random=False))
def test_the_same_runs_are_the_same_bytes_in_whatever_order(
    made: list[tuple[Point, Outcome]], rng: Random
) -> None:
    shuffled = list(made)
    rng.shuffle(shuffled)
    description = described(made[0][0].parameters)
    files = []
    for each in (made, shuffled):
        rows = sorted((Row.of(*one) for one in each), key=lambda row: row.number)
        sink = io.BytesIO()
        pyarrow.parquet.write_table(table_of(description, rows), sink)
        files.append(sink.getvalue())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("values", "exact", "kind"),
    [
        ([True, None], True, "bool"),
        ([1, 2, None], True, "int64"),
        ([1, 2**63], True, "uint64"),
        ([1, 2**70], True, "string"),
        ([1, 2**70], False, "double"),
        ([-1, 2**63], False, "double"),
        ([1, 0.5], True, "double"),
        ([2**60 + 1, 0.5], True, "string"),
        ([10**400, 1], False, "string"),
        ([50, "auto"], True, "string"),
        (["cubic"], True, "string"),
        ([None, None], False, "double"),
        ([], False, "double"),
        ([math.nan, math.inf, None], False, "double"),
    ],
)
def test_a_column_has_the_type_of_its_values(
    values: list[Value | None], exact: bool, kind: str
) -> None:
    column = array_of(values, exact=exact)
    assert str(column.type) == kind
    assert column.null_count == values.count(None)


def test_measurements_that_all_runs_lack_are_numbers(tmp_path: Path) -> None:
    description = described(["loss"], measures=["goodput_bps", "rtt_p50_s"])
    point = Point(0, {"loss": 0.5}, 0, 1)
    folder = folder_of(tmp_path / "r", description, [(point, Outcome("died", "it died"))])
    schema = read_table(folder / "rows.parquet")[1].schema
    assert [(field.name, str(field.type)) for field in schema] == [
        ("number", "int64"),
        ("loss", "double"),
        ("repetition", "int64"),
        ("seed", "int64"),
        ("ended", "string"),
        ("error", "string"),
        ("goodput_bps", "double"),
        ("rtt_p50_s", "double"),
        ("version", "string"),
        ("digest", "string"),
    ]
    assert schema.field("goodput_bps").metadata == {b"unit": b"bit/s"}


def test_a_measurement_with_the_name_of_another_column_is_kept(tmp_path: Path) -> None:
    point = Point(0, {"loss": 0.5}, 0, 1)
    outcome = Outcome("ok", "", {"seed": 7, "loss": 2, "results": 1})
    folder = folder_of(tmp_path / "r", described(["loss"]), [(point, outcome)])
    table = read_table(folder / "rows.parquet")[1].to_pylist()[0]
    assert (table["seed"], table["loss"]) == (1, 0.5)
    assert [table[f"measured_{name}"] for name in ("seed", "loss", "results")] == [7, 2, 1]


def test_rows_are_the_same_file_written_again(tmp_path: Path) -> None:
    ended = [
        (Point(n, {"control": c}, 0, 1), Outcome("ok", "", {"x": n / 3}))
        for n, c in enumerate(["cubic", "bbr", "prague"])
    ]
    folder = folder_of(tmp_path / "a", described(), ended)
    other = folder_of(tmp_path / "b", described(), reversed(ended))
    first = (folder / "rows.parquet").read_bytes()
    write_rows(folder)
    assert (folder / "rows.parquet").read_bytes() == first
    assert (other / "rows.parquet").read_bytes() == first
    assert sorted(path.name for path in folder.iterdir()) == [
        "experiment.json",
        "rows.jsonl",
        "rows.parquet",
        "series",
    ]


def test_a_cut_last_line_is_left_out_and_the_later_of_two_holds(tmp_path: Path) -> None:
    point = Point(0, {"control": "bbr"}, 0, 1)
    ended = [(point, Outcome("died", "it died")), (point, Outcome("ok"))]
    folder = folder_of(tmp_path / "r", described(), ended, whole=False)
    with (folder / "rows.jsonl").open("a") as file:
        file.write('{"parameters":{"co')
    assert [row.ended for row in read_rows(folder)] == ["ok"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "null",
        '{"seed":1}',
        "{" * 9,
        "\x00",
        '{"seed":"1","parameters":{}}',
        "[" * 9999,
    ],
)
def test_a_line_of_something_else_is_named(tmp_path: Path, line: str) -> None:
    good = line_of(Point(0, {}, 0, 1), Outcome("ok"))
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(
        ConfigError, match=r"rows\.jsonl: line 2 is damaged, or no run of this experiment"
    ):
        list(entries(path))


@given(
    st.lists(
        st.tuples(TEXTS, TEXTS, TEXTS, st.lists(st.floats(width=32, allow_nan=False), max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_series_are_read_as_they_were_written(
    drawn: list[tuple[str, str, str, list[float]]],
) -> None:
    tracks = [Track(*names, array("d", values), array("d", values)) for *names, values in drawn]
    packed = pack_series(tracks)
    assert packed is not None
    assert packed == pack_series(tracks)
    path = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp", "series-of-test.parquet")
    path.write_bytes(packed)
    try:
        found = read_series(path).to_pylist()
    finally:
        path.unlink()
    assert found == [
        {"series": name, "subject": subject, "unit": unit, "time_s": value, "value": value}
        for name, subject, unit, values in drawn
        for value in values
    ]


# Threads of pyarrow's pools let go of what they had after a call has returned; where that is a file
# of Python's, and Python ends at that moment, the process is aborted. So there are none.
_READS: Final = """
import os, sys
import pandas, pyarrow.compute, pyarrow.parquet
before = os.listdir("/proc/self/task")
from pystack.experiments.results import Results
from pystack.experiments.results.table import write_rows
results = Results(sys.argv[1])
write_rows(results.path)
(results.path / "rows.jsonl").unlink()
assert len(results.rows) == 15, results.rows
assert len(results.frame()) == 15
assert len(results.series()) == 60
assert os.listdir("/proc/self/task") == before, "reading has begun threads"
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
def test_results_are_read_and_written_by_one_thread(tmp_path: Path) -> None:
    def tracks(_point: Point, _rng: Random) -> list[Track]:
        return [Track("queue", name, "", array("d", [1, 2]), array("d", [3, 4])) for name in "ab"]

    folder = sweep(
        tmp_path, {"rate": (1, 2, 3)}, lambda point, _: {"a": point.seed, "b": 0.5}, tracks=tracks
    )
    subprocess.run([sys.executable, "-c", _READS, folder], check=True)


_WRITES: Final = """
import sys
from array import array
from pathlib import Path
from pystack.experiments.model import Track
from pystack.experiments.results.series import pack_series
from pystack.experiments.results.table import write_rows
write_rows(Path(sys.argv[1]))
assert pack_series([Track("queue", "a", "", array("d", [1]), array("d", [3]))])
assert "pyarrow" in sys.modules
assert "pandas" not in sys.modules, "each process of a sweep would load it"
"""


def test_results_are_written_without_pandas(tmp_path: Path) -> None:
    def measured(point: Point, _rng: Random) -> dict[str, Value | None]:
        return {"a": point.seed, "b": 0.5, "c": "x", "d": point.seed > 1, "e": None}

    folder = sweep(tmp_path, {"rate": (1, 2, 3), "control": ("cubic", "bbr")}, measured)
    subprocess.run([sys.executable, "-c", _WRITES, folder], check=True)


@given(
    st.one_of(
        st.lists(st.none() | kind, max_size=40)
        for kind in (st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), TEXTS)
    )
)
def test_a_column_is_what_pyarrow_makes_of_the_same(values: list[Value | None]) -> None:
    column = array_of(values, exact=True)
    column.validate(full=True)
    texts = pa.types.is_string(column.type)
    wanted = [v if v is None or not texts else text_of(v) for v in values]
    assert column.equals(pa.array(wanted, column.type)) or any(
        isinstance(value, float) and math.isnan(value) for value in values
    )
    assert column.null_count == values.count(None)


def test_no_series_make_no_file() -> None:
    assert pack_series([]) is None


def test_units_are_the_ends_of_names() -> None:
    assert [unit_of(name) for name in ("goodput_bps", "rtt_p95_s", "fairness")] == [
        "bit/s",
        "s",
        "",
    ]
    assert (bare("rtt_p95_s"), bare("retransmits")) == ("rtt_p95", "retransmits")
    assert find("rtt_p95", ["rtt_p95_s", "goodput_bps"], "measurement") == "rtt_p95_s"
    with pytest.raises(ConfigError, match=r"'queue' may be queue_bytes or queue_packets"):
        find("queue", ["queue_bytes", "queue_packets"], "measurement")
    with pytest.raises(ConfigError, match=r"no measurement 'rtt'; did you mean 'rtt_p95_s'\?"):
        find("rtt", ["rtt_p95_s"], "measurement")


@pytest.mark.parametrize("part", [0, 3, 100, -5])
def test_a_part_of_a_file_is_no_results(tmp_path: Path, part: int) -> None:
    point = Point(0, {"control": "bbr"}, 0, 1)
    folder = folder_of(tmp_path / "r", described(), [(point, Outcome("ok"))])
    (folder / "rows.jsonl").unlink()
    whole = (folder / "rows.parquet").read_bytes()
    (folder / "rows.parquet").write_bytes(whole[:part])
    with pytest.raises(ConfigError, match=r"rows\.parquet is no Parquet file, or a part of one"):
        Results(folder).frame()


def test_a_strangers_parquet_is_no_results(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"a": [1]}), tmp_path / "rows.parquet")
    with pytest.raises(ConfigError, match="not of pystack's results"):
        Results(tmp_path / "rows.parquet").frame()
    with pytest.raises(ConfigError, match="has no time series of a run"):
        read_series(tmp_path / "rows.parquet")
