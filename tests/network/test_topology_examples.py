"""The examples about topologies print what their docstrings promise."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


def run(name: str) -> list[str]:
    command = [sys.executable, str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_traceroute_shows_four_routers_and_then_the_cut() -> None:
    assert run("traceroute.py") == [
        " 1  10.0.0.2          4.0 ms",
        " 2  10.0.1.2         14.0 ms",
        " 3  10.0.2.2         54.0 ms",
        " 4  10.0.3.2         64.0 ms",
        " 5  10.0.4.1         66.0 ms",
        "The link between r2 and r3 is cut:",
        " 1  10.0.0.2          4.0 ms",
        " 2  10.0.1.2         14.0 ms",
        " 3  *",
        " 4  *",
        " 5  *",
        " 6  *",
    ]


def test_retry_logic_buys_twice_over_a_partition_and_once_with_a_key() -> None:
    naive, mended = run("partition_retry.py")
    assert naive.endswith("2 sold")
    assert mended.endswith("1 sold")
