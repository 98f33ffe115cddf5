"""The rules of the house that no linter sees. They need no git: the files are found by walking."""

import ast
import os
import re
import runpy
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import pytest
from packaging.specifiers import SpecifierSet

import pystack

ROOT: Final = Path(__file__).resolve().parent.parent
# Signs to look, not limits to obey: what is longer for a reason stands below with it.
MAX_FILE_LINES: Final = 500
MAX_FUNCTION_LINES: Final = 60
# The most lines of each, and why. A new line there is a sign to look for what can go elsewhere.
LONG_FILES: Final[Mapping[str, tuple[int, str]]] = {}
LONG_FUNCTIONS: Final[Mapping[str, str]] = {
    "pystack/experiments/scenes.py:dumbbell": "its words, a line each, and what they mean",
    "pystack/tcp/tcb.py:__init__": "all variables of a connection, a line each",
    "pystack/tcp/info.py:snapshot": "all fields of `TcpInfo`, a line each",
}
# Put together, so that this file does not find itself.
UNFINISHED: Final = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
# What a document may name, and a reader may want to open: paths in code spans and blocks.
MENTIONED: Final = re.compile(
    r"(?<![\w./-])((?:scripts|examples|docs|tests|\.ci)/[\w./-]*\w|pystack/[\w/]+\.py)"
)
LINK: Final = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
RELEASE: Final = re.compile(r"^## \[(\d[^\]]*)\]", re.MULTILINE)


def project_files() -> Iterator[Path]:
    """Yield what belongs to the project, and not what tools and runs leave beside it."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if is_ours(Path(folder, name))]
        yield from (Path(folder, name) for name in files)


def is_ours(folder: Path) -> bool:
    """Tell sources from caches, builds and environments."""
    if folder.name == ".ci":
        return True
    if folder.name in {"__pycache__", "build", "dist"} or folder.name.endswith(".egg-info"):
        return False
    return not folder.name.startswith(".") and not (folder / "pyvenv.cfg").exists()


def text_of(path: Path) -> str | None:
    """Return the text of `path`, None where it is no text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return None


def long_functions(source: str) -> dict[str, int]:
    """Return how long the functions of `source` are that are too long to be seen at once."""
    return {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    }


def shell_scripts() -> list[Path]:
    """Return every script that names bash in its first line."""
    return [
        path
        for path in sorted(project_files())
        if path.parent in (ROOT / "scripts", ROOT / ".ci")
        and (text_of(path) or "").startswith("#!/usr/bin/env bash")
    ]


def documents() -> list[Path]:
    return sorted(path for path in project_files() if path.suffix == ".md")


def test_files_hold_one_thing_each() -> None:
    sources = [path for path in project_files() if path.suffix in {".py", ".sh"}]
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in [*sources, *shell_scripts()]
    }
    most = {path: lines for path, (lines, _why) in LONG_FILES.items()}
    long = {path: n for path, n in lengths.items() if n > MAX_FILE_LINES}
    assert {path: n for path, n in long.items() if n > most.get(path, MAX_FILE_LINES)} == {}
    assert most.keys() - long == set(), "these have become short: take them off the list"


def test_functions_can_be_seen_at_once() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{name}": lines
        for path in project_files()
        if path.suffix == ".py"
        for name, lines in long_functions(path.read_text("utf-8")).items()
    }
    assert {name: n for name, n in long.items() if name not in LONG_FUNCTIONS} == {}
    assert LONG_FUNCTIONS.keys() - long == set(), "these have become short: take them off the list"


def test_a_long_function_is_found() -> None:
    body = "    pass\n" * (MAX_FUNCTION_LINES - 1)
    assert long_functions(f"def f():\n{body}") == {}
    assert long_functions(f"async def f():\n{body}    pass\n") == {"f": 61}


def test_nothing_is_left_for_later() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in project_files()
        for number, line in enumerate((text_of(path) or "").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_the_index_of_decisions_leads_to_them_all() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "decisions_index.py"))
    page = (ROOT / "docs" / "decisions.md").read_text("utf-8")
    # The newest may be missing until the script is run: nobody's commit has to wait for that.
    there, made = (
        text.partition(script["_END"])[0].partition(f"**{script['NEW']}**")[0]
        for text in (page, script["indexed"](page))
    )
    assert there == made, "run scripts/python scripts/decisions_index.py"


def test_a_decision_that_is_new_goes_to_the_end_of_the_index() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "decisions_index.py"))
    begin, end = script["_BEGIN"], script["_END"]
    page = f"# D\n\n{begin}\n**TCP**\n\n- [One's `own`](#x)\n- [Gone](#gone)\n\n{end}"
    page += "\n## One's `own`\n\n## Two_2, and 3\n"
    index = script["indexed"](page).partition(begin)[2].partition(end)[0]
    assert index.split("\n") == [
        *("", "**TCP**", "", "- [One's `own`](#ones-own)", ""),
        *("**Newest**", "", "- [Two_2, and 3](#two_2-and-3)", "", ""),
    ]


def test_the_version_is_the_same_everywhere() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert pystack.__version__ == declared
    released = RELEASE.findall((ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert released[0] == declared


def test_constraints_are_exact_and_hold_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["test"],
        *project["project"]["optional-dependencies"]["docs"],
        *project["project"]["optional-dependencies"]["compat"],
        *project["project"]["optional-dependencies"]["compat-more"],
    ]
    pinned = {plain_name(pin) for pin in pins}
    assert {plain_name(requirement) for requirement in wanted} - pinned == set()


def test_every_pinned_version_runs_on_the_oldest_python() -> None:
    """Debian 12 has Python 3.11.2, whatever the patch is of who renews the list."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    refused = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        name, _, version = line.partition("==")
        try:
            installed = distribution(name) if version else None
        except PackageNotFoundError:
            continue  # what only builds, or another Python, needs
        if installed is not None and installed.version == version:
            pythons = installed.metadata.get("Requires-Python") or ""
            if oldest not in SpecifierSet(pythons):
                refused[line] = pythons
    assert refused == {}


def plain_name(requirement: str) -> str:
    """Return the name in a requirement, in the one spelling that all others stand for."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name.group()).lower()


@pytest.mark.parametrize("path", shell_scripts(), ids=lambda path: path.name)
def test_a_script_can_be_run(path: Path) -> None:
    assert os.access(path, os.X_OK)
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert checked.stderr == ""


def test_the_scripts_that_others_rely_on_are_there() -> None:
    names = {path.name for path in shell_scripts()}
    assert {"pystack", "test", "provision", "environment", "run"} <= names


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(path: Path) -> None:
    text = path.read_text("utf-8")
    missing = [name for name in MENTIONED.findall(text) if not (ROOT / name).exists()]
    missing += [name for name in LINK.findall(text) if not (path.parent / name).exists()]
    assert missing == []


def test_test_files_have_names_of_their_own() -> None:
    # pytest imports them by their bare names: two of one name cannot be collected in one run.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
