"""scripts/bench from end to end, on a few rows and for a short while."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from netns import TIMEOUT_S, NetworkNamespace

pytestmark = pytest.mark.kernel

SCRIPTS: Final = Path(__file__).resolve().parent.parent.parent / "scripts"


def bench(netns: NetworkNamespace, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run the bench inside."""
    argv = ["env", f"PYTHONPATH={SCRIPTS}", sys.executable, "-m", "benchmark", *words]
    return netns.run(argv, timeout_s=2 * TIMEOUT_S)


def test_a_row_has_every_column_and_ratios_come_first(
    netns: NetworkNamespace, tmp_path: Path
) -> None:
    file = tmp_path / "bench.json"
    # In 0.1 s, a busy machine may let no byte through: that is a failure of the bench, rightly.
    said = bench(netns, "--only", "bulk-up,ping", "--seconds", "0.5", "--json", os.fspath(file))
    text = said.stdout.decode()
    assert text.index("of bare") < text.index("figures") < text.index("Mbit/s")
    assert text.index("Mbit/s") < text.index("aim ") < text.index("clients:")
    found: dict[str, Any] = json.loads(file.read_text())
    assert found["failed"] == []
    assert [aim["figure"] for aim in found["aims"]] == [*["bulk-up"] * 3, "ping"]
    assert {"kernel", "python", "pystack", "trio"} <= set(found["machine"])
    for name in ("bulk-up", "ping", "ping-p99"):
        assert len(found["found"][name]) == 6
        assert all(value > 0 for value in found["found"][name].values())


def test_two_runs_can_be_compared(netns: NetworkNamespace, tmp_path: Path) -> None:
    file = os.fspath(tmp_path / "bench.json")
    words = ("--only", "rr-1,events", "--columns", "1", "--seconds", "0.1", "--json", file)
    bench(netns, *words)
    text = bench(netns, *words, "--compare", file).stdout.decode()
    changes = text.partition("since then")[2].splitlines()
    assert [line.split()[0] for line in changes if " x " in line] == ["64", "events"]


def test_a_row_that_does_not_exist_is_named(netns: NetworkNamespace) -> None:
    argv = [
        "env",
        f"PYTHONPATH={SCRIPTS}",
        sys.executable,
        "-m",
        "benchmark",
        "--only",
        "bulk-sideways",
    ]
    said = netns.run(argv, expect=2)
    assert b"no row bulk-sideways" in said.stderr
