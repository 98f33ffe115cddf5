"""What a service is, and the services known by name: built in, or from installed plug-ins.

A plug-in is an entry point in the group `pystack.service`: its name is what `--serve` takes, and it
loads to a function that makes a `Service` from `ServiceOptions`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import trio

from pystack.apps.http.limits import DEFAULT_LIMITS, Limits
from pystack.apps.simple import Chargen, Daytime, Discard, Echo, Time
from pystack.apps.world import utc_now
from pystack.core.errors import ConfigError
from pystack.core.plugins import find, installed
from pystack.core.suggest import suggest

ENTRY_POINT_GROUP: Final = "pystack.service"


class Service(Protocol):
    """Answers on a TCP port, a UDP port, or both. One object serves all connections."""

    @property
    def name(self) -> str:
        """What `--serve` takes."""
        ...

    @property
    def tcp_port(self) -> int | None:
        """The usual port; None: there is no TCP side."""
        ...

    @property
    def udp_port(self) -> int | None:
        """The usual port; None: there is no UDP side."""
        ...

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection. The caller closes the stream.

        May raise `trio.BrokenResourceError`: a peer that goes away is nothing special.
        """
        ...

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return the answer to one datagram, None for no answer. Must not block."""
        ...


class SendingSocket(Protocol):
    """A bound UDP socket that sends what answers nothing."""

    def send_to_nowait(self, data: bytes, address: tuple[str, int]) -> None:
        """Send one datagram. Raises OSError."""
        ...

    def send_many_to_nowait(self, datagrams: Sequence[bytes], address: tuple[str, int]) -> None:
        """Send all of them, for less than each by itself costs; or none, and raise OSError."""
        ...


@runtime_checkable
class SpeaksFirst(Protocol):
    """A service that also has this sends datagrams by itself, and not only answers."""

    def use_socket(self, socket: SendingSocket) -> None:
        """Take the socket that its UDP side is served on; called once, before any datagram."""
        ...


@runtime_checkable
class AnswersAnything(Protocol):
    """A service that also has this answers whatever comes by UDP, and so could do so for ever.

    It is not asked about datagrams that seem to be from another such service.
    """

    @property
    def answers_anything(self) -> Literal[True]:
        """True; it is having it that counts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """What services may be told; each takes what concerns it."""

    root: Path | None = None  # the directory to serve; None: the built-in pages alone
    limits: Limits = DEFAULT_LIMITS  # of HTTP connections
    utc_now: Callable[[], float] = utc_now  # seconds since 1970; in virtual time since it began
    rng: Random = field(default_factory=lambda: Random(0))  # for what is left to chance


ServiceFactory: TypeAlias = Callable[[ServiceOptions], Service]


def _http(options: ServiceOptions) -> Service:
    from pystack.apps.http.service import HttpService  # imported by those who serve it

    return HttpService(options.root, options.limits, options.utc_now)


def _iperf3(_options: ServiceOptions) -> Service:
    from pystack.apps.iperf3 import Iperf3

    return Iperf3()


BUILT_IN: Final[dict[str, ServiceFactory]] = {
    "http": _http,
    "echo": lambda options: Echo(),
    "discard": lambda options: Discard(),
    "chargen": lambda options: Chargen(options.rng),
    "daytime": lambda options: Daytime(options.utc_now),
    "time": lambda options: Time(options.utc_now),
    "iperf3": _iperf3,
}


@dataclass(frozen=True, slots=True)
class Placement:
    """A service and where it listens."""

    service: Service
    tcp_port: int | None
    udp_port: int | None


def known_names() -> list[str]:
    """Return the names that `--serve` takes."""
    return sorted({*BUILT_IN, *installed(ENTRY_POINT_GROUP)})


def parse_serve(text: str) -> tuple[str, int | None]:
    """Read `NAME[:PORT]`; no port means the service's usual one."""
    name, colon, port_text = text.partition(":")
    if name not in BUILT_IN and name not in (names := known_names()):
        raise ConfigError(f"there is no service {name!r}{suggest(name, names)}")
    if not colon:
        return name, None
    is_number = port_text.isascii() and port_text.isdigit() and len(port_text) <= 5
    if not is_number or not 1 <= int(port_text) <= 65535:
        raise ConfigError(f"{text!r}: {port_text!r} is not a port; a port is 1 to 65535")
    return name, int(port_text)


def may_use_root(text: str) -> bool:
    """Tell whether the service of `NAME[:PORT]` takes files from `root`; a plug-in's may."""
    name, _ = parse_serve(text)
    return name == "http" or name not in BUILT_IN


def make_service(name: str, options: ServiceOptions) -> Service:
    """Build the service called `name`; a built-in one wins over a plug-in of that name."""
    return find(ENTRY_POINT_GROUP, name, BUILT_IN)(options)


def place_services(
    requests: Sequence[str], options: ServiceOptions | None = None
) -> list[Placement]:
    """Build what `--serve` asks for; with nothing asked for, HTTP.

    A port given with the name holds for both protocols. Two may not claim one port.
    """
    options = options if options is not None else ServiceOptions()
    claims: dict[tuple[str, int], str] = {}  # protocol and port -> as asked for
    placements: list[Placement] = []
    for text in requests or ("http",):
        name, port = parse_serve(text)
        service = make_service(name, options)
        tcp_port = service.tcp_port if port is None or service.tcp_port is None else port
        udp_port = service.udp_port if port is None or service.udp_port is None else port
        for protocol, number in (("TCP", tcp_port), ("UDP", udp_port)):
            if number is None:
                continue
            if (protocol, number) in claims:
                other = claims[protocol, number]
                raise ConfigError(f"{other!r} and {text!r} both claim {protocol} port {number}")
            claims[protocol, number] = text
        placements.append(Placement(service, tcp_port, udp_port))
    return placements
