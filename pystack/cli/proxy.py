"""The command `pystack proxy`."""

import json as json_text
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import trio
import typer

from pystack.apps.proxy.api import parse_api_address
from pystack.apps.proxy.endpoints import whole
from pystack.apps.proxy.file import ProxyFile, check_endpoint
from pystack.apps.proxy.model import LinkWords, ProxySpec
from pystack.apps.proxy.serve import GRACE_S, ProxyOptions, Ready, serve
from pystack.apps.proxy.words import read_directions
from pystack.cli.output import JsonFormatter, Log
from pystack.cli.words import (
    NETEM,
    PCAP,
    Control,
    ControlSocket,
    Option,
    Words,
    control_path,
    takes,
)
from pystack.core.called import typed
from pystack.core.errors import ConfigError
from pystack.core.units import parse_time_s
from pystack.runtime.device.limits import raise_open_files
from pystack.runtime.driver.signals import last_run

_NAME: Final = "proxy"  # of the one of the command line
_FILES: Final = (".toml", ".json")
PROXY: Final[Mapping[str, Option]] = {
    "preset": Option(str, "Take this kind of line: dsl, cable, lte, satellite-geo ...", "NAME"),
    "udp": Option(bool, "Carry datagrams instead of connections."),
    "api": Option(
        str,
        "Serve Toxiproxy's HTTP API, at 127.0.0.1:8474 or the address or port that is given.",
        "[ADDRESS]",
    ),
    "metrics": Option(str, "Serve metrics for Prometheus at this address, as /metrics.", "ADDRESS"),
    "grace": Option(
        str,
        f"How long connections may go on after the first Ctrl-C; default: {GRACE_S:g}s.",
        "TIME",
    ),
    "seed": Option(int, "Seed of all that is left to chance.", "N"),
    "json": Option(bool, "Print the ready line and the log as lines of JSON."),
    **PCAP,
}


@takes(asked=PROXY, words=NETEM)
def proxy_command(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LISTEN UPSTREAM] [FILE]",
            help="Where to listen and whom to connect to, as HOST:PORT, or a PORT of 127.0.0.1; a "
            "file with proxies, in TOML, or Toxiproxy's in JSON.",
        ),
    ] = None,
    *,
    asked: Words,
    control: Control = False,
    control_socket: ControlSocket = None,
    words: Words,
) -> None:
    """Put an emulated link in front of a server, without root. Ends on SIGINT or SIGTERM.

    Whoever connects to LISTEN is connected to UPSTREAM, over a link with these words of
    tc-netem(8). Clients need no change but the port.

    \b
    pystack proxy 8080 127.0.0.1:80 --delay 50ms --loss 1%
    pystack proxy --udp 5353 192.0.2.53:53 --preset lte
    pystack proxy proxies.toml --metrics 9100
    pystack proxy toxiproxy.json --api
    """
    given: dict[str, Any] = dict(asked)
    pair, file = _read_places(places or [])
    specs: tuple[ProxySpec, ...] = ()
    if pair is not None:
        specs = (_spec(*pair, given, words),)
    elif words or "udp" in given or "preset" in given:
        raise ConfigError("words of a link belong to LISTEN UPSTREAM; in a FILE, to its proxies")
    if not specs and file is None and "api" not in given:
        raise ConfigError(
            f"say what for: {typed('proxy')} 127.0.0.1:8080 127.0.0.1:80 --delay 50ms, "
            f"{typed('proxy')} FILE.toml, or {typed('proxy')} --api"
        )
    options = ProxyOptions(
        specs=specs,
        file=file,
        api=parse_api_address(given["api"]) if "api" in given else None,
        metrics=(
            parse_api_address(given["metrics"], option="--metrics") if "metrics" in given else None
        ),
        seed=given.get("seed", None if file is None else file.seed),
        grace_s=_grace_s(given["grace"]) if "grace" in given else GRACE_S,
        capture={word: given[word] for word in PCAP if word in given},
        control=control_path(control, control_socket),
    )
    _run(options, as_json="json" in given)


def _read_places(places: Sequence[str]) -> tuple[tuple[str, str] | None, ProxyFile | None]:
    """Return LISTEN and UPSTREAM, and the file. Raises ConfigError."""
    files = [text for text in places if text.endswith(_FILES)]
    others = [text for text in places if text not in files]
    if len(files) > 1:
        raise ConfigError(f"only one file: {files[0]} or {files[1]}")
    if len(others) == 1:
        raise ConfigError(
            f"{others[0]} needs another place: {typed('proxy')} LISTEN UPSTREAM (or a FILE, which "
            "ends in .toml, or .json as Toxiproxy's)"
        )
    if len(others) > 2:
        raise ConfigError(f"several proxies go into a file: {typed('proxy')} FILE.toml")
    pair = (whole(others[0]), whole(others[1])) if others else None
    return pair, ProxyFile(Path(files[0])) if files else None


def _grace_s(text: str) -> float:
    try:
        return parse_time_s(text)
    except ConfigError as error:
        raise ConfigError(f"--grace: {error}") from None


def _spec(listen: str, upstream: str, given: Mapping[str, Any], words: Words) -> ProxySpec:
    check_endpoint(listen, least=0)
    check_endpoint(upstream, least=1)
    link = LinkWords(both=words, preset=given.get("preset"))
    read_directions(link)
    return ProxySpec(
        name=_NAME,
        listen=listen,
        upstream=upstream,
        protocol="udp" if "udp" in given else "tcp",
        words=link,
    )


def _run(options: ProxyOptions, *, as_json: bool) -> None:
    def on_ready(ready: Ready) -> None:
        print(json_text.dumps(ready.json()) if as_json else ready.text(), flush=True)

    log = Log()
    log.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(message)s"))
    logging.basicConfig(handlers=[log], level=logging.INFO)
    raise_open_files()
    with last_run():
        trio.run(partial(serve, options, on_ready))
    if log.is_broken:
        raise BrokenPipeError
