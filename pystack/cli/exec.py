"""The command `pystack exec`."""

from __future__ import annotations

import io
import logging
import os
import shutil
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pystack.apps.hosting import check_services, start_services
from pystack.apps.quiet import quiet_services
from pystack.cli import shortage
from pystack.cli.live import live_page
from pystack.cli.output import Lines
from pystack.cli.words import (
    NETEM,
    PCAP,
    Control,
    ControlSocket,
    Observe,
    Option,
    Words,
    checked,
    control_path,
    ip_version,
    takes,
)
from pystack.core.addresses import host_port, parse_ip
from pystack.core.called import typed
from pystack.core.errors import ConfigError, DeviceError
from pystack.runtime.device.limits import raise_open_files
from pystack.runtime.device.privileges import whom_to_be
from pystack.runtime.lab.around import (
    CLIENT,
    GATEWAY,
    SERVER,
    SUBNET6,
    Line,
    beside,
    in_place_of,
    link_of,
)
from pystack.runtime.lab.command import Command, run_command
from pystack.runtime.lab.foreground import end_as
from pystack.runtime.lab.functions import ProgramError
from pystack.runtime.lab.lab import LabOptions
from pystack.runtime.lab.namespaces import Inside, name_files
from pystack.topology.file import load, load_timeline
from pystack.topology.spec import LabSpec, NodeSpec

if TYPE_CHECKING:
    from pystack.runtime.device.privileges import Account
    from pystack.runtime.host import Host
    from pystack.runtime.lab.attach import Namespace
    from pystack.runtime.network import Network

EXEC: Final[Mapping[str, Option]] = {
    "outside": Option(bool, "Let it reach the real network, over the line."),
    "publish": Option(
        list[str],
        "Let a port of this machine lead to one of the command; on loopback unless ADDRESS is "
        "said. May be repeated.",
        "[ADDRESS:]PORT:PORT[/udp]",
        short="-p",
    ),
    "reach_loopback": Option(
        str,
        "With --outside: let it reach this machine's loopback, at this address inside; default: "
        "10.77.0.254 and fd77::fe.",
        "[ADDRESS]",
    ),
    "resolvers": Option(
        list[str],
        "With --outside: name server to ask; default: those of /etc/resolv.conf. May be repeated.",
        "ADDRESS",
        "--resolver",
    ),
    "lab": Option(Path, "Let it be a node of this lab, whose services are started.", "FILE"),
    "as_": Option(str, "That node: a host or a namespace; default: 'client'.", "NODE", "--as"),
    "serve": Option(list[str], "Service of the server. May be repeated.", "NAME[:PORT]"),
    "preset": Option(str, "Take this kind of line: dsl, cable, lte, satellite-geo ...", "NAME"),
    "mtu_bytes": Option(int, "The largest IP packet on the line.", "BYTES", "--mtu"),
    "timeline": Option(Path, "Change the line as it says, while the command runs.", "FILE"),
    "ipv4": Option(bool, "Have IPv4 only.", short="-4"),
    "ipv6": Option(bool, "Have IPv6 only.", short="-6"),
    "seed": Option(int, "Seed of all that is left to chance.", "N"),
    "as_root": Option(bool, "Let the command be root in its namespace, and nowhere else."),
    "user": Option(str, "As root: the user that the command is to be.", "NAME"),
    "own_files": Option(bool, "Let it see the machine's /etc/hosts and /etc/resolv.conf."),
    "web": Option(
        str,
        "Show what happens on a page of this machine, at 127.0.0.1:8077 or the loopback address "
        "or port that is given.",
        "[ADDRESS]",
    ),
    "quiet": Option(bool, "Say nothing but errors.", short="-q"),
    **PCAP,
}
_SERVICES: Final = ("http", "https", "echo", "smtp", "dns")
_LOCAL_NAMES: Final = ("127.0.0.1 localhost", "::1 localhost")
# Which are not for every network
_NOT_IN_A_LAB: Final = (
    *("outside", "reach_loopback", "resolvers", "serve"),
    *("preset", "mtu_bytes", "ipv4", "ipv6"),
)
_OUTSIDE_ONLY: Final = ("reach_loopback", "resolvers")
_FAILED: Final = 125  # as env(1), timeout(1) and docker have it: the fault is not the command's
_MOST_HELD: Final = 1000  # lines, while a command has the terminal


@takes(asked=EXEC, words=NETEM)
def exec_command(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND...", help="The command.")
    ] = None,
    *,
    asked: Words,
    observe: Observe = None,
    control: Control = False,
    control_socket: ControlSocket = None,
    words: Words,
) -> int:
    """Run a program whose whole network is ours, without root.

    It runs as you, in your directory, on your terminal; its network is a line, with these words of
    tc-netem(8), to a server of ours, to the real network, or to the nodes of a lab. Exit status:
    the command's; 125 where there can be no such network, 127 if there is no such program.

    \b
    pystack exec --delay 50ms --loss 1% -- curl http://server/
    pystack exec --outside --preset lte -- npm test
    pystack exec --outside -p 8080:3000 --delay 200ms -- npm start
    pystack exec --lab office.toml --as laptop -- bash
    """
    given: dict[str, Any] = dict(asked)
    if not command:
        raise ConfigError(f"say which command: {typed('exec --delay 50ms -- curl http://server/')}")
    _check(given, words)
    if sys.platform != "linux":
        print(
            "pystack: namespaces are Linux's: there are none on this platform "
            f"({sys.platform}), where {typed('proxy')} stands in front of a server",
            file=sys.stderr,
        )
        return _FAILED
    status = _missing(command[0])
    if status is not None:
        return status
    around = _around(given, words)
    sayings = _Sayings(is_quiet="quiet" in given)
    options = LabOptions(
        seed=given.get("seed"),
        **{word: given[word] for word in PCAP if word in given},
        observe=checked(observe),
        beside=None if "web" not in given else live_page(given["web"], command[0]),
        control=control_path(control, control_socket),
        beside_guest=True,
        on_failure=lambda error: sayings.say(f"{error}: {error.__cause__}"),
    )
    account = whom_to_be(given["user"], {}) if "user" in given else None
    try:
        status = _run(command, around, options, account, sayings)
    except (DeviceError, ProgramError) as error:
        print(f"pystack: {error}", file=sys.stderr)
        return _FAILED
    except Exception as error:
        if (short := shortage.sentence(error)) is None:
            raise
        print(f"pystack: {short}", file=sys.stderr)
        return _FAILED
    return end_as(status)


@dataclass(frozen=True, slots=True)
class _Around:
    """The network of a command, and what is done in it before that begins."""

    spec: LabSpec
    node: str  # the command's
    # Returns what there is to be said of it, in lines
    prepare: Callable[[Network, Namespace], Awaitable[list[str]]]


def _run(
    command: Sequence[str],
    around: _Around,
    options: LabOptions,
    account: Account | None,
    sayings: _Sayings,
) -> int:
    async def prepare(net: Network, namespace: Namespace) -> None:
        for line in await around.prepare(net, namespace):
            sayings.say(line)

    files = raise_open_files()
    log = logging.StreamHandler(sayings)
    logging.basicConfig(handlers=[log], format="pystack: %(message)s", level=logging.WARNING)
    with quiet_services(), sayings:
        return run_command(
            Command(
                words=command,
                node=around.node,
                files=files,
                account=account,
                prepare=prepare,
                on_begin=sayings.hold,
                on_end=sayings.let_go,
            ),
            around.spec,
            options,
            start_services,
            sayings.say,
        )


def _around(given: Mapping[str, Any], words: Words) -> _Around:
    if "lab" in given:
        around = _in_lab(given)
    elif "outside" in given:
        around = _with_the_real_network(given, _line(given, words))
    else:
        around = _beside_a_server(given, _line(given, words))
    if "timeline" in given:
        link = link_of(around.spec, around.node)
        events = load_timeline(given["timeline"], around.spec, link)
        spec = replace(around.spec, timeline=(*around.spec.timeline, *events))
        around = replace(around, spec=spec)
    return around


def _line(given: Mapping[str, Any], words: Words) -> Line:
    own = {word: given[word] for word in ("preset", "mtu_bytes") if word in given}
    version = ip_version(ipv4="ipv4" in given, ipv6="ipv6" in given)
    return Line(words=words, version=version, **own)


def _beside_a_server(given: Mapping[str, Any], line: Line) -> _Around:
    services = tuple(given.get("serve", ())) or _those_that_are_there(_SERVICES)
    check_services(services, Path())
    inside = Inside(as_root="as_root" in given)
    if find_spec("dns") is None:  # nobody can be asked for the one name that there is
        names = [f"{address} {SERVER}" for address in line.gateways()]
        hosts = "\n".join([*_LOCAL_NAMES, *names, ""])
        inside = replace(inside, files=name_files("", hosts))
    client = _client(given, inside)

    async def prepare(net: Network, namespace: Namespace) -> list[str]:
        server = net.hosts[SERVER]
        await namespace.introduce(server)
        where = ", ".join(each for each in server.addresses if "%" not in each)
        said = (
            f"the network is one host, {SERVER} ({where}), with {', '.join(services)}; "
            "--outside is the real one, --lab FILE one of yours"
        )
        return [said, *await _published(net, server, namespace, given)]

    server = NodeSpec(name=SERVER, kind="host", serve=services, line=0)
    spec = beside(server, line, client, given.get("seed"))
    return _Around(spec, CLIENT, prepare)


def _with_the_real_network(given: Mapping[str, Any], line: Line) -> _Around:
    from pystack.runtime.outside import address_order
    from pystack.runtime.outside.resolv_conf import Watched
    from pystack.runtime.outside.resolv_conf import given as asked_of

    resolvers = given.get("resolvers")
    conf = Watched().now() if resolvers is None else asked_of(resolvers)
    # The machine's /etc/hosts is part of what it knows of the real network: it stays.
    files = name_files(conf.text_for([parse_ip(text) for text in line.gateways()]), None)
    files |= address_order.files(SUBNET6)
    inside = Inside(as_root="as_root" in given, hostname=socket.gethostname(), files=files)
    client = _client(given, inside)
    words: dict[str, Any] = {"resolvers": resolvers}
    if "reach_loopback" in given:
        text = given["reach_loopback"]
        words["reach_loopback"] = text.split(",") if text else True

    async def prepare(net: Network, namespace: Namespace) -> list[str]:
        gateway = net.hosts[GATEWAY]
        await namespace.introduce(gateway)
        await net.outside(gateway, **words)
        return await _published(net, gateway, namespace, given)

    spec = beside(NodeSpec(name=GATEWAY, kind="router", line=0), line, client, given.get("seed"))
    return _Around(spec, CLIENT, prepare)


def _in_lab(given: Mapping[str, Any]) -> _Around:
    client = _client(given, Inside(as_root="as_root" in given))
    spec, node = in_place_of(load(given["lab"]), given.get("as_"), client)

    far = link_of(spec, node)[1]

    async def prepare(net: Network, namespace: Namespace) -> list[str]:
        # A switch cannot be a client: then whoever is there first is the one inside.
        host = net.hosts.get(far) or next(iter(net.hosts.values()), None)
        if host is not None:
            return await _published(net, host, namespace, given)
        if "publish" in given:
            raise ConfigError(f"-p takes a host or a router to pass on, and {spec.path} has none")
        return []

    return _Around(spec, node, prepare)


async def _published(
    net: Network, host: Host, namespace: Namespace, given: Mapping[str, Any]
) -> list[str]:
    """Let ports of the machine lead to the command, by a host that reaches it; say which."""
    if "publish" not in given:
        return []
    specs = await net.publish(host, given["publish"], to=namespace)
    return [
        f"{host_port(spec.address, spec.port)} leads to {spec.protocol} port {spec.inner_port} of "
        "the command"
        for spec in specs
    ]


def _client(given: Mapping[str, Any], inside: Inside) -> dict[str, object]:
    """Return the words of the command's namespace, of those that it does not have yet."""
    words: dict[str, object] = {"offload": True, "inside": inside}
    if "own_files" in given:
        words |= {"dns": False, "inside": replace(inside, files={})}
    elif inside.files is not None:
        words["dns"] = False
    return words


def _check(given: Mapping[str, Any], words: Words) -> None:
    """Raise ConfigError for what does not go together."""
    if "lab" in given:
        for word in (*words, *_NOT_IN_A_LAB):
            if word in words or word in given:
                option = NETEM[word] if word in NETEM else EXEC[word]
                raise ConfigError(f"{option.spelling(word)} is not for a lab, whose file says that")
    elif "as_" in given:
        raise ConfigError("--as goes with --lab: it is a node of the lab")
    if "outside" in given and "serve" in given:
        raise ConfigError("--serve is for the server that is there without --outside")
    if "outside" not in given:
        for word in _OUTSIDE_ONLY:
            if word in given:
                raise ConfigError(f"{EXEC[word].spelling(word)} goes with --outside")


def _missing(name: str) -> int | None:
    """Say that there is no such program, and return the status for it; None: there is one."""
    if os.sep in name:
        if os.path.exists(name):
            return None  # whether it can be run, the kernel says
    elif shutil.which(name) is not None:
        return None
    print(f"pystack: there is no program {name!r} (is it installed?)", file=sys.stderr)
    return 127


def _those_that_are_there(names: Iterable[str]) -> tuple[str, ...]:
    """Return those services whose libraries are installed."""
    found = []
    for name in names:
        with suppress(ConfigError):
            check_services([name], Path())
            found.append(name)
    return tuple(found)


class _Sayings(io.TextIOBase):
    """What we say, on standard error; not in the middle of a command that has the terminal."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._lines = Lines(sys.stderr, ends=False)
        self._is_quiet = is_quiet
        self._is_shared = sys.stderr is not None and sys.stderr.isatty()
        self._held: deque[str] | None = None  # None: what is said is shown at once

    def say(self, line: str) -> None:
        """Say a line."""
        if not self._is_quiet:
            self.write(f"pystack: {line}\n")

    def write(self, text: str) -> int:
        """Write what the log has to say."""
        for line in text.splitlines():
            if self._held is None:
                self._lines.put(line)
            else:
                self._held.append(line)
        return len(text)

    def hold(self) -> None:
        """The command begins."""
        if self._is_shared:
            self._held = deque(maxlen=_MOST_HELD)

    def let_go(self) -> None:
        """It has ended."""
        held, self._held = self._held, None
        for line in held or ():
            self._lines.put(line)

    def __exit__(self, *exc_info: object) -> None:
        self._lines.close()
