"""The command `pystack`.

Wrong words end with one sentence on standard error and status 2, what the machine refuses with one
sentence and status 1. A traceback is a bug.
"""

import logging
import sys
from pathlib import Path
from typing import Annotated, Final

import trio
import typer

from pystack import __version__
from pystack.apps.service import ServiceOptions, place_services
from pystack.apps.up import up
from pystack.cli.lab import lab
from pystack.core.errors import ConfigError, DeviceError
from pystack.core.rng import component_rng
from pystack.runtime.tap_host import (
    DEFAULT_ADDRESS,
    DEFAULT_HOST_ADDRESS,
    DEFAULT_MAC,
    TapHostConfig,
)

app: Final = typer.Typer(
    name="pystack",
    help="A network you control: a TCP/IP host in user space, and whole networks of them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

app.add_typer(lab)


def main() -> None:
    """Run the command and exit."""
    try:
        status = app(standalone_mode=False)
    except (ConfigError, DeviceError) as error:
        _exit(str(error), 2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        _exit("interrupted", 130)
    except Exception as error:
        # typer's own errors of usage; which class that is differs between its versions
        if not hasattr(error, "format_message"):
            raise
        _exit(error.format_message(), 2)
    sys.exit(status if isinstance(status, int) else 0)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pystack {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


_Address = Annotated[str, typer.Option(help="The stack's address.")]
_HostAddress = Annotated[
    str, typer.Option(help="The kernel's end of the link; 'none' leaves it without.")
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
        help="Service to offer: http (the default), echo, discard, chargen, daytime, or one "
        "that a plug-in adds. May be repeated.",
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
    str, typer.Option(metavar="NAME", help="Congestion control: cubic, newreno, fixed.")
]
_Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Show events; -vv: every packet too.")
]


@app.command("up")
def up_command(
    interface: Annotated[
        str, typer.Argument(metavar="IFNAME", help="TAP device to make or take over.")
    ],
    *,
    address: _Address = DEFAULT_ADDRESS,
    host_address: _HostAddress = DEFAULT_HOST_ADDRESS,
    gateway: _Gateway = None,
    mac: _MacAddress = DEFAULT_MAC,
    mtu: _Mtu = 1500,
    serve: _Serve = None,
    root: _Root = None,
    pcap: _Pcap = None,
    seed: _Seed = None,
    offload: _Offload = True,
    congestion: _Congestion = "cubic",
    verbose: _Verbose = 0,
) -> None:
    """Be a host on a TAP device, until SIGINT or SIGTERM."""
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
    )
    options = ServiceOptions(root=root, rng=component_rng(config.seed, "services"))
    placements = place_services(serve or (), options)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO if verbose else logging.WARNING, format="%(message)s"
    )
    trio.run(up, config, placements, _print_now)


def _print_now(line: str) -> None:
    print(line, flush=True)


def _exit(sentence: str, status: int) -> None:
    print(f"pystack: {sentence}", file=sys.stderr)
    sys.exit(status)
