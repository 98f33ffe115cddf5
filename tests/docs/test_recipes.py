"""Each recipe prints what its page shows; they run in one pytest, for most of it is imports."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest
from doc_blocks import ROOT, Command, blocks, commands, difference, environment

PAGE: Final = ROOT / "docs" / "recipes.md"
COMMANDS: Final = [command for block in blocks(PAGE) for command in commands(block)]
# What a test printed, in a report with all that was captured (-rA)
_PRINTED: Final = re.compile(
    r"^_+ (\S+) _+\n(?:.*\n)*?-+ Captured stdout call -+\n((?:(?![-_=]{3}).*\n)*)", re.MULTILINE
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run all recipes, and return what pytest says."""
    folder = tmp_path_factory.mktemp("recipes")
    for block in blocks(PAGE):
        if block.file:
            (folder / block.file).write_text(block.text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*argv, *(command.line.split()[-1] for command in COMMANDS)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    ).stdout


def printed(report: str, tests: list[str]) -> Iterator[str]:
    """Yield the lines that these tests printed, in their order."""
    for name, text in _PRINTED.findall(report.partition("= PASSES =")[2]):
        if name.partition("[")[0] in tests:
            yield from text.splitlines()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line.split()[-1])
def test_a_recipe_prints_what_its_page_shows(command: Command, report: str) -> None:
    name = command.line.split()[-1]
    if "-s" in command.line.split():
        [text] = [block.text for block in blocks(PAGE) if block.file == name]
        shown = tuple(line.removeprefix(".") for line in command.output[:-1])
        found = list(printed(report, re.findall(r"def (test_\w+)", text)))
    else:  # it fails, and the page shows how
        shown, found = command.output, report.splitlines()
    assert not difference(shown, found), report


def test_those_fail_that_are_to_show_how(report: str) -> None:
    failed = {line.split()[1] for line in report.splitlines() if line.startswith("FAILED ")}
    assert failed == {
        "test_race.py::test_a_message_is_heard_in_any_order",
        "test_faults.py::test_nothing_is_paid_twice",
    }
