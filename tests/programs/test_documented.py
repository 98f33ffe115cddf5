"""The page that teaches testing holds what it promises, and the examples print what they say."""

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# What may be different from run to run, or from version to version: times, sizes, dashes.
_SOMEHOW = re.compile(r"-{3,}| in [\d.]+s| \(\d+ bytes\)")
FIRST_TESTS: Final = (
    "test_prices.py",
    "test_billing.py",
    "test_prices_on_trio.py",
    "test_all_asyncio.py",
)
BLOCK = re.compile(r"^```python (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """Return the files that the page lets its reader write: names and texts, in order."""
    return BLOCK.findall((ROOT / "docs" / "testing-your-app.md").read_text("utf-8"))


def failure() -> list[str]:
    """Return what the page shows of the failing test, without the command."""
    text = (ROOT / "docs" / "testing-your-app.md").read_text("utf-8")
    [block] = [block for block in text.split("```") if "1 failed, 1 passed" in block]
    return block.splitlines()[2:]


def run_pytest(folder: Path, *words: str) -> str:
    """Run pytest as the page says, in a process of its own; return what it prints."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    # Once the package is installed, its plug-in is there by itself; twice is an error of pytest's.
    if not entry_points(group="pytest11", name="pystack-net"):
        command += ["-p", "pystack.testing.plugin"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False
    ).stdout


def test_the_first_test_passes_in_each_kind_of_program(tmp_path: Path) -> None:
    files = dict(reversed(blocks()))  # of files that stand there twice the first
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    output = run_pytest(tmp_path, *FIRST_TESTS)
    assert f"{len(FIRST_TESTS)} passed" in output, output


def test_the_pages_test_fails_first_and_passes_when_the_client_is_mended(tmp_path: Path) -> None:
    texts: dict[str, list[str]] = {}
    for name, text in blocks():
        texts.setdefault(name, []).append(text)
    [server], (client, mended) = texts["shop.py"], texts["prices.py"]
    (tmp_path / "shop.py").write_text(server)
    (tmp_path / "prices.py").write_text(client)
    (tmp_path / "test_prices.py").write_text("\n\n".join(texts["test_prices.py"]))
    output = run_pytest(tmp_path)
    assert "1 failed, 1 passed" in output
    shown = [line for line in failure() if line != "..." and "pcap: " not in line]
    assert len(shown) > 10
    found = [_SOMEHOW.sub("", line) for line in output.splitlines()]
    assert [line for line in shown if _SOMEHOW.sub("", line) not in found] == []
    (tmp_path / "prices.py").write_text(mended)
    # Each with its own seed first
    assert "20 passed" in run_pytest(tmp_path, "--pystack-seeds", "10")


def run_example(name: str) -> list[str]:
    """Run an example to its end and return its lines."""
    path = ROOT / "examples" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_retry_httpx_orders_twice_without_a_key_and_once_with_it() -> None:
    lines = run_example("retry_httpx")
    assert [line for line in lines if "the shop has" in line] == [
        "  the shop has 2 in its book",
        "  the shop has 1 in its book",
    ]
    assert lines[1] == "  1.08 s: ReadTimeout, trying again"


def test_slow_loris_is_ended_by_a_limit_on_the_head() -> None:
    assert run_example("slow_loris") == [
        "inf s for a head: the honest client got 'nothing' after 31.08 s",
        "10 s for a head: the honest client got 'hello\\n' after 10.12 s",
    ]


def test_websocket_train_loses_no_message_in_two_tunnels() -> None:
    lines = run_example("websocket_train")
    heard = [line.partition(": ")[2] for line in lines if "heard" in line]
    assert heard == [f"heard message {number}" for number in range(1, 13)]
    late = next(line for line in lines if line.endswith(" 5"))
    assert 13 < float(late.split()[0]) < 15
    gone = [float(line.split()[0]) for line in lines if "nobody there" in line]
    assert gone
    assert all(40 < at < 80 for at in gone)


@pytest.mark.parametrize("name", ["retry_httpx", "slow_loris", "websocket_train"])
def test_an_example_is_short(name: str) -> None:
    assert len((ROOT / "examples" / f"{name}.py").read_text("utf-8").splitlines()) < 60
