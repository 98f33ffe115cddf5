"""The command `pystack up`: a host on a TAP device."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import trio
import typer

from pystack.apps.service import Placement, ServiceOptions, may_use_root, place_services
from pystack.apps.up import up
from pystack.cli.observe import Observe, checked
from pystack.cli.output import Log
from pystack.core.errors import ConfigError, DeviceError
from pystack.core.rng import component_rng
from pystack.runtime.privileges import give_up, is_the_machines_root, whom_to_be
from pystack.runtime.tap_host import (
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
        help="Service to offer: http (the default), iperf3, echo, discard, chargen, daytime, "
        "time, or one that a plug-in adds. May be repeated.",
    ),
]
_Root = Annotated[Path | None, typer.Option(metavar="DIR", help="Directory that http serves.")]
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
# tc-netem(8)'s words, each for both directions: 50 ms of delay make 100 ms of round trip
_Count = Annotated[int | None, typer.Option(metavar="PACKETS", help="As netem's; each way.")]


def _words(example: str) -> Any:  # noqa: ANN401 - as typer.Option is
    return typer.Option(metavar="WORDS", help=f"As netem's, such as {example}; each way.")


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
    root: _Root = None,
    pcap: _Pcap = None,
    seed: _Seed = None,
    offload: _Offload = True,
    congestion: _Congestion = "cubic",
    user: _User = None,
    verbose: _Verbose = 0,
    observe: Observe = None,
    port: _Port = None,
    delay: Annotated[str | None, _words("50ms")] = None,
    jitter: Annotated[str | None, _words("5ms")] = None,
    distribution: Annotated[str | None, _words("normal")] = None,
    loss: Annotated[str | None, _words("1%")] = None,
    duplicate: Annotated[str | None, _words("1%")] = None,
    corrupt: Annotated[str | None, _words("0.1%")] = None,
    reorder: Annotated[str | None, _words("25%")] = None,
    gap: _Count = None,
    rate: Annotated[str | None, _words("10mbit")] = None,
    limit: _Count = None,
    qdisc: Annotated[str | None, _words("fq_codel")] = None,
) -> None:
    """Be a host on a TAP device, until SIGINT, SIGTERM or SIGHUP."""
    text = {"delay": delay, "jitter": jitter, "distribution": distribution, "loss": loss}
    text |= {"duplicate": duplicate, "corrupt": corrupt, "reorder": reorder, "rate": rate}
    words = {**text, "gap": gap, "limit": limit, "qdisc": qdisc}
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
        observe=checked(observe),
        port=port,
        words={word: value for word, value in words.items() if value is not None},
    )
    placements = _placements(serve or ["http"], root, config.seed)
    _run(config, placements, verbose, user, root)


def _giving_up_root(user: str | None, root: Path | None) -> Callable[[], None]:
    """Return what gives root up when the device is open. Raises ConfigError."""
    account = whom_to_be(user, os.environ)

    def when_open() -> None:
        give_up(account)
        if root is not None and not os.access(root, os.R_OK | os.X_OK):
            name = "root without capabilities" if account is None else account.name
            raise DeviceError(f"{name} may not read the directory {root}")

    return when_open


def _placements(serve: Sequence[str], root: Path | None, seed: int) -> list[Placement]:
    if root is not None and not any(map(may_use_root, serve)):
        raise ConfigError(f"--root {root} is for http, which is not served: add --serve http")
    return place_services(serve, ServiceOptions(root=root, rng=component_rng(seed, "services")))


def _run(
    config: TapHostConfig,
    placements: Sequence[Placement],
    verbose: int,
    user: str | None,
    root: Path | None,
) -> None:
    when_open = _giving_up_root(user, root)

    def on_ready(line: str) -> None:
        print(line, flush=True)
        if user is None and is_the_machines_root():
            _log.warning("running as root, without capabilities; --user NAME lets it be another")

    level = logging.INFO if verbose else logging.WARNING
    log = Log()
    logging.basicConfig(handlers=[log], level=level, format="%(message)s")
    trio.run(up, config, placements, on_ready, when_open)
    if log.is_broken:
        raise BrokenPipeError
