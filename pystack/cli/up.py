"""The command `pystack up`: a host on a TAP device."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

import trio
import typer

from pystack.apps.service import BUILT_IN, Placement, ServiceOptions, parse_serve, place_services
from pystack.apps.up import Ready, up
from pystack.apps.words import check_use, read_words
from pystack.cli.observe import Observe, checked
from pystack.cli.output import JsonFormatter, Log
from pystack.cli.words import NETEM, SERVICES, Words, takes
from pystack.core.addresses import format_ip4
from pystack.core.errors import DeviceError
from pystack.core.rng import component_rng
from pystack.link.words import as_words
from pystack.runtime.device.privileges import give_up, is_the_machines_root, whom_to_be
from pystack.runtime.device.tap_host import (
    DEFAULT_ADDRESS,
    DEFAULT_MAC,
    TapHostConfig,
)

_log: Final = logging.getLogger("pystack.up")

_Address = Annotated[str, typer.Option(help="The stack's address.")]
_HostAddress = Annotated[
    str,
    typer.Option(
        help="The kernel's end of the link; 'auto' is the first free one of the stack's network, "
        "'none' leaves it without."
    ),
]
_Gateway = Annotated[
    str | None, typer.Option(metavar="IP", help="Router for everything that is not on the link.")
]
_MacAddress = Annotated[str, typer.Option(help="The stack's station address.")]
_Mtu = Annotated[int, typer.Option(min=68, max=65521, metavar="BYTES", help="Largest IP packet.")]
_Serve = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:PORT]",
        help=f"Service to offer, http if none is named: {', '.join(BUILT_IN)}, one that a plug-in "
        "adds, or all. May be repeated.",
    ),
]
_Json = Annotated[
    bool, typer.Option("--json", help="Say that all is ready, and log, in lines of JSON.")
]
_Pcap = Annotated[
    str | None, typer.Option(metavar="FILE", help="Capture all frames, for Wireshark.")
]
_Seed = Annotated[
    int | None, typer.Option(help="Of all that is left to chance; else nobody knows it.")
]
_Offload = Annotated[
    bool, typer.Option("--offload/--no-offload", help="Let the kernel cut and sum segments.")
]
_Congestion = Annotated[
    str,
    typer.Option(metavar="NAME", help="Congestion control: cubic, newreno, bbr, dctcp, fixed:N."),
]
_User = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Who to be once the device is open; else, with sudo, who called that.",
    ),
]
_Port = Annotated[
    str | None,
    typer.Option(
        metavar="'NAME WORDS'",
        help="Be on another port than the TAP device IFNAME: one that a plug-in adds.",
    ),
]
_Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Show events; -vv: every packet too.")
]


@takes(words=NETEM, service_words=SERVICES)
def up_command(
    interface: Annotated[
        str, typer.Argument(metavar="IFNAME", help="TAP device to make or take over.")
    ],
    *,
    address: _Address = DEFAULT_ADDRESS,
    host_address: _HostAddress = "auto",
    gateway: _Gateway = None,
    mac: _MacAddress = DEFAULT_MAC,
    mtu: _Mtu = 1500,
    serve: _Serve = None,
    json: _Json = False,
    pcap: _Pcap = None,
    seed: _Seed = None,
    offload: _Offload = True,
    congestion: _Congestion = "cubic",
    user: _User = None,
    verbose: _Verbose = 0,
    observe: Observe = None,
    port: _Port = None,
    words: Words,
    service_words: Words,
) -> None:
    """Be a host on a TAP device, until SIGINT, SIGTERM or SIGHUP."""
    config = TapHostConfig.parse(
        interface,
        address=address,
        host_address=None if host_address == "none" else host_address,
        gateway=gateway,
        mac=mac,
        mtu_bytes=mtu,
        seed=seed,
        pcap=pcap,
        offload=offload,
        congestion=congestion,
        verbosity=verbose,
        json=json,
        observe=checked(observe),
        port=port,
        words=as_words(words),
    )
    placements = _placements(serve, service_words, config)
    root = service_words.get("root")
    _run(config, placements, user, root if isinstance(root, Path) else None)


def _giving_up_root(user: str | None, root: Path | None) -> Callable[[], None]:
    """Return what gives root up when the device is open. Raises ConfigError."""
    account = whom_to_be(user, os.environ)

    def when_open() -> None:
        give_up(account)
        if root is not None and not os.access(root, os.R_OK | os.X_OK):
            name = "root without capabilities" if account is None else account.name
            raise DeviceError(f"{name} may not read the directory {root}")

    return when_open


def _placements(
    serve: Sequence[str] | None, words: Words, config: TapHostConfig
) -> list[Placement]:
    asked = [*(serve or ())]
    if "app" in words:
        asked.append("asgi")
    asked = asked or ["http"]
    names = [parse_serve(text)[0] for text in asked]
    check_use(words, names, lambda word: SERVICES[word].spelling(word))
    options = ServiceOptions(
        rng=component_rng(config.seed, "services"),
        addresses=(format_ip4(config.address[0]),),
    )
    return place_services(asked, read_words(words, options))


def _run(
    config: TapHostConfig,
    placements: Sequence[Placement],
    user: str | None,
    root: Path | None,
) -> None:
    when_open = _giving_up_root(user, root)

    def on_ready(ready: Ready) -> None:
        print(ready.json() if config.json else ready.text(), flush=True)
        if user is None and is_the_machines_root():
            _log.warning("running as root, without capabilities; --user NAME lets it be another")

    level = logging.INFO if config.verbosity else logging.WARNING
    log = Log()
    log.setFormatter(JsonFormatter() if config.json else logging.Formatter("%(message)s"))
    logging.basicConfig(handlers=[log], level=level)
    trio.run(up, config, placements, on_ready, when_open)
    if log.is_broken:
        raise BrokenPipeError
