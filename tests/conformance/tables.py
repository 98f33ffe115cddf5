"""The conformance tables: rules of RFCs, and the tests that show each, or the reason why none does.

A table is a TOML file in this folder. One rule of it:

    ["MUST-10"]
    section = "3.5"
    rule = "Both ends may open at the same time."
    tests = ["tests/unit/tcp/test_states.py::test_simultaneous_open_ends_with_a_bare_ack_too"]

Where the name of a rule does not begin with its strength (it is a section's number), `level` says
it. In place of `tests` there may be `same_as`, the rules of RFC 9293 that say the same, or a
`reason`; for a MUST it has to begin with "Not for us", for any other reason is a fault of ours.
`note` is for what the reader should know beside the tests. A table that `covers` a section has its
rules alone.

The other way round, a test that carries `@pytest.mark.rfc("9293", "MUST-10")` stands in that rule's
list, and so does a packet script whose first line begins with `// RFC 9293 section 3.5 (MUST-10)`.
As a program: `scripts/conformance`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = Path(__file__).resolve().parent
SCRIPTS: Final = ROOT / "tests" / "scripts"
DOCUMENT: Final = ROOT / "docs" / "conformance.md"
LEVELS: Final = {"MUST": "MUST", "SHLD": "SHOULD", "MAY": "MAY", "REC": "SHOULD"}
NOT_FOR_US: Final = "Not for us"
# RFC 9293 appendix B, whose list must be complete
REQUIREMENTS: Final = tuple(
    f"{kind}-{number}"
    for kind, count in (("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1))
    for number in range(1, count + 1)
)

Marks = dict[str, set[tuple[str, str]]]  # test -> (RFC, rule) of its marks


@dataclass(slots=True)
class Rule:
    """One rule, and what shows it."""

    name: str
    level: str  # "MUST", "SHOULD" or "MAY", also for their negations
    section: str
    text: str
    tests: list[str] = field(default_factory=list)
    reason: str = ""
    note: str = ""
    same_as: list[str] = field(default_factory=list)  # rules of RFC 9293


@dataclass(slots=True)
class Table:
    """The rules of one RFC."""

    path: Path
    number: str
    title: str
    head: str  # the comment at the file's beginning
    rules: dict[str, Rule]
    covers: str = ""  # what the names of its rules begin with; empty: it has all of the RFC's


def load(folder: Path = FOLDER) -> list[Table]:
    """Read all tables, RFC 9293 first. ValueError for what is no table."""
    tables = [_load(path) for path in sorted(folder.glob("rfc*.toml"))]
    return sorted(tables, key=lambda table: (table.number != "9293", int(table.number)))


def _load(path: Path) -> Table:
    text = path.read_text("utf-8")
    data = tomllib.loads(text)
    title, covers = data.pop("title"), data.pop("covers", "")
    head = "".join(re.findall(r"^#.*\n", text.split("title =", 1)[0], re.MULTILINE))
    rules = {}
    for name, entry in data.items():
        unknown = set(entry) - {*("level", "section", "rule", "tests", "reason", "note", "same_as")}
        if unknown:
            raise ValueError(f"{path.name}, {name}: unknown {', '.join(sorted(unknown))}")
        level = entry.get("level") or LEVELS[name.partition("-")[0]]
        rules[name] = Rule(
            name,
            level,
            entry.get("section", name),
            entry["rule"],
            entry.get("tests", []),
            entry.get("reason", ""),
            entry.get("note", ""),
            entry.get("same_as", []),
        )
    return Table(path, path.stem.removeprefix("rfc"), title, head, rules, covers)


def collect() -> Marks:
    """Return every test of the files with marks, without its parameters, and its marks' rules.

    The others are not imported: that takes longer than all the rest.
    """
    files = [
        path for path in (ROOT / "tests").rglob("test_*.py") if "rfc" in path.read_text("utf-8")
    ]
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch, "marks.json")
        paths = [str(FOLDER), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYSTACK_MARKS": str(found),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        options = ["--collect-only", "-qq", "-p", "no:cacheprovider", "-p", "marks_to_json"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *map(str, sorted(files))],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"pytest could not collect:\n{done.stdout[-2000:]}{done.stderr}")
        marks = json.loads(found.read_text("utf-8"))
    return {test: {(number, rule) for number, rule in rules} for test, rules in marks.items()}


def collect_scripts(tables: list[Table], folder: Path = SCRIPTS) -> Marks:
    """Return every packet script, and the rules that its first line names, as far as there are any.

    A section there is where to look it up, which need not be a rule of a table.
    """
    rules = {table.number: table.rules for table in tables}
    marks: Marks = {}
    for path in sorted(folder.rglob("*.pkt")):
        first = path.read_text("utf-8").partition("\n")[0].partition(": ")[0]
        found = marks[f"{path.relative_to(ROOT)}"] = set()
        for number, words in re.findall(r"RFC (\d+)((?:(?!RFC).)*)", first):
            for name in re.findall(r"[A-Z]{3,4}-\d+|(?<=section )[\d.]+\d|(?<=\()[\d.]+\d", words):
                if name in rules.get(number, {}) or (number in rules and "-" in name):
                    found.add((number, name))
    return marks


def problems(tables: list[Table], marks: Marks) -> Iterator[str]:
    """Yield, in words, everything that is wrong with the tables."""
    by_number = {table.number: table for table in tables}
    newest = by_number["9293"].rules
    for table in tables:
        for rule in table.rules.values():
            yield from _problems_of_rule(table, rule, newest, marks)
    for name in REQUIREMENTS:
        if name not in newest:
            yield f"RFC 9293 {name} is missing from its table"
    for test, rules in sorted(marks.items()):
        for number, name in sorted(rules):
            if number in by_number and name.startswith(by_number[number].covers):
                known = by_number[number].rules.get(name)
                if known is None:
                    yield f"{test} is marked with RFC {number} {name}, which the table lacks"
                elif test not in known.tests:
                    yield f"{test} is marked with RFC {number} {name}, whose list lacks it"


def _problems_of_rule(
    table: Table, rule: Rule, newest: dict[str, Rule], marks: Marks
) -> Iterator[str]:
    name = f"RFC {table.number} {rule.name}"
    if rule.reason and (rule.tests or rule.same_as):
        yield f"{name} has both tests and a reason"
    if not (rule.reason or rule.tests or rule.same_as):
        yield f"{name} has neither test nor reason"
    for other in rule.same_as:
        if other not in newest:
            yield f"{name} is the same as {other}, which RFC 9293's table lacks"
    if rule.level == "MUST" and rule.reason and not rule.reason.startswith(NOT_FOR_US):
        yield f"{name} is a MUST without a test: {rule.reason}"
    for test in rule.tests:
        if test not in marks:
            yield f"{name} names {test}, which is not there"
        elif (table.number, rule.name) not in marks[test]:
            yield f"{name} names {test}, which is not marked with it"
    if len(set(rule.tests)) < len(rule.tests):
        yield f"{name} names a test twice"


def fill(tables: list[Table], marks: Marks) -> None:
    """Write into the tables the marked tests that they lack, and take out what is there no more."""
    for table in tables:
        for rule in table.rules.values():
            tests = sorted(
                test for test, rules in marks.items() if (table.number, rule.name) in rules
            )
            if tests:
                rule.tests, rule.reason = tests, ""
            elif rule.same_as:
                rule.tests, rule.reason = [], ""
            elif rule.tests:
                rule.tests = []
        table.path.write_text(as_toml(table), "utf-8")


def as_toml(table: Table) -> str:
    """Return a table as its file."""
    lines = [table.head + f"title = {json.dumps(table.title, ensure_ascii=False)}\n"]
    if table.covers:
        lines.append(f"covers = {json.dumps(table.covers)}\n")
    for rule in table.rules.values():
        lines.append(f"\n[{json.dumps(rule.name)}]\n")
        prefix = rule.name.partition("-")[0]
        level = "" if LEVELS.get(prefix) == rule.level else rule.level
        section = "" if rule.section == rule.name else rule.section
        pairs = (
            ("level", level),
            ("section", section),
            ("rule", rule.text),
            ("reason", rule.reason),
            ("note", rule.note),
        )
        for key, value in pairs:
            if value:
                lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
        if rule.same_as:
            lines.append(f"same_as = {json.dumps(rule.same_as)}\n")
        if rule.tests:
            lines.append("tests = [\n")
            lines.extend(f"    {json.dumps(test)},\n" for test in rule.tests)
            lines.append("]\n")
    return "".join(lines)


def render(tables: list[Table]) -> str:
    """Return the tables as the document."""
    parts = [
        "# What the RFCs ask, and the tests that show it\n\n"
        "Made by `scripts/conformance` from the tables in `tests/conformance`; not to be edited\n"
        "here. The rules are in our own words and shortened: the RFC's own count. What stands in\n"
        "a row is run by `scripts/test FILE::TEST`.\n\n"
        "| RFC | | MUST | SHOULD | MAY |\n|---|---|---|---|---|\n"
    ]
    newest = tables[0].rules
    for table in tables:
        counts = " | ".join(_count(table, level, newest) for level in ("MUST", "SHOULD", "MAY"))
        parts.append(f"| [{table.number}](#rfc-{table.number}) | {table.title} | {counts} |\n")
    parts.append("\nShown by tests, of all that are in the table; the rest has its reason.\n")
    for table in tables:
        parts.append(f"\n## RFC {table.number}\n\n{table.title}.\n\n")
        parts.append("| Rule | Section | What it asks | Shown by |\n|---|---|---|---|\n")
        parts.extend(_row(rule) for rule in table.rules.values())
    return "".join(parts)


def _count(table: Table, level: str, newest: dict[str, Rule]) -> str:
    rules = [rule for rule in table.rules.values() if rule.level == level]
    shown = sum(
        bool(rule.tests)
        or (bool(rule.same_as) and all(newest[other].tests for other in rule.same_as))
        for rule in rules
    )
    return f"{shown} of {len(rules)}" if rules else ""


def _row(rule: Rule) -> str:
    name = rule.name if rule.name[0].isalpha() else f"{rule.level} {rule.name}"
    same = [f"RFC 9293 {other}" for other in rule.same_as]
    shown = "<br>".join(same + [_link(test) for test in rule.tests]) or f"*{rule.reason}*"
    note = f" *{rule.note}*" if rule.note else ""
    return f"| {name} | {rule.section} | {rule.text}{note} | {shown} |\n"


def _link(test: str) -> str:
    path, _, function = test.partition("::")
    return f"[{function or Path(path).name}](../{path})"


def main() -> int:
    """Write the document, or with `--check` see whether it is true; 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only look")
    parser.add_argument("--fill", action="store_true", help="put marked tests into the tables")
    arguments = parser.parse_args()
    tables = load()
    marks = collect() | collect_scripts(tables)
    if arguments.fill:
        fill(tables, marks)
    found = list(problems(tables, marks))
    text = render(tables)
    if not arguments.check:
        DOCUMENT.write_text(text, "utf-8")
    elif DOCUMENT.read_text("utf-8") != text:
        found.append(f"docs/{DOCUMENT.name} is out of date: run scripts/conformance")
    for problem in found:
        print(problem)
    for table in tables:
        levels = ("MUST", "SHOULD", "MAY")
        counts = [f"{level} {_count(table, level, tables[0].rules)}" for level in levels]
        print(f"RFC {table.number}:", ", ".join(count for count in counts if " of " in count))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
