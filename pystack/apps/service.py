"""The services known by name: built in, or from installed plug-ins.

A plug-in is an entry point in the group `pystack.service`: its name is what `--serve` takes, and it
loads to a function that makes a `Service` from `ServiceOptions`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Final, TypeAlias

from pystack.apps.base import Service as Service
from pystack.apps.options import ServiceOptions as ServiceOptions
from pystack.apps.simple import Chargen, Daytime, Discard, Echo, Time
from pystack.core.addresses import is_port
from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.plugins import Chosen, Group
from pystack.core.suggest import suggest

ServiceFactory: TypeAlias = Callable[[ServiceOptions], Service]

# How one asks for a service: "ftp:2121", {"name": "ftp", "port": 2121}, what makes it of the
# `ServiceOptions`, such as its class, or itself.
ServiceLike: TypeAlias = str | Mapping[str, object] | ServiceFactory | Service


def _imported(service: str, place: str, *library: str) -> ServiceFactory:
    """Return what makes a service. It is imported, and its library, by those who serve it."""
    module, _, name = place.partition(":")

    def make(options: ServiceOptions) -> Service:
        for needed in library:
            need(needed, f"the service {service}")
        made: Service = getattr(import_module(f"pystack.apps.{module}"), name)(options)
        return made

    return make


BUILT_IN: Final[dict[str, ServiceFactory]] = {
    "asgi": _imported("asgi", "asgi.service:AsgiService", "hypercorn"),
    "dns": _imported("dns", "dns:DnsService", "dns"),
    "http": _imported("http", "http.service:HttpService", "h11"),
    "https": _imported("https", "http.service:HttpsService", "h11"),
    "echo": lambda options: Echo(),
    "discard": lambda options: Discard(),
    "chargen": lambda options: Chargen(options.rng),
    "daytime": lambda options: Daytime(options.utc_now),
    "time": lambda options: Time(options.utc_now),
    "ftp": _imported("ftp", "ftp.service:FtpService"),
    "iperf3": _imported("iperf3", "iperf3:Iperf3"),
    "smtp": _imported("smtp", "smtp.service:SmtpService"),
    "tftp": _imported("tftp", "tftp.service:Tftp"),
}


SERVICES: Final = Group[Service]("service", BUILT_IN, "handle_tcp")

ALL: Final = "all"  # every built-in one that can be had with the options that there are


@dataclass(frozen=True, slots=True)
class Request:
    """A service that is asked for."""

    name: str
    port: int | None  # None: its usual one
    text: str  # as it was asked for
    options: ServiceOptions
    chosen: Chosen[Service] | None = None  # None: it is asked for by its name


@dataclass(frozen=True, slots=True)
class Placement:
    """A service and where it listens."""

    service: Service
    tcp_port: int | None
    udp_port: int | None


def parse_serve(text: str) -> tuple[str, int | None]:
    """Read `NAME[:PORT]`; no port means the service's usual one."""
    name, colon, port_text = text.partition(":")
    if name == ALL and colon:
        raise ConfigError(f"{text!r}: all of them have ports of their own: {ALL!r} takes none")
    if name != ALL and name not in BUILT_IN and name not in (names := SERVICES.names):
        raise ConfigError(f"there is no service {name!r}{suggest(name, names)}")
    if not colon:
        return name, None
    if not is_port(port_text):
        raise ConfigError(f"{text!r}: {port_text!r} is not a port; a port is 1 to 65535")
    return name, int(port_text)


def make_service(asked: str | Chosen[Service], options: ServiceOptions) -> Service:
    """Build a service; by its name, a built-in one goes before a plug-in. Raises ConfigError."""
    if isinstance(asked, str):
        name, service = asked, SERVICES.find(asked)(options)
    else:
        name, service = asked.title, asked(options)
    if not isinstance(service, Service):
        raise ConfigError(
            f"{name!r} makes no service: that is a subclass of pystack.apps.service.Service"
        )
    return service


def place_services(
    requests: Sequence[str | Request], options: ServiceOptions | None = None
) -> list[Placement]:
    """Build what is asked for; with nothing asked for, HTTP.

    A port given with the name holds for both protocols. Two may not claim one port.
    """
    options = options if options is not None else ServiceOptions()
    claims: dict[tuple[str, int], str] = {}  # protocol and port -> as asked for
    placements: list[Placement] = []
    for request in _whole(requests or ("http",), options):
        service = make_service(request.chosen or request.name, request.options)
        tcp_port = service.tcp_port
        udp_port = service.udp_port
        if request.port is not None:
            tcp_port = None if tcp_port is None else request.port
            udp_port = None if udp_port is None else request.port
        for protocol, number in (("TCP", tcp_port), ("UDP", udp_port)):
            if number is None:
                continue
            if (protocol, number) in claims:
                other = claims[protocol, number]
                raise ConfigError(
                    f"{other!r} and {request.text!r} both claim {protocol} port {number}"
                )
            claims[protocol, number] = request.text
        placements.append(Placement(service, tcp_port, udp_port))
    return placements


def _whole(requests: Sequence[str | Request], options: ServiceOptions) -> Iterator[Request]:
    """Yield what is asked for, one service each."""
    for asked in requests:
        request = Request(*parse_serve(asked), asked, options) if isinstance(asked, str) else asked
        if request.name == ALL:
            yield from _all(request.options)
        else:
            yield request


def _all(options: ServiceOptions) -> Iterator[Request]:
    """Yield every built-in one that can be had with the options."""
    left_out = {"asgi"}  # it has the port of http
    if options.root is None:
        left_out |= {"ftp", "tftp"}  # they have nothing but files
    # Mail is written below a root, which not everybody means who has one served.
    mail = options if options.writable else replace(options, root=None)
    for name in BUILT_IN:
        if name not in left_out:
            yield Request(name, None, name, mail if name == "smtp" else options)
