"""docs/control.md has the calls that there are, and steps as they are."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import doc_blocks

ROOT: Final = Path(__file__).resolve().parents[2]


def test_the_page_of_control_is_made_from_the_table_of_calls() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import docs_pages; print(docs_pages.control_page(), end='')"],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert made == (ROOT / "docs" / "control.md").read_text("utf-8"), "run scripts/docs --pages"


def test_the_steps_of_the_page_are_those_of_its_lab(tmp_path: Path) -> None:
    page = ROOT / "docs" / "control.md"
    doc_blocks.lay_out(page, tmp_path)
    blocks = doc_blocks.blocks(page)
    (listing,) = (block.text for block in blocks if "--paused steps.toml" in block.text)
    shown = [line for line in listing.splitlines() if not line.startswith("$")]

    def pystack(*words: str) -> list[str]:
        return [sys.executable, "-m", "pystack", *words]

    env = {**os.environ, "XDG_RUNTIME_DIR": "", "PYTHONPATH": str(ROOT)}
    folder = tempfile.TemporaryDirectory()  # short, for the path of a socket
    socket = f"{folder.name}/c.sock"
    lab = subprocess.Popen(
        pystack("lab", "run", "--virtual", "--paused", "--control-socket", socket, "steps.toml"),
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert lab.stdout is not None
    while not lab.stdout.readline().startswith("control:"):
        pass
    said: list[str] = []
    for words in (["step"], ["step"], ["resume"]):
        asked = pystack("ctl", "--socket", socket, *words)
        done = subprocess.run(asked, env=env, capture_output=True, text=True, check=True)
        said += done.stdout.splitlines()
    assert "bytes" in lab.communicate(timeout=300)[0]
    assert lab.returncode == 0
    folder.cleanup()
    assert len(shown) == len(said) - 1
    for line, found in zip(shown, said, strict=False):
        assert found.startswith(line.removesuffix("..."))
