"""The command `pystack ping`."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import asdict
from typing import Annotated, Final

import typer

from pystack.apps.clients import pinging
from pystack.apps.clients.pinging import PingEvent, PingOptions, PingSummary
from pystack.apps.clients.worlds import Server
from pystack.cli.vantage import Vantage, standing, to_stderr
from pystack.cli.words import Words, bare_seconds, ip_version
from pystack.core.addresses import parse_ip
from pystack.core.errors import ConfigError
from pystack.runtime import reach
from pystack.runtime.driver.signals import last_run
from pystack.runtime.host import Host
from pystack.runtime.names.zones import Version

TROUBLE: Final = 2  # neither an answer nor silence: no such name, no route
# Where time is made up, nobody could press Ctrl-C: so many are sent unless it is said.
VIRTUAL_COUNT: Final = 4


@standing
def ping_command(
    name: Annotated[str, typer.Argument(metavar="HOST", help="Name or address.")],
    *,
    count: Annotated[
        int | None, typer.Option("-c", "--count", metavar="N", help="Number of requests.")
    ] = None,
    interval: Annotated[
        str, typer.Option("-i", "--interval", metavar="TIME", help="Time between requests.")
    ] = "1",
    size: Annotated[
        int, typer.Option("-s", "--size", metavar="BYTES", help="Payload of a request.")
    ] = reach.PAYLOAD_BYTES,
    wait: Annotated[
        str,
        typer.Option("-W", "--timeout", metavar="TIME", help="Time to wait for the last answer."),
    ] = "10",
    deadline: Annotated[
        str | None, typer.Option("-w", "--deadline", metavar="TIME", help="End after this time.")
    ] = None,
    ttl: Annotated[
        int, typer.Option("-t", "--ttl", metavar="HOPS", help="Hops that a request may take.")
    ] = reach.DEFAULT_TTL,
    ipv4: Annotated[bool, typer.Option("-4", "--ipv4", help="Use IPv4 only.")] = False,
    ipv6: Annotated[bool, typer.Option("-6", "--ipv6", help="Use IPv6 only.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Show only the summary.")] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print a line of JSON for each answer, and one for the summary."
        ),
    ] = False,
    place: Words,
    words: Words,
    service_words: Words,
) -> int:
    """Send ICMP echo requests and show the answers, in the manner of ping(8).

    By default this runs in virtual time, over a virtual link to HOST. Exit status: 0 if there was
    an answer, 1 if there was none (with -w and -c: fewer than COUNT), 2 for other errors.
    """
    vantage = Vantage.of(place, words, service_words)
    if count is None and deadline is None and vantage.is_virtual:
        count = VIRTUAL_COUNT
    options = PingOptions(
        count=count,
        interval_s=bare_seconds(interval),
        size_bytes=size,
        wait_s=bare_seconds(wait),
        deadline_s=None if deadline is None else bare_seconds(deadline),
        ttl=ttl,
    )
    version = ip_version(ipv4=ipv4, ipv6=ipv6)
    ping = _Ping(name, options, version, quiet=quiet, as_json=as_json)
    try:
        with last_run():
            return vantage.world([Server(name)]).run(ping.run, to_stderr)
    except KeyboardInterrupt:
        if ping.summary is None:
            raise
        return ping.summary.status(options)


class _Ping:
    """What is printed of one run."""

    def __init__(
        self,
        name: str,
        options: PingOptions,
        version: Version | None,
        *,
        quiet: bool,
        as_json: bool,
    ) -> None:
        self.summary: PingSummary | None = None  # None: not begun
        self._name, self._options, self._version = name, options, version
        self._quiet, self._as_json = quiet, as_json

    async def run(self, host: Host) -> int:
        """Ping, and return the exit status."""
        try:
            address = await pinging.resolved(host, self._name, self._version)
        except (socket.gaierror, UnicodeError):  # the second: no name can be like that
            return _trouble(f"{self._name}: {_why_unknown(self._name)}")
        self.summary = PingSummary(self._name, address)
        if not self._as_json:
            _print(pinging.heading(self.summary, self._options))
        try:
            await pinging.ping(host, self.summary, self._options, self._tell)
        except OSError as error:
            return _trouble(error.strerror or str(error))
        finally:
            if self.summary.sent:
                self._close(self.summary)
        return self.summary.status(self._options)

    def _tell(self, event: PingEvent) -> None:
        assert self.summary is not None
        if self._as_json:
            _print(json.dumps(asdict(event)))
        elif not self._quiet:
            _print(pinging.line(event, self.summary))

    def _close(self, summary: PingSummary) -> None:
        if self._as_json:
            _print(json.dumps(summary.to_json()))
            return
        for line in pinging.closing(summary):
            _print(line)


def _why_unknown(name: str) -> str:
    """Return ping(8)'s words; an address fails only where it is of the version not asked for."""
    try:
        parse_ip(name)
    except ConfigError:
        return "Name or service not known"
    return "Address family for hostname not supported"


def _trouble(text: str) -> int:
    print(f"pystack ping: {text}", file=sys.stderr)
    return TROUBLE


def _print(line: str) -> None:
    print(line, flush=True)
