"""The end of a sentence about a wrong word: the nearest right one, or else all that there are."""

import difflib
from collections.abc import Iterable
from typing import Final

# How alike two words must be, 0..1; by this "aging" is near "ageing", and "cubic" not near "pie".
_ALIKE: Final = 0.5


def suggest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'delay'?", or " (there are: a, b)"; nothing where there are none."""
    names = list(known)
    near = difflib.get_close_matches(word, names, 1, _ALIKE)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f" (there are: {', '.join(names)})" if names else ""
