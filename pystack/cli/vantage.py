"""Where a client runs: the options that `get`, `ping` and `dig` share, in one table.

With `--via tap0` on a TAP device, with `--lab FILE` on a host of that lab, and otherwise at one end
of a virtual link whose other end is the server that is asked for.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import trio

from pystack.apps.clients.worlds import (
    DEFAULT_SEED,
    Client,
    LinkWorld,
    Server,
    TapWorld,
    servers_of,
)
from pystack.apps.hosting import start_services
from pystack.apps.quiet import quiet_services
from pystack.apps.service import parse_serve
from pystack.apps.words import check_use
from pystack.cli.words import NETEM, PCAP, SERVICES, TAP, Option, Words, checked, takes
from pystack.core.errors import ConfigError, DeviceError
from pystack.core.extras import need
from pystack.core.suggest import suggest
from pystack.dns.config import ResolverConfig, split_server
from pystack.link.config import PipeConfig
from pystack.link.port import DEFAULT_MTU_BYTES
from pystack.link.words import as_words
from pystack.runtime.device.privileges import give_up, whom_to_be
from pystack.runtime.device.tap_config import TapHostConfig
from pystack.runtime.lab.functions import ProgramError
from pystack.runtime.lab.lab import LabOptions, run_lab
from pystack.runtime.network import Network
from pystack.topology.file import load
from pystack.topology.spec import REAL_KINDS, LabSpec
from pystack.wire.dns_framing import PORT

T = TypeVar("T")


class Way(Enum):
    """Where a client can stand, by what says so."""

    TAP = "--via"
    LAB = "--lab"
    LINK = "a virtual link"


# Clients have ports of their own, those of TCP and UDP.
_TAP: Final = {word: option for word, option in TAP.items() if word != "port"}
PLACE: Final[Mapping[str, Option]] = {
    "via": Option(str, "Run on this TAP device, as `pystack up` does (root).", "IFNAME"),
    "lab": Option(Path, "Run on a host of this lab, whose services are started.", "FILE"),
    "from_": Option(str, "The host to run on; default: 'client', or the first.", "HOST", "--from"),
    "real_time": Option(bool, "Run the lab in real time, not in virtual time."),
    "run_as": Option(
        str, "User to become once the device is open; default: who called sudo.", "NAME"
    ),
    "dns": Option(list[str], "Name server to ask. May be repeated.", "SERVER"),
    "serve": Option(list[str], "Additional service at the other end.", "NAME[:PORT]"),
    **_TAP,
}
# Those that are not for every place
_FOR: Final[Mapping[str, frozenset[Way]]] = {
    **dict.fromkeys((*_TAP, "run_as"), frozenset({Way.TAP})),
    **dict.fromkeys(("seed", *PCAP, "observe"), frozenset(Way)),
    **dict.fromkeys(("from_", "real_time"), frozenset({Way.LAB})),
    **dict.fromkeys(("dns", "mtu_bytes", "congestion", *NETEM), frozenset({Way.TAP, Way.LINK})),
    **dict.fromkeys(("serve", *SERVICES), frozenset({Way.LINK})),
}
_OPTIONS: Final = {**PLACE, **NETEM, **SERVICES}
_SAID: Final = {
    Way.TAP: "a TAP device",
    Way.LAB: "a host of a lab",
    Way.LINK: "a virtual link",
}

standing: Final = takes(place=PLACE, words=NETEM, service_words=SERVICES)


class World(Protocol):
    """A place to stand."""

    def run(self, client: Client[T], on_line: Callable[[str], None]) -> T:
        """Run a client there, to its end."""
        ...


@dataclass(frozen=True, slots=True)
class Vantage:
    """What was said about the place."""

    way: Way
    given: Mapping[str, Any]  # of PLACE
    words: Words  # of netem
    service_words: Words

    @classmethod
    def of(cls, place: Words, words: Words, service_words: Words) -> Vantage:
        """Check that all that was said goes together. Raises ConfigError."""
        if "via" in place and "lab" in place:
            raise ConfigError("--via and --lab are two places: use only one of them")
        way = Way.TAP if "via" in place else Way.LAB if "lab" in place else Way.LINK
        for word in (*place, *words, *service_words):
            ways = _FOR.get(word, frozenset(Way))
            if way not in ways:
                where = " or ".join(other.value for other in Way if other in ways)
                spelling = _OPTIONS[word].spelling(word)
                raise ConfigError(f"{spelling} is for {where}; the client is on {_SAID[way]}")
        return cls(way, place, words, service_words)

    @property
    def is_virtual(self) -> bool:
        """Tell whether time is made up there."""
        return self.way is Way.LINK or (self.way is Way.LAB and "real_time" not in self.given)

    def world(self, servers: Sequence[Server]) -> World:
        """Return the place; `servers` are those to be there if it is made up. ConfigError."""
        match self.way:
            case Way.TAP:
                return TapWorld(
                    config=self._tap_config(), when_open=self._giving_up_root(), dns=self._dns()
                )
            case Way.LAB:
                return self.lab_world()
        # What is wrong with the words is found now, and not when the run has begun.
        PipeConfig.parse(**as_words(self.words))
        more = tuple(self.given.get("serve", ()))
        wanted = [Server(server.name, (*server.services, *more)) for server in servers]
        for name, port in map(split_server, self._dns()):
            wanted.append(Server(name, ("dns" if port == PORT else f"dns:{port}",)))
        names = [parse_serve(text)[0] for server in wanted for text in server.services]
        check_use(self.service_words, names, lambda word: SERVICES[word].spelling(word))
        return LinkWorld(
            servers=servers_of(wanted),
            words=self.words,
            service_words=self.service_words,
            dns=self._dns(),
            mtu_bytes=self.given.get("mtu_bytes", DEFAULT_MTU_BYTES),
            seed=self.given.get("seed", DEFAULT_SEED),
            congestion=self.given.get("congestion"),
            **{word: self.given[word] for word in PCAP if word in self.given},
            observe=checked(self.given.get("observe")),
        )

    def world_and_authority(self, servers: Sequence[Server], ca: Path) -> tuple[World, Path | None]:
        """Return a virtual link, and a file that will hold who signs its servers' certificates.

        `ca`: where to write that, unless another place was said. None: there is no such file, for
        the certificate was given.
        """
        if "cert" in self.service_words:
            return self.world(servers), None
        words = {"ca": ca, **self.service_words}
        return replace(self, service_words=words).world(servers), Path(str(words["ca"]))

    def _dns(self) -> tuple[str, ...]:
        """Return whom to ask for names; nobody: then those of the world are known."""
        asked = tuple(self.given.get("dns", ()))
        if asked:
            need("dns", "--dns")
            ResolverConfig(servers=asked)  # what is wrong with it is found now
        return asked

    def _tap_config(self) -> TapHostConfig:
        given = {word: value for word, value in self.given.items() if word in _TAP}
        return TapHostConfig(self.given["via"], **given, words=as_words(self.words))

    def _giving_up_root(self) -> Callable[[], None]:
        account = whom_to_be(self.given.get("run_as"), os.environ)
        return lambda: give_up(account)

    def lab_world(self) -> LabWorld:
        """Return the place on a lab. Raises ConfigError."""
        spec = load(self.given["lab"])
        options = LabOptions(
            virtual=self.is_virtual,
            seed=self.given.get("seed"),
            **{word: self.given[word] for word in PCAP if word in self.given},
            observe=checked(self.given.get("observe")),
        )
        for node in spec.nodes.values():
            if node.kind in REAL_KINDS and self.is_virtual:
                raise ConfigError(
                    f"{spec.path}:{node.line}: the {node.kind} {node.name} lives in real time: "
                    "say --real-time"
                )
        return LabWorld(spec, options, _host_of(spec, self.given.get("from_")))


@dataclass(frozen=True, slots=True)
class LabWorld:
    """A host of a lab."""

    spec: LabSpec
    options: LabOptions
    host: str

    def run(self, client: Client[T], on_line: Callable[[str], None]) -> T:
        """Run a client there. Raises DeviceError, and what `run_lab` raises; KeyboardInterrupt."""

        async def run(net: Network) -> T:
            host = net.hosts[self.host]
            return await host.run(client, host)

        return self.visit(run, on_line)

    def visit(
        self, visitor: Callable[[Network], Awaitable[T]], on_line: Callable[[str], None]
    ) -> T:
        """Let somebody do something with the whole lab while it runs. Raises as `run`."""
        results: list[T] = []

        async def guest(net: Network) -> None:
            results.append(await visitor(net))

        options = replace(self.options, guest=guest)
        try:
            with quiet_services():
                run_lab(self.spec, options, start_services, on_line)
        except trio.BrokenResourceError:
            raise DeviceError(f"{self.spec.path}: {self.host} has lost its power") from None
        except ProgramError as error:
            # The traceback of the user's own program, which is what there is to be mended.
            traceback.print_exception(error.__cause__)
            raise DeviceError(str(error)) from None
        if not results:  # in real time a signal ends a lab in order
            raise KeyboardInterrupt
        return results[0]


def _host_of(spec: LabSpec, wanted: str | None) -> str:
    hosts = [node.name for node in spec.nodes.values() if node.kind in ("host", "router")]
    if wanted is None:
        if not hosts:
            raise ConfigError(f"{spec.path} has no host that a client could run on")
        return "client" if "client" in hosts else hosts[0]
    if wanted in hosts:
        return wanted
    if wanted in spec.nodes:
        raise ConfigError(f"--from {wanted}: it is a {spec.nodes[wanted].kind}, not a pystack host")
    raise ConfigError(f"--from {wanted}: {spec.path} has no such host{suggest(wanted, hosts)}")


def to_stderr(line: str) -> None:
    """Print what observers say: standard output is for what the client gets."""
    print(line, file=sys.stderr, flush=True)
