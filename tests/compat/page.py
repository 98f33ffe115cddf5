"""docs/compatibility.md: what the probes found, in versions, and whether the page still says it.

    scripts/compatibility            run all probes, and write the page
    scripts/compatibility --check    run those of what is installed, and compare

A row is one probe. What a run found is in it: that it works, how it failed when the line was dead,
or with which sentence it was refused. The tests compare the row of each run with the page's.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from probe import Outcome, Probe, Way, attempt
from registry import GROUPS, PROBES

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "compatibility.md"
LIMIT_S: Final = 120.0  # of the machine's time, for one probe
_WAYS: Final = {
    Way.TRIO: "Trio",
    Way.ASYNCIO: "asyncio",
    Way.BLOCKING: "blocking",
}
_HEAD: Final = """\
# Compatibility

What runs on a host as it is, and what does not. This page is written by `scripts/compatibility`
from the probes in `tests/compat`: small programs that connect, ask and check the answer, each in
a world of its own, over a line of 20 ms; four seconds into that world the line goes dead without
a word, and the program does whatever its library does then, by the world's clock. The probes are
tests too, and a test compares what they find with this page.

- **Way**: Trio is `await host.run(main)`, asyncio is `await host.run_asyncio(main)`, blocking is
  `await host.run_sync(function)`.
- **On a dead line**: the error that came, and after how many seconds of the world's time. Where
  that is more than the 3 s that were asked for, the library tries again, or tries IPv6 and then
  IPv4.
- **The other side**: "fake" is a server of a hundred lines or so in `tests/compat/servers` that
  knows as much of the protocol as the probe needs. It shows that the client's sockets, clock and
  threads work here, and nothing about a real server of that kind; for one, take a
  [namespace](real-programs.md).

The libraries were used unmodified and unpatched. If the last column is empty, nothing had to be
done for pystack's sake that a real network would not ask for as well.
"""
_TABLE: Final = (
    "| library | version | way | | on a dead line | the other side | what it takes |\n"
    "|---|---|---|---|---|---|---|"
)


def row(probe: Probe, outcome: Outcome, version: str) -> str:
    """Return the line of the page for what a run found."""
    cells = (
        probe.library,
        version or "Python's",
        _WAYS[probe.way],
        outcome.verdict,
        outcome.failure,
        probe.peer,
        probe.remark(),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def without_version(line: str) -> str:
    """Return a row for comparison where other versions are installed than the page's."""
    cells = line.split(" | ")
    return " | ".join([*cells[:1], *cells[2:]])


def rows_of(page: str) -> list[str]:
    """Return the rows of a page, as `row` makes them."""
    heads = set(_TABLE.splitlines())
    return [line for line in page.splitlines() if line.startswith("| ") and line not in heads]


def render(rows: dict[str, str]) -> str:
    """Return the page, of the rows by the names of their probes."""
    counts = _counts(rows.values())
    parts = [_HEAD, f"Of {len(rows)} probes {counts}.\n"]
    for title, probes in GROUPS.items():
        lines = [rows[probe.name] for probe in probes if probe.name in rows]
        if lines:
            parts.append(f"## {title}\n\n{_TABLE}\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _counts(rows: Iterator[str] | Sequence[str]) -> str:
    verdicts = [line.split(" | ")[3].split(":")[0].strip("* ") for line in rows]
    kinds = ("works", "refused", "fails")
    told = [f"{verdicts.count(kind)} {word}" for kind, word in zip(kinds, _SAID, strict=True)]
    return f"{told[0]}, {told[1]} and {told[2]}"


_SAID: Final = ("show that it works", "that it is refused by name", "that it fails")


def _run_in_a_process(probe: Probe) -> str:
    """Return the row of a probe, of a run in a process of its own. RuntimeError: there is none."""
    command = [sys.executable, __file__, "--one", probe.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    lines = rows_of(done.stdout)
    if done.returncode or not lines:
        raise RuntimeError(f"{probe.name}: {done.stderr.strip()[-2000:]}")
    return lines[0]


def _one(name: str) -> int:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    (probe,) = (probe for probe in PROBES if probe.name == name)
    try:
        print(row(probe, attempt(probe), probe.version()))
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="compare with the page, write nothing")
    parser.add_argument("--one", metavar="NAME", help="run one, here, and print its row")
    asked = parser.parse_args()
    if asked.one:
        return _one(asked.one)
    missing = {name for probe in PROBES for name in probe.missing()}
    if missing and not asked.check:
        print("not installed: " + ", ".join(sorted(missing)), file=sys.stderr)
        return 1
    found: dict[str, str] = {}
    failed = 0
    here = [probe for probe in PROBES if not probe.missing()]
    with ThreadPoolExecutor(2) as pool:
        running = [(probe, pool.submit(_run_in_a_process, probe)) for probe in here]
        for probe, future in running:
            try:
                found[probe.name] = future.result()
                print(found[probe.name])
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(error, file=sys.stderr)
    if failed:
        return 1
    if not asked.check:
        PAGE.write_text(render(found), "utf-8")
        return 0
    written = {without_version(line) for line in rows_of(PAGE.read_text("utf-8"))}
    wrong = [line for line in found.values() if without_version(line) not in written]
    for line in wrong:
        print("not on the page: " + line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
