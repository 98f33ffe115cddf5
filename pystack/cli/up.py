"""The command `pystack up`: a host on a TAP device."""

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import trio
import typer

from pystack.apps.service import BUILT_IN, Placement, ServiceOptions, parse_serve, place_services
from pystack.apps.up import Ready, up
from pystack.apps.words import check_use, read_words
from pystack.cli.output import JsonFormatter, Log
from pystack.cli.words import (
    NETEM,
    SERVICES,
    TAP,
    Control,
    ControlSocket,
    Words,
    control_path,
    takes,
)
from pystack.core.addresses import format_ip
from pystack.core.errors import DeviceError
from pystack.core.rng import component_rng
from pystack.link.words import as_words
from pystack.runtime.device.privileges import give_up, is_the_machines_root, whom_to_be
from pystack.runtime.device.tap_config import TapHostConfig
from pystack.runtime.driver.signals import last_run

_log: Final = logging.getLogger("pystack.up")

_Serve = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:PORT]",
        help=f"Service to offer; http if none is named: {', '.join(BUILT_IN)}, one that a plug-in "
        "adds, or all. May be repeated.",
    ),
]
_Json = Annotated[
    bool, typer.Option("--json", help="Print the ready line and the log as lines of JSON.")
]
_User = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="User to become once the device is open; default: the one who called sudo.",
    ),
]
_Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        show_default=False,
        help="Show events; -vv: every packet as well.",
    ),
]


@takes(place=TAP, words=NETEM, service_words=SERVICES)
def up_command(
    interface: Annotated[
        str, typer.Argument(metavar="IFNAME", help="TAP device to create or take over.")
    ],
    *,
    serve: _Serve = None,
    json: _Json = False,
    user: _User = None,
    verbose: _Verbose = 0,
    control: Control = False,
    control_socket: ControlSocket = None,
    place: Words,
    words: Words,
    service_words: Words,
) -> None:
    """Run a host on a TAP device, until SIGINT, SIGTERM or SIGHUP."""
    given: Any = place  # each of its kind, see the table
    config = TapHostConfig(interface, **given, words=as_words(words), verbosity=verbose, json=json)
    placements = _placements(serve, service_words, config)
    root = service_words.get("root")
    when_open = _giving_up_root(user, root if isinstance(root, Path) else None)
    _run(config, placements, user, when_open, control_path(control, control_socket))


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
        addresses=tuple(format_ip(address) for address, _ in config.addresses),
    )
    return place_services(asked, read_words(words, options))


def _run(
    config: TapHostConfig,
    placements: Sequence[Placement],
    user: str | None,
    when_open: Callable[[], None],
    control: str | None,
) -> None:
    def on_ready(ready: Ready) -> None:
        print(ready.json() if config.json else ready.text(), flush=True)
        if user is None and is_the_machines_root():
            _log.warning("running as root, without capabilities; --user NAME lets it be another")
        if ready.live_page and not ready.fragment:  # else the line before says it
            _log.info("live: %s shows what happens, while it happens", ready.live_page)

    level = logging.INFO if config.verbosity else logging.WARNING
    log = Log()
    log.setFormatter(JsonFormatter() if config.json else logging.Formatter("%(message)s"))
    logging.basicConfig(handlers=[log], level=level)
    with last_run():
        trio.run(partial(up, config, placements, on_ready, when_open, control=control))
    if log.is_broken:
        raise BrokenPipeError
