"""What is measured: pystack, the kernel, and bare loops, each with offload and without.

Each server is started when it is first asked for and stays until the end: a row is measured for all
columns one right after the other, for the machine's mood changes from minute to minute.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmark import ports, spaces

SERVER: Final = 0  # the processor of whoever is measured
CLIENT: Final = 1  # and that of the load

COLUMNS: Final = (
    "pystack",
    "pystack, no offload",
    "bare loop",
    "bare loop, no offload",
    "kernel",
    "kernel, no offload",
)
PYSTACK: Final = COLUMNS[:2]
BARE: Final = COLUMNS[2:4]
KERNEL: Final = COLUMNS[4:]
CAPTURED: Final = "captured"  # a server that writes all frames to files
TLS: Final = "tls"  # what is bare beside a service with TLS: Python's ssl over the loopback


@dataclass(frozen=True, slots=True)
class Subject:
    """One server, ready for clients."""

    number: int
    program: spaces.Program

    @property
    def address(self) -> str:
        """Return where it is."""
        return ports.far(self.number).partition("/")[0]

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.program.pid

    def busy_ns(self) -> int:
        """Return for how long its main thread has had a processor."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0])


class Subjects:
    """All servers that run."""

    def __init__(self, until: ExitStack) -> None:
        self._until = until
        self._known: dict[tuple[str, str], Subject] = {}
        self._count = 0

    def get(self, column: str, bare: str = "", *, captured: bool = False) -> Subject:
        """Return the server of a column; for bare loops, the one that does `bare`.

        `captured`: of pystack, one that writes all frames to a ring of files.
        """
        key = column, CAPTURED if captured else bare if column in BARE else ""
        known = self._known.get(key)
        if known is not None and known.program.process.poll() is None:
            return known
        self._known[key] = self.fresh(column, key[1], self._until)
        return self._known[key]

    def fresh(self, column: str, bare: str, until: ExitStack) -> Subject:
        """Start one that nobody else gets."""
        number, self._count = self._count, self._count + 1
        offload = not column.endswith("no offload")
        word = "offload" if offload else "no-offload"
        if column in KERNEL:
            argv = spaces.module("kernel_server")
        elif column in BARE and bare == TLS:
            argv = spaces.module("tls_server", number)
        elif column in BARE:
            argv = spaces.module("bare", bare, number, word)
        else:
            argv = spaces.module("pystack_server", number, word, *[bare] * (bare == CAPTURED))
        running = until.enter_context(
            spaces.program(argv, SERVER, unshare=column in KERNEL, kill=column in BARE)
        )
        running.line()
        subject = Subject(number, running)
        if column in KERNEL:
            spaces.join(number, running.pid, offload=offload)
        elif column in BARE and bare != TLS:
            # Bare loops know nothing of ARP.
            interface, mac = ports.interface(number), ports.MAC
            spaces.ip("neigh", "replace", subject.address, "lladdr", mac, "dev", interface)
        return subject


def load_argv(
    mode: str, subject: Subject, port: int, connections: int, seconds: float, module: str = "load"
) -> list[str]:
    """Return the command that runs a client."""
    return spaces.module(module, mode, subject.address, port, connections, seconds, subject.pid)


def load(
    mode: str, subject: Subject, port: int, connections: int, seconds: float, module: str = "load"
) -> dict[str, float]:
    """Run a client to its end."""
    argv = load_argv(mode, subject, port, connections, seconds, module)
    with spaces.program(argv, CLIENT) as running:
        return running.result()
