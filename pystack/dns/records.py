"""Records in text, a line each, as zone files have them: "www.example.test 300 A 10.77.0.5".

All names are whole, with a dot at the end or without. The time to live may be left out, and the
class (`IN`) too.
"""

from __future__ import annotations

import re
from typing import Final

from pystack.core.errors import ConfigError
from pystack.wire import dns

DEFAULT_TTL_S: Final = 300
FORM: Final = "NAME [TTL] TYPE DATA"
EXAMPLE: Final = "www.example.test 300 A 10.77.0.5"

# A number ends with its unit or the text: else a long one could be cut in any number of ways.
_TTL: Final = re.compile(r"(?:\d+[smhdw])*\d*", re.ASCII | re.IGNORECASE)
_TTL_PART: Final = re.compile(r"(\d+)([smhdw]?)", re.ASCII | re.IGNORECASE)
_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Of a message or a query, and never in a zone (RFC 6895 section 3.1)
_META_KINDS: Final = frozenset({dns.OPT, *range(128, 256)})


def parse_record(text: str) -> dns.Record:
    """Read one record. Raises ConfigError."""
    name, rest = _first_word(text)
    ttl_s: int | None = None  # None: not said yet
    has_class = False
    try:
        while True:
            word, after = _first_word(rest)
            if ttl_s is None and word and _TTL.fullmatch(word):
                ttl_s = _ttl_s(word)
            elif not has_class and word.upper() == "IN":
                has_class = True
            else:
                break
            rest = after
        if not word:
            raise ValueError(f"it is {FORM}")
        kind = dns.kind_of(word)
        if kind in _META_KINDS:
            raise ValueError(f"{word.upper()} is for queries, and no record")
        return dns.record(name, kind, DEFAULT_TTL_S if ttl_s is None else ttl_s, after)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a record such as {EXAMPLE!r}: {error}") from None


def _first_word(text: str) -> tuple[str, str]:
    word, *rest = text.split(None, 1) or ("",)
    return word, rest[0].strip() if rest else ""


def _ttl_s(text: str) -> int:
    """Return seconds, of "300", "5m", "1h30m"."""
    return sum(int(number) * _UNITS_S[unit.lower()] for number, unit in _TTL_PART.findall(text))
