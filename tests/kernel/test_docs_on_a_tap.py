"""What README and docs let their reader type on a real TAP works, and prints what they show.

Numbers and MAC addresses may differ: they are the machine's, and of that minute.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_blocks import PAGES, all_commands, difference, environment, lay_out
from netns import TIMEOUT_S, NetworkNamespace, read_line

COMMANDS = [command for command in all_commands() if not command.why_not and command.on_a_tap]
_VARYING = re.compile(r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b|\d+(?:\.\d+)?")

pytestmark = pytest.mark.kernel


class Typing:
    """Somebody who types at two terminals in one namespace; in the first one `pystack up` runs."""

    def __init__(self, namespace: NetworkNamespace, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        self.up: subprocess.Popen[bytes] | None = None

    def type(self, shell: list[str], *, stays: bool) -> list[str]:
        """Run a command to its end, or one that stays to its first line; return what it prints."""
        words = " ".join(
            f"{name}='{value}'" for name, value in environment().items() if name == "PATH"
        )
        argv = [*shell[:2], f"cd '{self.folder}' && export {words} && exec {shell[2]}"]
        if not stays:
            # 100 MB take more than a minute where QEMU translates every instruction.
            return self.namespace.run(argv, timeout_s=600).stdout.decode().splitlines()
        self.end()
        self.up = self.namespace.popen(argv)
        return [read_line(self.up)]

    def end(self) -> None:
        """Press Ctrl-C at the first terminal."""
        if self.up is not None:
            self.up.terminate()
            assert self.up.wait(TIMEOUT_S) == 0
            self.up = None


@pytest.fixture
def typing(netns: NetworkNamespace, tmp_path: Path) -> Iterator[Typing]:
    someone = Typing(netns, tmp_path)
    yield someone
    someone.end()


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(command.block.page == page for command in COMMANDS)],
    ids=lambda page: page.name,
)
def test_a_page_works_as_it_says(page: Path, typing: Typing, tmp_path: Path) -> None:
    lay_out(page, tmp_path)
    (tmp_path / "some-file").write_bytes(os.urandom(100_000))
    wrong = []
    for command in COMMANDS:
        if command.block.page != page:
            continue
        program = command.line.split()[0]
        if program in ("iperf3", "dig") and shutil.which(program) is None:
            continue  # scripts/provision may leave it out; tests of it say so
        printed = typing.type(command.shell, stays=" up " in command.line)
        shown = tuple(map(masked, command.output))
        said = difference(shown, list(map(masked, printed))) if shown else ""
        if said:
            wrong.append(f"{command}\n{said}\nall that it printed:\n{printed}")
    assert not wrong, "\n\n".join(wrong)


def test_the_shell_without_root_does_what_readme_says(tmp_path: Path) -> None:
    [shell] = [command for command in all_commands() if command.line.startswith("unshare")]
    typed = [command for command in all_commands() if shell in command.before]
    assert [command.line.endswith("&") for command in typed] == [True, False]
    probe = subprocess.run([*shell.line.split(), "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"{shell.line}: {probe.stderr.decode().strip()}")
    lay_out(shell.block.page, tmp_path)
    up, curl = (command.shell[2].removesuffix("&") for command in typed)
    # A person looks whether it is ready before the next line.
    script = f"{up} >said & until grep -q ready: said; do sleep 0.1; done; {curl}; kill %1; wait"
    done = subprocess.run(
        [*shell.line.split(), "bash", "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert '"interface": "tap0"' in done.stdout, done.stderr


def masked(line: str) -> str:
    """Return the line without what another machine, or another minute, changes."""
    return re.sub(r"\s+", " ", _VARYING.sub("#", line))
