"""The tables of conformance are true: every MUST has a test, every test named is there."""

from pathlib import Path

import pytest
import tables
from tables import NOT_FOR_US, Rule, Table


@pytest.fixture(scope="module")
def marks() -> tables.Marks:
    return tables.collect() | tables.collect_scripts(tables.load())


def test_every_must_has_a_test_and_tables_and_marks_agree(marks: tables.Marks) -> None:
    assert list(tables.problems(tables.load(), marks)) == []


def test_the_document_is_what_the_tables_say() -> None:
    said = tables.DOCUMENT.read_text("utf-8")
    assert said == tables.render(tables.load()), "run scripts/conformance"


def test_a_table_is_written_as_it_is_read() -> None:
    for table in tables.load():
        assert table.path.read_text("utf-8") == tables.as_toml(table), table.path.name


def table_of(rule: Rule) -> list[Table]:
    """Return a full table of RFC 9293 in which all but one rule is as it should be."""
    rules = {
        name: Rule(name, tables.LEVELS[name.partition("-")[0]], "3", "text", reason=NOT_FOR_US)
        for name in tables.REQUIREMENTS
    }
    rules[rule.name] = rule
    return [Table(Path("rfc9293.toml"), "9293", "TCP", "", rules)]


KNOWN = "tests/a.py::test_a"


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (Rule("MUST-1", "MUST", "3", "x", [KNOWN]), []),
        (Rule("MUST-1", "MUST", "3", "x", [], f"{NOT_FOR_US}: it is IPv6's"), []),
        (Rule("SHLD-1", "SHOULD", "3", "x", [], "nobody has done it"), []),
        (
            Rule("MUST-1", "MUST", "3", "x", [], "nobody has done it"),
            ["RFC 9293 MUST-1 is a MUST without a test: nobody has done it"],
        ),
        (Rule("MUST-1", "MUST", "3", "x"), ["RFC 9293 MUST-1 has neither test nor reason"]),
        (
            Rule("MUST-1", "MUST", "3", "x", [KNOWN], f"{NOT_FOR_US}: no"),
            ["RFC 9293 MUST-1 has both tests and a reason"],
        ),
        (
            Rule("MUST-1", "MUST", "3", "x", [KNOWN, "tests/a.py::test_gone"]),
            ["RFC 9293 MUST-1 names tests/a.py::test_gone, which is not there"],
        ),
        (
            Rule("MUST-1", "MUST", "3", "x", [KNOWN, "tests/a.py::test_b"]),
            ["RFC 9293 MUST-1 names tests/a.py::test_b, which is not marked with it"],
        ),
        (
            Rule("MUST-1", "MUST", "3", "x", [KNOWN, KNOWN]),
            ["RFC 9293 MUST-1 names a test twice"],
        ),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(rule: Rule, found: list[str]) -> None:
    marks = {KNOWN: {("9293", rule.name)} if rule.tests else set(), "tests/a.py::test_b": set()}
    assert list(tables.problems(table_of(rule), marks)) == found


def test_a_mark_that_the_tables_do_not_know_is_said() -> None:
    full = table_of(Rule("MUST-1", "MUST", "3", "x", [KNOWN]))
    marks = {
        KNOWN: {("9293", "MUST-1")},
        "tests/a.py::test_b": {("9293", "MUST-1"), ("9293", "MUST-99"), ("1", "other RFCs")},
    }
    assert list(tables.problems(full, marks)) == [
        "tests/a.py::test_b is marked with RFC 9293 MUST-1, whose list lacks it",
        "tests/a.py::test_b is marked with RFC 9293 MUST-99, which the table lacks",
    ]


def test_a_requirement_that_is_missing_is_said() -> None:
    full = table_of(Rule("MUST-1", "MUST", "3", "x", [KNOWN]))
    del full[0].rules["SHLD-31"]
    marks = {KNOWN: {("9293", "MUST-1")}}
    assert list(tables.problems(full, marks)) == ["RFC 9293 SHLD-31 is missing from its table"]


def test_filling_takes_the_marks_and_drops_what_has_gone(tmp_path: Path) -> None:
    full = table_of(Rule("MUST-1", "MUST", "3", "x", ["tests/a.py::test_gone"]))
    full[0].rules["MAY-2"].reason = "nobody has done it"
    full[0].path = tmp_path / "rfc9293.toml"
    tables.fill(full, {KNOWN: {("9293", "MAY-2")}})
    (read,) = tables.load(tmp_path)
    assert (read.rules["MAY-2"].tests, read.rules["MAY-2"].reason) == ([KNOWN], "")
    assert read.rules["MUST-1"].tests == []


def test_a_script_shows_the_rules_of_its_first_line() -> None:
    full = table_of(Rule("MUST-1", "MUST", "3", "x", [KNOWN]))
    full[0].rules["3.5"] = Rule("3.5", "MUST", "3.5", "text")
    full.append(
        Table(Path("rfc6298.toml"), "6298", "RTO", "", {"2.1": Rule("2.1", "MUST", "", "")})
    )
    marks = tables.collect_scripts(full, tables.FOLDER / "scripts")
    assert marks == {
        "tests/conformance/scripts/ids.pkt": {("9293", "3.5"), ("9293", "MUST-10")},
        "tests/conformance/scripts/none.pkt": set(),
        "tests/conformance/scripts/two.pkt": {("6298", "2.1"), ("9293", "MUST-99")},
    }
