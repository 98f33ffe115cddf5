"""The same seed gives the same run to the byte, in every process."""

import os
import subprocess
import sys
from pathlib import Path

SCENARIO = Path(__file__).with_name("scenario.py")


def digests(seed: int, hash_seed: str, directory: Path) -> list[str]:
    """Run the scenario in a process of its own; return the digests of its capture and its log."""
    path = directory / f"{seed}-{hash_seed}.pcap"
    finished = subprocess.run(
        [sys.executable, str(SCENARIO), str(seed), str(path)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()


def test_two_processes_make_the_same_capture_and_the_same_log(tmp_path: Path) -> None:
    first = digests(7, "1", tmp_path)
    assert len(first) == 2
    assert digests(7, "4242", tmp_path) == first


def test_another_seed_makes_another_run(tmp_path: Path) -> None:
    first, second = digests(7, "0", tmp_path), digests(8, "0", tmp_path)
    assert first[0] != second[0]
    assert first[1] != second[1]
