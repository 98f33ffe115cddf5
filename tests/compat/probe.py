"""What a probe is, and how it is run: a program of a library, on a host, in a world of its own.

In that world "client" is on a switch by a line of 20 ms, and the hosts that the probe asks for are
on the same switch. The program connects, asks and checks the answer. Four seconds after the start
of the world the client's line goes dead, without a word to anybody; what the program does then it
does within `fails`, which notes the error and how long it took, in the world's time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import KW_ONLY, dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import trio
from servers.certificates import authority_file

import pystack
from pystack.runtime.current import current_host

DELAY: Final = "20ms"
DEAD_AT_S: Final = 4.0
# What a program sleeps between its answer and its failure: less than pools keep a connection
OUTAGE_S: Final = 4.5
LIMIT_S: Final = 900.0  # of the world's time, for all of it

Serve = Callable[[pystack.Host], Awaitable[None]]


class Way(Enum):
    """How a program is started on a host."""

    TRIO = "host.run"
    ASYNCIO = "host.run_asyncio"
    BLOCKING = "host.run_sync"


@dataclass(frozen=True, slots=True)
class Probe:
    """One library, used in one way."""

    library: str  # as it is written in prose
    distribution: str  # pip's name for it; empty: the standard library
    way: Way
    program: Callable[[], object]  # asynchronous, except for `Way.BLOCKING`
    hosts: Mapping[str, Serve]
    peer: str  # who answers, for the page
    _: KW_ONLY
    needs: tuple[str, ...] = ()  # further distributions
    trust: str = ""  # the environment variable that names whom it trusts with TLS; empty: none
    takes: str = ""  # what a user has to do that is not done on a real network; empty: nothing
    refused: str = ""  # a regular expression for what it is refused with; empty: it works

    @property
    def name(self) -> str:
        """The name of its test."""
        return f"{self.library}-{self.way.name.lower()}".replace(" ", "_")

    def remark(self) -> str:
        """Return what it takes, for the page."""
        trust = f"`{self.trust}` names the authority" if self.trust else ""
        return "; ".join(filter(None, (trust, self.takes)))

    def missing(self) -> list[str]:
        """Return which distributions are not here."""
        return [name for name in (self.distribution, *self.needs) if name and not _is_here(name)]

    def version(self) -> str:
        """Return that of the library; empty: it is the standard library's."""
        return version(self.distribution) if self.distribution else ""


def _is_here(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of a probe found, in the page's words."""

    verdict: str
    failure: str = ""


_noted: ContextVar[list[str]] = ContextVar("_noted")


def world_s() -> float:
    """Return the world's time, whichever way this program runs."""
    host = current_host.get()
    assert host is not None
    return host.now()


@contextmanager
def fails(*expected: type[BaseException]) -> Iterator[None]:
    """Note which of the errors came, and after how long. AssertionError where none did."""
    began = world_s()
    try:
        yield
    except expected as error:
        _noted.get().append(f"`{type(error).__name__}` after {world_s() - began:.1f} s")
    else:
        raise AssertionError("it went on working without a line")


async def run(probe: Probe, seed: int = 1) -> list[str]:
    """Run a probe in a world of its own; return what `fails` noted. To be awaited in `pystack.run`.

    Raises what the program does.
    """
    noted: list[str] = []
    _noted.set(noted)
    async with pystack.Network(seed=seed, seal=True) as net:
        net.switch("switch")
        client = net.host("client")
        line = net.link(client, "switch", delay=DELAY)
        for name in probe.hosts:
            net.link(net.host(name), "switch")
        for name, serve in probe.hosts.items():
            await serve(net.hosts[name])
        net.at(DEAD_AT_S, line.down)
        with trio.fail_after(LIMIT_S):
            await _start(client, probe)
    return noted


async def _start(client: pystack.Host, probe: Probe) -> None:
    match probe.way:
        case Way.TRIO:
            await client.run(probe.program)  # type: ignore[arg-type]
        case Way.ASYNCIO:
            await client.run_asyncio(probe.program)
        case Way.BLOCKING:
            await client.run_sync(probe.program)


def run_alone(probe: Probe) -> list[str]:
    """Run a probe as a program would, in virtual time."""
    if not probe.trust:
        return pystack.run(run, probe)
    before = os.environ.get(probe.trust)
    os.environ[probe.trust] = authority_file()
    try:
        return pystack.run(run, probe)
    finally:
        del os.environ[probe.trust]
        if before is not None:
            os.environ[probe.trust] = before


def attempt(probe: Probe) -> Outcome:
    """Run a probe, and see that it does what it is expected to. Raises what it does if not."""
    if not probe.refused:
        noted = run_alone(probe)
        assert noted, "the probe has no failure"
        return Outcome("works", ", ".join(noted))
    try:
        run_alone(probe)
    except Exception as error:
        said = " ".join(str(error).split()).partition(". ")[0]  # the rest is about the seal
        if not re.search(probe.refused, said):
            raise
        return Outcome(f"refused: {said.removesuffix('.')}")
    raise AssertionError("it was not refused")
