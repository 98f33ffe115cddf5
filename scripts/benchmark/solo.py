"""The rows without a client: memory, idle time, how long it takes to start, and virtual time."""

import re
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmark import ports, spaces, subjects
from benchmark.row import Figure, Measure, Row
from benchmark.subjects import Subject, Subjects

REPEATS: Final = 5
# Everything that the package gives by name; the names alone cost next to nothing.
IMPORTS: Final = {
    "import": "import pystack",
    "import-all": "import pystack; [getattr(pystack, name) for name in pystack.__all__]",
}


def memory(connections: int, port: int) -> Measure:
    """Measure what an idle connection keeps of the server's memory."""

    def measure(all_subjects: Subjects, column: str, _seconds: float) -> dict[str, float]:
        with ExitStack() as until:
            subject = all_subjects.fresh(column, "", until)
            client = subjects.load_argv("hold", subject, port, 10, 0)
            with spaces.program(client, subjects.CLIENT) as running:
                running.line()  # what the first ones need once is not theirs
            before = resident_bytes(subject.pid)
            client = subjects.load_argv("hold", subject, port, connections, 0)
            with spaces.program(client, subjects.CLIENT) as running:
                opened = running.result()
                time.sleep(0.2)
                kept = resident_bytes(subject.pid) - before
            return {"bytes": kept / connections, **opened}

    return measure


def idle(_all_subjects: Subjects, _column: str, seconds: float) -> dict[str, float]:
    """Measure what `pystack up` does while nothing happens."""
    with ExitStack() as until:
        running = until.enter_context(spaces.program(up("tapidle"), subjects.SERVER, kill=True))
        running.line()
        subject = Subject(0, running)
        time.sleep(3.0)  # the last announcement (RFC 5227) was after 2 s
        busy_ns, wakes = subject.busy_ns(), switches(running.pid)
        time.sleep(seconds)
        return {
            "busy": (subject.busy_ns() - busy_ns) / 1e9 / seconds * 100,
            "wakes": (switches(running.pid) - wakes) / seconds,
        }


def importing(code: str) -> Measure:
    """Measure an import in a new process, which the start of Python itself is no part of."""
    text = f"import time; began = time.perf_counter(); {code}; print(time.perf_counter() - began)"

    def measure(_all_subjects: Subjects, _column: str, _seconds: float) -> dict[str, float]:
        argv = [sys.executable, "-c", text]
        took = [float(subprocess.check_output(argv)) for _ in range(REPEATS + 1)]
        return {"ms": statistics.median(took[1:]) * 1e3}

    return measure


def starting(_all_subjects: Subjects, _column: str, _seconds: float) -> dict[str, float]:
    """Measure from the start of the process to the line that says that all is ready."""
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        with spaces.program(up("tapstart"), subjects.SERVER, kill=True) as running:
            running.line()
            took.append(time.perf_counter() - began)
    return {"ms": statistics.median(took) * 1e3}


def up(interface: str) -> list[str]:
    """Return the command with a network that no other server has."""
    addresses = ["--address", "10.79.0.2/24", "--host-address", "10.79.0.1/24"]
    return [sys.executable, "-m", "pystack", "up", interface, *addresses]


def emulated(what: str) -> Measure:
    """Measure one of the emulator's scenarios, in a process of its own."""

    def measure(_all_subjects: Subjects, _column: str, seconds: float) -> dict[str, float]:
        argv = spaces.module("emulated", what, seconds)
        with spaces.program(argv, subjects.SERVER) as running:
            return running.result()

    return measure


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has of its own."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def switches(pid: int) -> int:
    """Return how often a process has gone to sleep by itself."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def row(name: str, title: str, unit: str, measure: Measure, key: str, *, less: bool = True) -> Row:
    """Return a row of pystack alone."""
    return Row(name, ("pystack",), measure, (Figure(name, title, unit, key, 1.0, less),))


def rows() -> list[Row]:
    """Return them in the order of the table."""
    held = "memory per idle connection"
    return [
        *(
            row(f"memory-{n}", f"{held}, {n:,}", "bytes", memory(n, ports.HELD), "bytes")
            for n in (1000, 10000)
        ),
        row("memory-task", f"{held} with a task", "bytes", memory(1000, ports.WAITED), "bytes"),
        Row(
            "idle",
            ("pystack",),
            idle,
            (
                Figure("idle", "processor when idle", "%", "busy", 1.0, True),
                Figure("idle-wakes", "wake-ups when idle", "/s", "wakes", 1.0, True),
            ),
        ),
        *(
            row(
                name,
                code.partition(";")[0] + (", all names" if ";" in code else ""),
                "ms",
                importing(code),
                "ms",
            )
            for name, code in IMPORTS.items()
        ),
        row("start", "pystack up to its line `ready`", "ms", starting, "ms"),
        row("virtual-bulk", "100 MB at 100 Mbit/s, 20 ms", "s", emulated("bulk"), "wall_s"),
        row(
            "virtual-fast", "TCP at 10 Gbit/s, 1 ms", "Mbit/s", emulated("fast"), "mbps", less=False
        ),
        row(
            "virtual-sleeps",
            "sleeps of tasks in virtual time",
            "/s",
            emulated("sleeps"),
            "per_s",
            less=False,
        ),
        row("events", "events of the heap", "/s", emulated("events"), "per_s", less=False),
        row("pipe", "packets through a link", "/s", emulated("pipe"), "per_s", less=False),
        row("pipes", "packets through four links", "/s", emulated("pipes"), "per_s", less=False),
        row("switch", "frames through a switch", "/s", emulated("switch"), "per_s", less=False),
        row("router", "packets through a router", "/s", emulated("router"), "per_s", less=False),
    ]
