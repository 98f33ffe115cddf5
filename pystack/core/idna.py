"""Names in other alphabets than ASCII, as DNS has them (RFC 5890): one way for the whole project.

By IDNA 2008 with the mapping of UTS 46, as Trio, browsers and curl have it. Python's own codec has
IDNA 2003, where "größe" is "xn--grsse-kua": another name, which its owner has not.
"""

from __future__ import annotations

import re
from typing import Final

import idna

_DOTS: Final = re.compile("[.\u3002\uff0e\uff61]")  # UTS 46 section 2.3


def to_ascii(name: str) -> str:
    """Return a name in ASCII: "xn--gre-6ka8i". What is ASCII already is left as it is.

    Raises ValueError for what cannot be a name.
    """
    if name.isascii():
        return name
    return ".".join(
        label if label.isascii() else idna.encode(label, uts46=True).decode("ascii")
        for label in _DOTS.split(name)
    )


def from_ascii(name: str) -> str:
    """Return "größe" for "xn--gre-6ka8i". Raises ValueError where it only looks like that."""
    return idna.decode(name)
