"""What a stream can show: colours, and characters that lines are drawn with."""

import os
from typing import TextIO


def has_colours(stream: TextIO) -> bool:
    """Tell whether colours are wanted (no-color.org) and can be seen."""
    return (
        not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") not in {"", "dumb"}
        and stream.isatty()
    )


def can_show(stream: TextIO, characters: str) -> bool:
    """Tell whether the stream's encoding has all of these characters."""
    try:
        characters.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
