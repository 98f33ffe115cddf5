"""Wireshark's word on a capture, by tshark and capinfos."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest


def need(program: str = "tshark") -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: nobody to read beside us")
    return found


def tshark(path: Path, *words: str) -> list[str]:
    """Return what tshark says of a file; a complaint about the file fails the test."""
    argv = [need(), "-n", "-r", str(path), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    said = [line for line in done.stderr.splitlines() if "Running as user" not in line]
    assert (done.returncode, said) == (0, []), done.stderr
    return done.stdout.splitlines()


def fields(path: Path, *names: str, where: str = "frame") -> list[list[str]]:
    """Return fields of the frames that a filter holds for."""
    wanted = [word for name in names for word in ("-e", name)]
    return [line.split("\t") for line in tshark(path, "-Y", where, "-T", "fields", *wanted)]


def experts(path: Path, above: str = "note") -> Counter[str]:
    """Return what the experts say, from a severity on, and how often."""
    said: Counter[str] = Counter()
    for line in tshark(path, "-q", "-z", f"expert,{above}"):
        found = re.match(r"\s+(\d+)\s+\S+\s+\S+\s+(.+)$", line)
        if found and "the connection closing" not in line:  # a note on each FIN
            said[found[2]] += int(found[1])
    return said


def infos(path: Path) -> str:
    """Return what capinfos says."""
    argv = [need("capinfos"), str(path)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
