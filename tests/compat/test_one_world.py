"""asyncio, blocking code and Trio in one world at 5 % loss: one seed, one run, in each process."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("one_world.py")
NEEDED = ("fastapi", "uvicorn", "httpx", "redis", "requests")
MISSING = [name for name in NEEDED if find_spec(name) is None]


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_one_world_is_the_same_in_three_processes_with_three_hash_seeds() -> None:
    started = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), "-v"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "1", "4242")
    ]
    said = []
    for process in started:
        with process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        said.append(out.splitlines())
    first, *others = said
    assert len(first[0]) == 64  # the digest
    assert len(first) > 17  # and what the clients wrote down
    for other in others:
        assert other == first
