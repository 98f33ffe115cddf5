"""What a run has found, as tables: ratios, figures, what was aimed for, and what has changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmark import aims
from benchmark.row import Figure, Row
from benchmark.subjects import BARE, COLUMNS, KERNEL, PYSTACK

_WIDTH: Final = 54
_SHORT: Final = dict(
    zip(
        COLUMNS,
        ("pystack", "no offl.", "bare", "no offl.", "kernel", "no offl."),
        strict=True,
    )
)
_NOTHING: Final = "-"


@dataclass(slots=True)
class Results:
    """Figures in their units, by their names and columns."""

    machine: dict[str, str]
    found: dict[str, dict[str, float]] = field(default_factory=dict)
    # What the measurements said besides, as it came
    details: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    aims: list[dict[str, object]] = field(default_factory=list)  # for whoever reads the file

    def add(self, row: Row, column: str, measured: dict[str, float]) -> None:
        """Take the figures of one measurement."""
        self.details.setdefault(row.name, {})[column] = measured
        for figure in row.figures:
            self.found.setdefault(figure.name, {})[column] = measured[figure.key] / figure.scale


def lines(rows: Sequence[Row], results: Results) -> Iterable[str]:
    """Return the tables."""
    figures = [f for row in rows for f in row.figures if f.name in results.found]
    yield "; ".join(f"{name} {value}" for name, value in results.machine.items())
    ratios = [line for figure in figures for line in _ratio_lines(figure, results)]
    if ratios:
        yield ""
        yield f"{'ratios, offload with offload':{_WIDTH}} {'of bare':>17} {'of kernel':>17}"
        yield f"{'':{_WIDTH}} {'offload':>8} {'without':>8} {'offload':>8} {'without':>8}"
        yield from ratios
    yield ""
    yield f"{'figures':{_WIDTH}}         " + "".join(f"{_SHORT[name]:>10}" for name in COLUMNS)
    for figure in figures:
        of_columns = results.found[figure.name]
        cells = "".join(f"{_number(of_columns.get(column)):>10}" for column in COLUMNS)
        yield f"{figure.title:{_WIDTH}} {figure.unit:>7} {cells}"
    yield from _busy_lines(figures, results)
    yield from (f"failed: {text}" for text in results.failed)


def aim_lines(rows: Sequence[Row], results: Results, before: Results | None) -> Iterable[str]:
    """Return what was aimed for and what came of it; `before`: beside an earlier run's figures."""
    judged = aims.judge(rows, results.found, before.found if before else None)
    yield from aims.lines(judged, _WIDTH, _number)
    yield from _parsing_lines(results)


def _parsing_lines(results: Results) -> Iterable[str]:
    """Return how much of an HTTP request is not the stack's: a fixed answer does without it."""
    whole, bare = (
        results.details.get(name, {}).get(PYSTACK[0], {}).get("per_busy_s")
        for name in ("http", "http-fixed")
    )
    if whole and bare:
        whole_us, parsing_us = 1e6 / whole, 1e6 / whole - 1e6 / bare
        share = f"{parsing_us:.0f} us of {whole_us:.0f} us, {parsing_us / whole_us:.0%}"
        yield f"of an HTTP request, h11 and the service on top of it are {share}"


def _busy_lines(figures: Sequence[Figure], results: Results) -> Iterable[str]:
    """Return what a server would do if it had a processor all to itself, and how far it had one.

    On a machine that others use too, these say more than the figures themselves.
    """
    of_figures = [figure for figure in figures if _per_busy(figure, PYSTACK, results)]
    if not of_figures:
        return
    columns = (*PYSTACK, *BARE)
    yield ""
    head = "in a second of the server's processor"
    yield (
        f"{head:{_WIDTH}}         " + "".join(f"{_SHORT[name]:>10}" for name in columns) + "  busy"
    )
    for figure in of_figures:
        cells = "".join(f"{_number(_per_busy(figure, (c,), results)):>10}" for c in columns)
        shares = [results.details[figure.name].get(c, {}).get("busy", 0.0) for c in PYSTACK]
        busy = " ".join(f"{share:4.0%}" for share in shares)
        yield f"{figure.title:{_WIDTH}} {figure.unit:>7} {cells}  {busy}"


def _per_busy(figure: Figure, columns: Sequence[str], results: Results) -> float | None:
    """Return the figure of the first of these columns, per second of processor time."""
    for column in columns:
        found = results.details.get(figure.name, {}).get(column, {}).get("per_busy_s")
        if found:
            return found / figure.scale
    return None


def _ratio_lines(figure: Figure, results: Results) -> Iterable[str]:
    of_columns = results.found[figure.name]
    cells = []
    for others in (BARE, KERNEL):
        for mine, other in zip(PYSTACK, others, strict=True):
            if of_columns.get(other) and mine in of_columns:
                cells.append(f"{of_columns[mine] / of_columns[other]:.2f}")
            else:
                cells.append(_NOTHING)
    if set(cells) != {_NOTHING}:
        yield f"{figure.title:{_WIDTH}} " + " ".join(f"{cell:>8}" for cell in cells)


def changes(rows: Sequence[Row], results: Results, before: Results) -> Iterable[str]:
    """Return what pystack's figures were, and what they are now."""
    yield ""
    yield "; ".join(
        f"{name} {before.machine.get(name)} -> {value}"
        for name, value in results.machine.items()
        if before.machine.get(name) != value
    )
    head = f"{'since then':{_WIDTH}}         {'was':>10} {'is':>10}"
    yield f"{head}  change (kernel's), per processor time"
    for figure in (figure for row in rows for figure in row.figures):
        for column in PYSTACK:
            is_now = results.found.get(figure.name, {}).get(column)
            was = before.found.get(figure.name, {}).get(column)
            if is_now is None or not was:
                continue
            title = figure.title + (", no offload" if column != PYSTACK[0] else "")
            change = is_now / was
            better = change < 1 if figure.less_is_better else change > 1
            mark = "" if 0.95 < change < 1.05 else "better" if better else "WORSE"
            kernel = _kernel_change(figure.name, column, results, before)
            busy = [_per_busy(figure, (column,), r) for r in (results, before)]
            work = f"x {busy[0] / busy[1]:.2f}" if busy[0] and busy[1] else ""
            yield (
                f"{title:{_WIDTH}} {figure.unit:>7} {_number(was):>10} {_number(is_now):>10}"
                f"  x {change:.2f} {kernel:9} {work:6} {mark}".rstrip()
            )


def _kernel_change(name: str, column: str, results: Results, before: Results) -> str:
    """Return how the kernel's own figure has changed: that is the machine's mood."""
    kernel = KERNEL[PYSTACK.index(column)]
    is_now, was = (r.found.get(name, {}).get(kernel) for r in (results, before))
    return f"(x {is_now / was:.2f})" if is_now and was else ""


def _number(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
