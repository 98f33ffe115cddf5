"""The commands `pystack experiment run` and `show`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pystack.cli.experiment_show import show_command
from pystack.cli.output import interruptible
from pystack.core.called import typed
from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.suggest import counted
from pystack.core.texts import harmless
from pystack.experiments.file import from_file, setting
from pystack.experiments.measures import parse_measures
from pystack.experiments.model import ENDED
from pystack.experiments.results.journal import JOURNAL

if TYPE_CHECKING:
    from pystack.experiments.experiment import Experiment
    from pystack.experiments.parameters import Axis
    from pystack.experiments.results import Results

ASKED_FROM: Final = 100_000  # runs: so many are most often a slip
_SHOWN_POINTS: Final = 12
_SHOWN_VALUES: Final = 5
_SHOWN_FAILURES: Final = 10

experiment: Final = typer.Typer(
    name="experiment",
    help="Many runs of a lab or a function, and their results.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@experiment.command("run", short_help="Run an experiment.")
def run_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The experiment, in TOML.")],
    *,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where results go; default: NAME.results."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="How many runs at a time; default: one for each processor."
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Run on a cluster: its scheduler, like tcp://10.0.0.5:8786."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with what the folder has, and add what is new."),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Go on, and run again what failed.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PLACE=VALUE",
            help="Set a place of the file before: seeds=2, constants.duration=5s. Repeatable.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and run nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help=f"Do not ask, however many runs: from {ASKED_FROM:,}.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> int:
    """Run an experiment in all its points, and write what they come to into a folder.

    Ctrl-C keeps what is done, and --resume goes on there, also with more seeds and values than
    before. Exit status: 0 if all runs ended well, 1 if some did not, 130 after Ctrl-C.
    """
    if processes is not None and dask is not None:
        raise ConfigError("--processes and --dask: it runs on this machine or on a cluster")
    found = _experiment(file, set_ or ())
    folder = to or Path(f"{found.name}.results")
    if dry_run:
        left = [_left(found, folder, retry=retry)] if resume or retry else []
        print(*map(harmless, [*outline(found), *left]), sep="\n")
        return 0
    if found.size >= ASKED_FROM and not yes:
        _ask(found)
    return _run(
        found, folder, processes=processes, dask=dask, resume=resume, retry=retry, quiet=quiet
    )


experiment.command("show", short_help="Show what came out, as a table of medians.")(show_command)


def _experiment(file: Path, settings: Iterable[str]) -> Experiment:
    """Read it as it is set, and say what that costs it."""
    found = from_file(file, dict(setting(text) for text in settings))
    if found.compare is not None and found.compare.is_left_out:
        print(f"pystack: {harmless(found.compare.note)}", file=sys.stderr)
    return found


def _ask(found: Experiment) -> None:
    """Raise ConfigError unless so many runs are meant."""
    many = f"{found.name} has {found.size:,} runs"
    if not sys.stdin.isatty():
        raise ConfigError(f"{many}: say --yes if they are meant, or --dry-run to see which")
    if not typer.confirm(f"{many}. Run them all?", err=True):
        raise ConfigError(f"{many}, and nothing was run")


def _run(
    found: Experiment,
    folder: Path,
    *,
    processes: int | None,
    dask: str | None,
    resume: bool,
    retry: bool,
    quiet: bool,
) -> int:
    from pystack.cli.sweep_progress import shown
    from pystack.experiments.running import Stopped, run

    interruptible()
    try:
        with shown(quiet=quiet) as on_progress:
            results = run(
                found,
                to=folder,
                processes=processes,
                dask=dask,
                resume=resume,
                retry=retry,
                on_progress=on_progress,
            )
    except Stopped as stopped:
        print(f"pystack: {stopped}", file=sys.stderr)
        return stopped.status
    return _summarize(found, results)


def _summarize(found: Experiment, results: Results) -> int:
    """Say in short what it came to, and return the exit status."""
    rows = results.rows
    counts = Counter(row.ended for row in rows)
    ended = ", ".join(f"{counts[word]} {word}" for word in ENDED if counts[word])
    print(f"{counted(len(rows), 'run')}: {ended}; digest {results.digest[:12]}")
    failed = [row for row in rows if row.ended != "ok"]
    for row in failed[:_SHOWN_FAILURES]:
        print(harmless(f"  {row.ended}: {row.error}"))
    if len(failed) > _SHOWN_FAILURES:
        print(f"  and {len(failed) - _SHOWN_FAILURES} more")
    print(_what_next(results.path))
    return 1 if failed or len(rows) < found.size else 0


def _what_next(folder: Path) -> str:
    """Return the command that shows the results, or what that needs."""
    try:
        need("numpy", "pystack experiment show")
        need("pyarrow", "pystack experiment show")
    except ConfigError as error:
        return f"rows are in {folder / JOURNAL}; {error}"
    return typed(f"experiment show {folder}")


def outline(found: Experiment) -> list[str]:
    """Return what would run: what each parameter is, how many runs that makes, the first ones."""
    lines = [f"{found.name}: {found.title}" if found.title else found.name, f"  of {found.base}"]
    seeds = _listed(list(map(str, found.seeds[: _SHOWN_VALUES + 1])), len(found.seeds))
    rows = [(", ".join(axis.names), axis.count, _values(axis)) for axis in found.space.axes]
    rows.append(("seed", len(found.seeds), seeds))
    name_width = max(len(name) for name, _, _ in rows)
    count_width = max(len(f"{count:,}") for _, count, _ in rows)
    for name, count, values in rows:
        lines.append(f"  {name:{name_width}}  {count:>{count_width},}  {values}")
    product = " x ".join(f"{count:,}" for _, count, _ in rows)
    lines.append(
        f"{product} = {found.size:,} runs" if len(rows) > 1 else counted(found.size, "run")
    )
    if columns := [column.name for column in parse_measures(found.measure)]:
        lines.append(f"measured: {', '.join(columns)}")
    points = islice(found.points(), _SHOWN_POINTS)
    lines += [f"  {point.number}: {point}" for point in points]
    if found.size > _SHOWN_POINTS:
        lines.append(f"  and {found.size - _SHOWN_POINTS:,} more")
    return lines


def _left(found: Experiment, folder: Path, *, retry: bool) -> str:
    """Say what of it a folder has already. Raises ConfigError where it is of something else."""
    from pystack.experiments.running.kept import kept_in

    kept = kept_in(folder, found, resume=True, retry=retry)
    failed = f" ({len(kept.failed):,} of them failed)" if kept.failed else ""
    return f"{kept.count:,} kept in {folder}{failed}, {found.size - kept.count:,} to run"


def _values(axis: Axis) -> str:
    """Return the values of an axis in short; of several parameters, those of each."""
    if axis.is_drawn:
        return "drawn: a Latin hypercube"
    shown = list(islice(axis.rows, _SHOWN_VALUES + 1))
    return _listed([", ".join(map(str, row)) for row in shown], axis.count)


def _listed(texts: list[str], count: int) -> str:
    joint = "; " if any(", " in text for text in texts) else ", "
    if count <= len(texts):
        return joint.join(texts)
    return joint.join([*texts[:_SHOWN_VALUES], "..."])
