"""The syntax of commands: paths, mailboxes and parameters (RFC 5321 section 4.1.2, RFC 6531).

What a parser returns may go into a header field as it stands: it holds no control character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from pystack.apps.troubles import PeerError

MAX_PATH_BYTES: Final = 256  # RFC 5321 (4.5.3.1.3), with the brackets
MAX_LOCAL_BYTES: Final = 64  # (4.5.3.1.1)
MAX_DOMAIN_BYTES: Final = 255  # (4.5.3.1.2)
MAX_LABEL_BYTES: Final = 63  # RFC 1035 section 2.3.4

# RFC 6531 (3.3) lets all but ASCII in; of that, controls and what breaks or blanks a line stay out.
_UTF8: Final = "\u00a1-\u2027\u202a-\ud7ff\ue000-\U0010ffff"
_ATOM: Final = rf"[A-Za-z0-9!#$%&'*+\-/=?^_`{{|}}~{_UTF8}]+"
_QUOTED: Final = rf'"(?:[ !#-\[\]-~{_UTF8}]|\\[ -~])*"'
_LABEL: Final = rf"[A-Za-z0-9{_UTF8}](?:[A-Za-z0-9\-{_UTF8}]*[A-Za-z0-9{_UTF8}])?"
_DOMAIN: Final = rf"{_LABEL}(?:\.{_LABEL})*"
_LITERAL: Final = r"\[[!-Z^-~]+\]"
_PLACE: Final = rf"(?:{_DOMAIN}|{_LITERAL})"
_PATH: Final = re.compile(
    rf"<(?:@{_PLACE}(?:,@{_PLACE})*:)?(?P<local>{_ATOM}(?:\.{_ATOM})*|{_QUOTED})"
    rf"@(?P<domain>{_PLACE})>"
)
_PARAMETER: Final = re.compile(
    rf"(?P<keyword>[A-Za-z0-9][A-Za-z0-9\-]*)(?:=(?P<value>[!-<>-~{_UTF8}]+))?"
)
# Names that hosts really give themselves: an underscore is no reason to lose mail.
_HELO: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_])?\.?")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


class SyntaxTroubleError(PeerError):
    """What a client wrote is not what the grammar has there."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A sender or recipient. The null sender has neither part, Postmaster may lack a domain."""

    local: str  # without quotes
    domain: str  # in small letters; an address literal in its brackets
    text: str  # as it was written, without source route and brackets

    @property
    def is_ascii(self) -> bool:
        """Tell whether a server without SMTPUTF8 could take it."""
        return self.text.isascii()


NULL_SENDER: Final = Mailbox("", "", "")


def parse_path(text: str) -> tuple[Mailbox, str]:
    """Return the mailbox of `<path>` at the beginning, and what follows it.

    A source route is checked and left out, RFC 5321 (C). Raises SyntaxTroubleError.
    """
    match = _PATH.match(text)
    if match is None:
        raise SyntaxTroubleError("that is not a path: <local-part@domain> is meant")
    local, domain = match["local"], match["domain"]
    if len(match[0].encode()) > MAX_PATH_BYTES:
        raise SyntaxTroubleError(f"a path has at most {MAX_PATH_BYTES} bytes")
    if len(local.encode()) > MAX_LOCAL_BYTES:
        raise SyntaxTroubleError(f"a local part has at most {MAX_LOCAL_BYTES} bytes")
    if len(domain.encode()) > MAX_DOMAIN_BYTES:
        raise SyntaxTroubleError(f"a domain has at most {MAX_DOMAIN_BYTES} bytes")
    written = f"{local}@{domain}"
    if local.startswith('"'):
        local = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return Mailbox(local, _canonical_place(domain), written), text[match.end() :]


def parse_sender(text: str) -> tuple[Mailbox, str]:
    """Return the mailbox of a reverse path, `<>` included. Raises SyntaxTroubleError."""
    return (NULL_SENDER, text[2:]) if text.startswith("<>") else parse_path(text)


def parse_recipient(text: str) -> tuple[Mailbox, str]:
    """Return that of a forward path, `<Postmaster>` included. Raises SyntaxTroubleError."""
    name = text[1 : len("<postmaster")]
    if text.startswith("<") and name.lower() == "postmaster" and text[11:12] == ">":
        return Mailbox(name, "", name), text[12:]
    return parse_path(text)


def parse_parameters(text: str) -> dict[str, str | None]:
    """Return the parameters after a path: capitals, and the value (None where there is none).

    `text` begins with the blank before the first. Raises SyntaxTroubleError.
    """
    found: dict[str, str | None] = {}
    if not text:
        return found
    if not text.startswith(" "):
        raise SyntaxTroubleError("a blank is missing after the path")
    for word in text[1:].split(" "):
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise SyntaxTroubleError("that is not a parameter: KEYWORD or KEYWORD=VALUE is meant")
        keyword = match["keyword"].upper()
        if keyword in found:
            raise SyntaxTroubleError(f"{keyword} is there twice")
        found[keyword] = match["value"]
    return found


def is_helo_name(text: str) -> bool:
    """Tell whether it is a domain or an address literal, as HELO and EHLO have it."""
    if len(text) > MAX_DOMAIN_BYTES:
        return False
    if text.startswith("["):
        try:
            canonical_literal(text)
        except SyntaxTroubleError:
            return False
        return True
    return _HELO.fullmatch(text) is not None


def canonical_literal(text: str) -> str:
    """Return `[IPv4]` or `[IPv6:...]` in the form in which equal ones are equal.

    Raises SyntaxTroubleError, also for literals of other kinds: nobody has registered any.
    """
    inside = text[1:-1]
    if not text.startswith("[") or not text.endswith("]"):
        raise SyntaxTroubleError("an address literal stands in square brackets")
    try:
        if inside[:5].upper() == "IPV6:":
            if "%" in inside:
                raise SyntaxTroubleError("an address literal has no zone")
            return f"[ipv6:{IPv6Address(inside[5:])}]"
        return f"[{IPv4Address(inside)}]"
    except AddressValueError:
        raise SyntaxTroubleError(f"{text} is not an address literal") from None


def literal_of(address: str) -> str:
    """Return the canonical literal of an address in text; a zone is left out."""
    address, _, _zone = address.partition("%")
    return canonical_literal(f"[IPv6:{address}]" if ":" in address else f"[{address}]")


def _canonical_place(domain: str) -> str:
    if domain.startswith("["):
        return canonical_literal(domain)
    if any(len(label.encode()) > MAX_LABEL_BYTES for label in domain.split(".")):
        raise SyntaxTroubleError(f"a part of a domain has at most {MAX_LABEL_BYTES} bytes")
    return domain.lower()
