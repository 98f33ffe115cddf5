"""Every command that README and docs let their reader type is run, and prints what they show.

Time is virtual here, so what is shown is compared to the letter; `kernel/test_docs_on_a_tap.py` has
the commands that take a real TAP.
"""

import subprocess
from pathlib import Path

import doc_blocks
import pytest
from doc_blocks import PAGES, Command, all_commands, difference, environment, lay_out

COMMANDS = [command for command in all_commands() if not command.why_not and not command.on_a_tap]


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 5


def test_what_a_reader_made_in_the_checkout_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, folder = tmp_path / "checkout", tmp_path / "folder"
    checkout.mkdir()
    folder.mkdir()
    (checkout / "hello.py").write_text("the reader's own")
    monkeypatch.setattr(doc_blocks, "ROOT", checkout)
    lay_out(next(page for page in PAGES if page.name == "README.md"), folder)
    assert (checkout / "hello.py").read_text() == "the reader's own"
    assert "pystack.run(main)" in (folder / "hello.py").read_text()


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(command.block.page == page for command in COMMANDS)],
    ids=lambda page: page.name,
)
def test_a_page_prints_what_it_shows(page: Path, tmp_path: Path) -> None:
    lay_out(page, tmp_path)
    wrong = [
        said
        for command in COMMANDS
        if command.block.page == page and (said := wrong_with(command, tmp_path))
    ]
    assert not wrong, "\n\n".join(wrong)


def wrong_with(command: Command, folder: Path) -> str:
    """Run the command; return what it should have printed and did not, or an empty text."""
    done = subprocess.run(
        command.shell,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    said = difference(command.output, done.stdout.splitlines())
    if not command.output:  # the page shows none: it only has to work
        said = f"exit status {done.returncode}" if done.returncode else ""
    return f"{command}\n{said}\nall that it printed:\n{done.stdout}" if said else ""
