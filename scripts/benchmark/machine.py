"""On what a run was made: the machine, the versions, and what the clients are."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

CLIENT: Final = (
    "clients: Python 3 on the kernel's sockets, in a process and on a processor of their own "
    "(benchmark.load); what they can do shows in the column kernel. HTTP: wrk. Ping: ping(8)."
)


def describe() -> dict[str, str]:
    """Return what to know of the machine, by name."""
    return {
        "processor": _processor(),
        "processors": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pystack": _commit(),
        "trio": importlib.metadata.version("trio"),
        "h11": importlib.metadata.version("h11"),
        "wrk": _said("wrk", "--version", r"[\d.]+"),
        "iperf3": _said("iperf3", "--version", r"[\d.]+(?= )"),
        "load": " ".join(Path("/proc/loadavg").read_text().split()[:3]),
    }


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _commit() -> str:
    version = importlib.metadata.version("pystack-net")
    argv = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    if not shutil.which("git"):
        return version
    said = subprocess.run(argv, check=False, capture_output=True, text=True)
    return f"{version} {said.stdout.strip()}".strip()


def _said(program: str, option: str, pattern: str) -> str:
    if not shutil.which(program):
        return "none"
    done = subprocess.run([program, option], check=False, capture_output=True, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[0] if found else "unknown"
