"""The target of a request (RFC 9112 section 3.2) and the host that it is for (RFC 3986)."""

import re
from typing import Final

from pystack.apps.http.messages import HttpError
from pystack.core.addresses import parse_ip6
from pystack.core.errors import ConfigError

# RFC 3986 section 3.2.2: an address in brackets or a name, and a port. Clients ought to leave out a
# zone, which means something to them alone (RFC 6874 section 4), and not all do.
_AUTHORITY: Final = re.compile(
    r"(?:\[(?:(?P<ip6>[0-9A-Fa-f:.]+)(?:%[\w.~%-]+)?|[vV][0-9A-Fa-f]+\.[\w.:~-]+)\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::(?P<port>[0-9]*))?",
    re.ASCII,
)


def is_authority(text: str) -> bool:
    """Tell whether this is a host, perhaps with a port; an empty one is, RFC 9110 section 7.2."""
    match = _AUTHORITY.fullmatch(text)
    if match is None or int((match["port"] or "0")[-6:]) > 65535:
        return False
    return match["ip6"] is None or _is_ip6(match["ip6"])


def _is_ip6(text: str) -> bool:
    try:
        parse_ip6(text)
    except ConfigError:
        return False
    return True


def split_target(target: str) -> tuple[str, str]:
    """Return path and query of a target. Raises HttpError."""
    if not target.startswith("/"):
        scheme, found, rest = target.partition("://")
        if found and scheme.lower() in ("http", "https"):  # absolute-form, as for a proxy
            authority, slash, rest = rest.partition("/")
            if not is_authority(authority.partition("?")[0] or "?"):
                raise HttpError(400, "The target names no host.")
            if not slash:
                authority, _, query = authority.partition("?")
                return "/", query
            target = "/" + rest
        elif target != "*":
            raise HttpError(400, "The target of a request begins with a slash.")
    path, _, query = target.partition("?")
    return path, query
