"""The command `pystack exec`."""

import os
import shutil
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from pystack.apps.hosting import serve, start_services
from pystack.apps.quiet import quiet_services
from pystack.cli.words import (
    NETEM,
    PCAP,
    Control,
    ControlSocket,
    Option,
    Words,
    control_path,
    ip_version,
    takes,
)
from pystack.core.errors import ConfigError
from pystack.runtime.lab.around import CLIENT, SERVER, Line, beside_server
from pystack.runtime.lab.command import run_command
from pystack.runtime.lab.foreground import end_as
from pystack.runtime.lab.lab import LabOptions
from pystack.runtime.network import Network

_SERVICES: Final = ("http", "https", "echo", "smtp", "dns")
EXEC: Final[Mapping[str, Option]] = {
    "preset": Option(str, "Take this kind of line: dsl, cable, lte, satellite-geo ...", "NAME"),
    "serve": Option(list[str], "Service of the server. May be repeated.", "NAME[:PORT]"),
    "mtu_bytes": Option(int, "The largest IP packet on the line.", "BYTES", "--mtu"),
    "ipv4": Option(bool, "Have IPv4 only.", short="-4"),
    "ipv6": Option(bool, "Have IPv6 only.", short="-6"),
    "seed": Option(int, "Seed of all that is left to chance.", "N"),
    "as_root": Option(bool, "Let the command be root in its namespace, and nowhere else."),
    **PCAP,
}


@takes(asked=EXEC, words=NETEM)
def exec_command(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND...", help="The command.")
    ] = None,
    *,
    control: Control = False,
    control_socket: ControlSocket = None,
    asked: Words,
    words: Words,
) -> int:
    """Run a program whose whole network is ours, without root.

    Exit status: the command's; 127 if there is no such program.
    """
    given: dict[str, Any] = dict(asked)
    if not command:
        raise ConfigError("say which command: pystack exec --delay 50ms -- curl http://server/")
    if os.sep not in command[0] and shutil.which(command[0]) is None:
        _say(f"there is no program {command[0]!r} (is it installed?)")
        return 127
    line = Line(words=words, **{k: given[k] for k in ("preset", "mtu_bytes") if k in given})
    spec = beside_server(
        line,
        version=ip_version(ipv4="ipv4" in given, ipv6="ipv6" in given),
        seed=given.get("seed"),
        as_root="as_root" in given,
    )
    services = tuple(given.get("serve", _SERVICES))
    options = LabOptions(
        **{word: given[word] for word in PCAP if word in given},
        control=control_path(control, control_socket),
    )

    async def prepare(net: Network) -> None:
        host = net.hosts[SERVER]
        await serve(host, *services)
        where = ", ".join(host.addresses)
        _say(f"the command's network is the host {SERVER} ({where}): {', '.join(services)}")

    with quiet_services():
        status = run_command(
            spec, options, CLIENT, command, serve=start_services, prepare=prepare, on_line=_say
        )
    return end_as(status)


def _say(line: str) -> None:
    print(f"pystack: {line}", file=sys.stderr, flush=True)
