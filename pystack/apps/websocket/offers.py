"""What a client offers in Sec-WebSocket-Extensions (RFC 6455 section 9.1), and what is taken of it.

The one extension known here is permessage-deflate, RFC 7692.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

MAX_PARTS: Final = 100  # of a field, names and parameters; browsers send two

# Our window: with a memory level of 5 it takes 32 kB for each connection, where zlib's usual 15 and
# 8 take 256 kB, and a thousand connections a quarter of a gigabyte.
SERVER_WINDOW_BITS: Final = 12
CLIENT_WINDOW_BITS: Final = 15
# What zlib can do without its own header; RFC 7692 begins at 8.
LEAST_WINDOW_BITS: Final = 9

_TCHAR: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_VALUE: Final = rf'({_TCHAR}+)|"((?:{_TCHAR}|\\[!-~])+)"'
_PART: Final = re.compile(rf"[ \t]*(?:({_TCHAR}+)[ \t]*(?:=[ \t]*(?:{_VALUE})[ \t]*)?)?([,;]|$)")
_BITS: Final = re.compile("8|9|1[0-5]")
_FLAGS: Final = ("server_no_context_takeover", "client_no_context_takeover")
_WINDOWS: Final = ("server_max_window_bits", "client_max_window_bits")

Parameters = list[tuple[str, str | None]]


class OfferError(ValueError):
    """The field is not what the RFC says that it looks like."""


@dataclass(frozen=True, slots=True)
class Deflate:
    """permessage-deflate as it was agreed upon."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = SERVER_WINDOW_BITS
    client_max_window_bits: int | None = None  # None: the client can't be told, and has 15

    @classmethod
    def of(cls, parameters: Parameters) -> Self | None:
        """Return what is agreed to of one offer; None: it is declined, RFC 7692 section 7.1."""
        names = [name for name, _ in parameters]
        if len(set(names)) < len(names) or not {*names} <= {*_FLAGS, *_WINDOWS}:
            return None
        values = dict(parameters)
        if any(values.get(name) is not None for name in _FLAGS):
            return None
        server = values.get("server_max_window_bits", str(SERVER_WINDOW_BITS))
        client = values.get("client_max_window_bits") or str(CLIENT_WINDOW_BITS)
        if server is None or not _BITS.fullmatch(server) or not _BITS.fullmatch(client):
            return None
        if int(server) < LEAST_WINDOW_BITS:
            return None
        return cls(
            "server_no_context_takeover" in values,
            "client_no_context_takeover" in values,
            min(int(server), SERVER_WINDOW_BITS),
            int(client) if "client_max_window_bits" in values else None,
        )

    def __str__(self) -> str:
        """Return it as the answer says it."""
        words = ["permessage-deflate", *(name for name in _FLAGS if getattr(self, name))]
        words.append(f"server_max_window_bits={self.server_max_window_bits}")
        if self.client_max_window_bits is not None:
            words.append(f"client_max_window_bits={self.client_max_window_bits}")
        return "; ".join(words)


def agree(field: str) -> Deflate | None:
    """Return the first offer that can be taken; None: there is none. Raises OfferError."""
    for name, parameters in _offers(field):
        if name == "permessage-deflate":
            deflate = Deflate.of(parameters)
            if deflate is not None:
                return deflate
    return None


def _offers(field: str) -> Iterator[tuple[str, Parameters]]:
    position, at_name, count = 0, True, 0
    name, parameters = "", Parameters()
    while position <= len(field):
        part, count = _PART.match(field, position), count + 1
        if part is None or count > MAX_PARTS:
            raise OfferError("Sec-WebSocket-Extensions is malformed.")
        word, token, quoted, end = part.groups()
        has_value = token is not None or quoted is not None
        if at_name:
            # An empty element of a list is none, RFC 9110 section 5.6.1.
            if has_value or (word is None and end == ";"):
                raise OfferError("Sec-WebSocket-Extensions is malformed.")
            name, parameters = word or "", []
        elif word is None:
            raise OfferError("Sec-WebSocket-Extensions is malformed.")
        else:
            parameters.append((word, token if quoted is None else quoted.replace("\\", "")))
        at_name = end != ";"
        if at_name and name:
            yield name, parameters
        position = part.end() + (end == "")
