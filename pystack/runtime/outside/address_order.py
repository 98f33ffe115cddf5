"""In which order programs inside try the addresses of a server: as programs of the machine would.

Inside, the own address of IPv6 is a local one (fc00::/7), and for those RFC 6724 has IPv4 go first.
So where IPv6 reaches the world from this machine, the C library is told (gai.conf(5)) to take the
block for what it stands for. Elsewhere that order is right: what can't be reached comes last.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

_GAI_CONF: Final = Path("/etc/gai.conf")
_GLOBAL: Final = ip_network("2000::/3")
# With one label of a file glibc forgets its own, which are these.
_LABELS: Final = (
    "label ::1/128 0",
    "label ::/0 1",
    "label 2002::/16 2",
    "label ::/96 3",
    "label ::ffff:0:0/96 4",
    "label fec0::/10 5",
    "label fc00::/7 6",
    "label 2001:0::/32 7",
)


def files(block: str) -> dict[str, str | None]:
    """Return what programs are to read instead of the machine's file; `block`: theirs, inside."""
    if not _GAI_CONF.exists() or not _ip6_reaches_the_world():
        return {}
    text = _GAI_CONF.read_text(errors="replace")
    has_own = any(line.lstrip().startswith("label") for line in text.splitlines())
    return {
        str(_GAI_CONF): "\n".join([text, *(() if has_own else _LABELS), f"label {block} 1", ""])
    }


def _ip6_reaches_the_world() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.connect((str(_GLOBAL[1]), 9))  # nothing is sent by that
            return _is_global(sock.getsockname()[0])
    except OSError:
        return False


def _is_global(address: str) -> bool:
    """Tell whether an own address reaches the world: with none, a route alone has ::1 as that."""
    return ip_address(address.partition("%")[0]) in _GLOBAL
