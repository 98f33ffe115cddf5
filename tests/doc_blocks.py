"""The blocks of code and output in README and docs, where they stand, and how to run them."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
# Why a command is not run; the first match counts.
NOT_RUN: Final = {
    r"scripts/(test|provision|bench|environment|lock|vm)\b": "is what runs us, or takes minutes",
    r"PYSTACK_\w+=\S+ (\S+ )*scripts/test\b": "is what runs us, with another Python",
    r"vagrant\b": "needs a hypervisor",
    r"(pip install|git clone)\b": "needs a network",
    r"(sudo )?unshare\b": "gives the reader another shell",
    r"(sudo )?pystack (ctl|top|(up|lab run) .*--control)\b": (
        "is two commands that speak with each other: test_control_page.py, test_up_control.py"
    ),
    r"pystack proxy \d": "runs until a signal comes: network/test_proxy_command.py",
    r"scripts/pystack exec --outside": "needs the real network: kernel/test_exec_outside.py",
    r"(sudo )?pystack (up tap0 --delay 10ms$|lab run .* --web)": (
        "is looked at in a browser: kernel/test_live_browser.py"
    ),
    r"pytest -q( test_prices.py)?( --pystack-seeds 100)?$": (
        "has a test of its own: test_documented.py"
    ),
    r"pytest -q (-s )?test_(?!tunnel|talk|lossy)\w+.py$": (
        "is run with the other recipes: test_recipes.py"
    ),
}
PAGES_WITH_TESTS: Final = {
    "what-happens.md": "has a test of its own, in one process: test_what_happens.py",
    "toxics.md": "has a test of its own, beside a server: network/test_proxy_api_page.py",
    "proxy-api.md": "has a test of its own, beside a server: network/test_proxy_api_page.py",
}
_ON_A_TAP: Final = re.compile(
    r"(sudo )?(scripts/pystack (up|exec)|curl|dig|ping|iperf3|head -c \d+ /dev/zero)\b"
)
_CALLED: Final = {"PYSTACK_CALLED": "scripts/pystack"}
_FENCE: Final = re.compile(r"^```(\S*) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: the words behind the fence are its language and the file it makes."""

    page: Path
    line: int  # of the fence
    language: str
    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block, and what the page says that it prints."""

    block: Block
    line: str  # without `$ ` and comments
    output: tuple[str, ...]
    before: tuple["Command", ...]  # those of the same block

    def __str__(self) -> str:
        return f"{self.block}: {self.line}"

    @property
    def why_not(self) -> str:
        """Return why it is not run; empty if it is."""
        if self.block.page.name in PAGES_WITH_TESTS:
            return PAGES_WITH_TESTS[self.block.page.name]
        if any(command.line.startswith("unshare") for command in self.before):
            return "is typed in another shell"
        return next((why for what, why in NOT_RUN.items() if re.match(what, self.line)), "")

    @property
    def on_a_tap(self) -> bool:
        """Tell whether it takes a real TAP, whose numbers are different every time."""
        return bool(_ON_A_TAP.match(self.line))

    @property
    def shell(self) -> list[str]:
        """Return the call, in an environment that need not be the checkout's own."""
        line = re.sub(r"\bscripts/(pystack|python)\b", r"\1", self.line.removeprefix("sudo "))
        return ["bash", "-c", line]


def blocks(page: Path) -> list[Block]:
    """Return all blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2].strip(), found[3])
        for found in _FENCE.finditer(text)
    ]


def of_language(language: str) -> list[Block]:
    """Return the blocks of all pages in that language."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def commands(block: Block) -> list[Command]:
    """Return what a console block lets its reader type; a trailing backslash goes on."""
    found: list[Command] = []
    lines = block.text.replace("\\\n", "").splitlines()
    typed, output = "", list[str]()
    for line in [*lines, "$ "]:
        if not line.startswith("$ "):
            output.append(line)
            continue
        if typed:
            found.append(Command(block, typed, tuple(output), tuple(found)))
        typed, output = re.split(r"\s+# ", line[2:])[0].strip(), []
    return found


def all_commands() -> list[Command]:
    """Return all that README and docs let their reader type."""
    return [command for block in of_language("console") for command in commands(block)]


def lay_out(page: Path, folder: Path) -> None:
    """Put into `folder` what the reader has there: the checkout, and the files of the page."""
    files: dict[str, str] = {}  # a file that stands there twice is what it became in the end
    for block in blocks(page):
        if block.file:
            files[block.file] = block.text
    for entry in ROOT.iterdir():
        # A reader may have made the page's files in the checkout: they stay as they are.
        if not entry.name.startswith(".") and entry.name not in files:
            (folder / entry.name).symlink_to(entry)
    for name, text in files.items():
        (folder / name).write_text(text)


def environment() -> dict[str, str]:
    """Return an environment in which commands are found, and print as pages show it, to a file."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "COLUMNS": "80", "NO_COLOR": "1", **_CALLED}


def difference(shown: tuple[str, ...], printed: list[str]) -> str:
    """Say which of the lines shown was not printed in its place; empty if all are there.

    A line `...` stands for any number of lines.
    """
    at, anywhere = 0, False
    for line in shown:
        if line == "...":
            anywhere = True
            continue
        places = range(at, len(printed)) if anywhere else range(at, min(at + 1, len(printed)))
        place = next((place for place in places if printed[place] == line), None)
        if place is None:
            return f"shown and not printed: {line!r}"
        at, anywhere = place + 1, False
    if at < len(printed) and not anywhere:
        return f"printed and not shown: {printed[at]!r}"
    return ""
