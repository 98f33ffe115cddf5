"""The addresses in PORT, EPRT, PASV and EPSV (RFC 959, RFC 2428)."""

import re
from typing import Final

from pystack.apps.ftp.replies import RefusedError
from pystack.core.addresses import format_ip, parse_ip
from pystack.core.errors import ConfigError

_PORT: Final = re.compile(
    rb"([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),"
    rb"([0-9]{1,3}),([0-9]{1,3})"
)
_LEAST_PORT: Final = 1024  # below are the ports of services (RFC 2577 section 3)


def parse_port(argument: bytes) -> tuple[str, int]:
    """Return the address and port of PORT. Raises RefusedError."""
    found = _PORT.fullmatch(argument.strip())
    numbers = [int(number) for number in found.groups()] if found is not None else [256]
    if max(numbers) > 255:
        raise RefusedError(501, "PORT takes h1,h2,h3,h4,p1,p2")
    return ".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5]


def parse_eprt(argument: bytes, protocol: int) -> tuple[str, int]:
    """Return the address and port of EPRT. `protocol`: the one that is spoken: 1, or 2 for IPv6.

    Raises RefusedError.
    """
    argument = argument.strip()
    mark = argument[:1]
    parts = argument.split(mark) if mark and 33 <= mark[0] <= 126 else []
    if len(parts) != 5 or parts[0] or parts[4] or not _is_number(parts[3], 5):
        raise RefusedError(501, "EPRT takes |protocol|address|port|")
    if parts[1] != b"%d" % protocol:
        raise RefusedError(522, f"Network protocol not supported, use ({protocol})")
    port = int(parts[3])
    if not 1 <= port <= 65535:
        raise RefusedError(501, "That is not a port")
    return parts[2].decode("latin-1"), port


def own_target(address: str, port: int, client: str) -> tuple[str, int]:
    """Return where data are to be sent, the client's address as we know it, with its zone.

    Raises RefusedError unless data may be sent there: to the client itself, to no service.

    Else anybody could have us connect, and say what they like, to anybody (RFC 2577 section 3).
    """
    bare = client.partition("%")[0]
    if address != bare and _canonical(address) != bare:
        raise RefusedError(504, "Data connections go to the client itself only")
    if port < _LEAST_PORT:
        raise RefusedError(504, f"Data connections go to ports from {_LEAST_PORT} on only")
    return client, port


def _canonical(address: str) -> str:
    try:
        return format_ip(parse_ip(address))
    except ConfigError:
        return ""


def pasv_text(address: str, port: int) -> str:
    """Return what 227 says."""
    return f"({address.replace('.', ',')},{port >> 8},{port & 255})"


def protocol_of(address: str) -> int:
    """Return the number of RFC 2428 for the kind of an address."""
    return 2 if ":" in address else 1


def _is_number(text: bytes, digits: int) -> bool:
    return text.isdigit() and len(text) <= digits
