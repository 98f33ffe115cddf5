"""Names and addresses for blocking programs on a host: getaddrinfo and its kin, as functions.

What the network's table or the host itself knows is answered at once, anywhere; what name servers
have to be asked for waits, and so a thread of the world can ask alone (`waits.py`).
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, Final

from pystack.runtime.names.resolver import (
    AddressInfo4,
    AddressInfo6,
    look_up,
    look_up_at_once,
    name_at_once,
    name_of,
)
from pystack.runtime.socket import waits

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

_HOST_NOT_FOUND: Final = 1  # netdb.h


def look_up_now(
    here: BareHost,
    host: Any,  # noqa: ANN401 - look_up judges it
    port: Any,  # noqa: ANN401
    family: int = 0,
    kind: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[AddressInfo4 | AddressInfo6]:
    """Return what getaddrinfo(3) would, on the host `here`. Raises `socket.gaierror`."""
    if isinstance(host, str) and not host.isascii():
        host = host.encode("idna").decode("ascii")  # as CPython
    found = waits.call(here, look_up_at_once, here, host, port, family, kind, proto, flags)
    if found is None:
        what = f"socket.getaddrinfo({host!r}), which asks name servers,"
        found = waits.wait(what, look_up, here, host, port, family, kind, proto, flags)
    return found


def name_now(
    here: BareHost,
    sockaddr: Any,  # noqa: ANN401 - name_of judges it
    flags: int,
) -> tuple[str, str]:
    """Return what getnameinfo(3) would, on the host `here`. Raises `socket.gaierror`."""
    found = waits.call(here, name_at_once, here, sockaddr, flags)
    if found is None:
        what = f"socket.getnameinfo({sockaddr!r}), which asks name servers,"
        found = waits.wait(what, name_of, here, sockaddr, flags)
    return found


def addresses_of(here: BareHost, name: str) -> tuple[str, list[str], list[str]]:
    """Return what gethostbyname_ex does: name, other names, addresses of IPv4. `gaierror`."""
    text = name.decode("ascii") if isinstance(name, bytes | bytearray) else name
    if text == "":
        return text, [], ["0.0.0.0"]
    if text in ("<broadcast>", "255.255.255.255"):
        return text, [], ["255.255.255.255"]
    found = look_up_now(here, text, None or 0, socket.AF_INET, socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    return text, [], list(dict.fromkeys(addresses))


def host_of(here: BareHost, address: str) -> tuple[str, list[str], list[str]]:
    """Return what gethostbyaddr does: name, other names, addresses. `gaierror`, `herror`."""
    found = look_up_now(here, address, 0, 0, socket.SOCK_STREAM)
    where: Any = found[0][4]
    try:
        name, _ = name_now(here, where, socket.NI_NAMEREQD)
    except socket.gaierror:
        table_name = _name_in_table(here, where[0])
        if table_name is None:
            raise socket.herror(_HOST_NOT_FOUND, "Unknown host") from None
        name = table_name
    return name, [], [str(where[0])]


def _name_in_table(here: BareHost, address: str) -> str | None:
    """Return the name of a host's own address: a host knows itself (/etc/hosts)."""
    own = look_up_now(here, here.name, 0)
    return here.name if any(entry[4][0] == address for entry in own) else None


def interfaces(here: BareHost) -> list[tuple[int, str]]:
    """Return what if_nameindex does."""
    return [(interface.index, interface.name) for interface in here.stack.interfaces]


def interface_number(here: BareHost, name: str | bytes) -> int:
    """Return what if_nametoindex does. OSError: there is none."""
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    for number, its_name in interfaces(here):
        if its_name == text:
            return number
    raise OSError("no interface with this name")


def interface_name(here: BareHost, number: int) -> str:
    """Return what if_indextoname does. OSError (ENXIO): there is none."""
    for its_number, name in interfaces(here):
        if its_number == number:
            return name
    raise OSError(errno.ENXIO, "No such device or address")
