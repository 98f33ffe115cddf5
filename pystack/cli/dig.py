"""The command `pystack dig`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pystack.apps.clients.worlds import Server
from pystack.apps.world import utc_now
from pystack.cli.vantage import Vantage, Way, standing, to_stderr
from pystack.cli.words import Words, ip_version
from pystack.core.extras import need
from pystack.runtime.driver.signals import last_run
from pystack.runtime.host import Host
from pystack.wire.dns_framing import PORT

if TYPE_CHECKING:
    from pystack.apps.clients.digging import DigRequest

DEFAULT_SERVER: Final = "server"  # of a virtual link, where nobody names one


@standing
def dig_command(
    asked: Annotated[
        list[str] | None,
        typer.Argument(metavar="[@SERVER] NAME [TYPE] [+SWITCH]..."),
    ] = None,
    *,
    reverse: Annotated[
        str | None, typer.Option("-x", metavar="ADDRESS", help="Look up the name of an address.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("-t", metavar="TYPE", help="Type of the records: A, MX ...")
    ] = None,
    ipv4: Annotated[bool, typer.Option("-4", help="Use IPv4 only.")] = False,
    ipv6: Annotated[bool, typer.Option("-6", help="Use IPv6 only.")] = False,
    port: Annotated[
        int | None, typer.Option("-p", min=1, max=65535, metavar="PORT", help="Port of the server.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answer as a line of JSON.")
    ] = False,
    place: Words,
    words: Words,
    service_words: Words,
) -> int:
    """Query a name server and show the answer, in the manner of dig(1).

    Switches: +tcp +short +norecurse +noedns +bufsize=N +time=N +tries=N +noall +answer and the
    like. By default this runs in virtual time, over a virtual link to @SERVER, which knows the
    network's names and those of --record. Exit status: 0 for any answer, 9 if none came.
    """
    need("dns", "pystack dig")
    from pystack.apps.clients import digging

    request = digging.read_request(asked or (), reverse=reverse, kind=kind, port=port)
    request = replace(request, version=ip_version(ipv4=ipv4, ipv6=ipv6))
    vantage = Vantage.of(place, words, service_words)
    if request.server is None and vantage.way is Way.LINK and "dns" not in place:
        request = replace(request, server=DEFAULT_SERVER)

    async def client(host: Host) -> int:
        try:
            answer = await digging.ask(host, request)
        except OSError as error:
            _tell_failure(request, error, as_json=as_json)
            return digging.NO_REPLY
        if as_json:
            lines = [json.dumps(asdict(answer))]
        elif request.short:
            lines = digging.in_short(answer)
        else:
            lines = digging.in_full(answer, request, utc_now())
        for line in lines:
            print(line)
        return digging.ANSWERED

    service = "dns" if request.port == PORT else f"dns:{request.port}"
    servers = [] if request.server is None else [Server(request.server, (service,))]
    with last_run():
        return vantage.world(servers).run(client, to_stderr)


def _tell_failure(request: DigRequest, error: OSError, *, as_json: bool) -> None:
    from pystack.apps.clients import digging

    lines = digging.heading(request) if "cmd" in request.shown else []
    if as_json:
        lines = [json.dumps({"error": str(error)})]
    else:
        lines += digging.nothing_came(request, error)
    print("\n".join(lines), flush=True)
