"""The command: which rows for which columns, then the tables and a file."""

import argparse
import dataclasses
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmark import aims, machine, report, rows, service_rows, solo, spaces
from benchmark.row import Row
from benchmark.subjects import COLUMNS, Subjects
from pystack.cli.progress import Progress

SECONDS: Final = 3.0  # for each figure, warming up not counted
QUICK_SECONDS: Final = 0.4
QUICK_COLUMNS: Final = "1,3,5"  # with offload; the others take as long again


def parse(known: list[Row]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="pystack beside the kernel and bare Python loops."
    )
    parser.add_argument("--quick", action="store_true", help="in about a minute, columns 1,3,5")
    parser.add_argument("--only", metavar="ROW,...", help="these rows alone; --list names them")
    parser.add_argument("--columns", metavar="N,...", help="these alone; 1 is pystack with offload")
    parser.add_argument("--seconds", type=float, metavar="S", help="for each figure")
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("bench.json"))
    parser.add_argument("--compare", type=Path, metavar="FILE", help="what has changed since")
    parser.add_argument("--list", action="store_true", help="name the rows")
    options = parser.parse_args()
    names = [row.name for row in known]
    options.only = options.only.split(",") if options.only else names
    unknown = [name for name in options.only if name not in names]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(names)}")
    try:
        usual = QUICK_COLUMNS if options.quick else "1,2,3,4,5,6"
        numbers = [int(text) for text in (options.columns or usual).split(",")]
        options.columns = [COLUMNS[number - 1] for number in numbers if number > 0]
    except (ValueError, IndexError):
        parser.error(f"columns are 1 to {len(COLUMNS)}: {', '.join(COLUMNS)}")
    options.seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    return options


def measure(wanted: list[Row], options: argparse.Namespace) -> report.Results:
    """Measure every row, all its columns one after the other."""
    spaces.prepare()
    results = report.Results(machine.describe())
    figures = sum(column in options.columns for row in wanted for column in row.columns)
    done = 0
    with ExitStack() as until:
        all_subjects = Subjects(until)
        progress = until.enter_context(Progress("bench", figures))
        for row in wanted:
            if missing := row.missing():
                print(f"{row.name}: left out, for there is no {missing}", file=sys.stderr)
                continue
            for column in row.columns:
                if column not in options.columns:
                    continue
                progress.tell(done, f"{row.name}: {column}")
                done += 1
                try:
                    results.add(row, column, row.measure(all_subjects, column, options.seconds))
                except (spaces.MeasureError, KeyError) as error:
                    results.failed.append(f"{row.name}, {column}: {error}")
    return results


def load(path: Path) -> report.Results:
    """Read what an earlier run has written."""
    return report.Results(**json.loads(path.read_text()))


def main() -> int:
    """Run the bench; 1 if something broke."""
    known = [*rows.rows(), *service_rows.rows(), *solo.rows()]
    options = parse(known)
    if options.list:
        for row in known:
            print(f"{row.name:14} {row.figures[0].title}")
        return 0
    before = load(options.compare) if options.compare else None
    wanted = [row for row in known if row.name in options.only]
    results = measure(wanted, options)
    results.aims = [one.as_json() for one in aims.judge(wanted, results.found)]
    print("\n".join(report.lines(wanted, results)))
    print("\n".join(report.aim_lines(wanted, results, before)))
    print(machine.CLIENT)
    if before is not None:
        print("\n".join(report.changes(wanted, results, before)))
    options.json.write_text(json.dumps(dataclasses.asdict(results), indent=1) + "\n")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
