"""The end of a sentence about a wrong word: the nearest right one, or else all that there are."""

import difflib
from collections.abc import Iterable
from typing import Final

# How alike two words must be, 0..1; by this "aging" is near "ageing", and "cubic" not near "pie".
_ALIKE: Final = 0.5

# What others call it: no likeness leads from there to netem's words.
_ELSEWHERE: Final = {
    "latency": "delay",
    "rtt": "delay",
    "bandwidth": "rate",
    "throughput": "rate",
    "packet_loss": "loss",
    "drop_rate": "loss",
}


def nearest(word: object, known: Iterable[str]) -> str | None:
    """Return the word that was meant, most likely; None: it is like none of them."""
    names = list(known)
    if (ours := _ELSEWHERE.get(str(word).lower())) in names:
        return ours
    near = difflib.get_close_matches(str(word), names, len(names) or 1, _ALIKE)
    if not near:
        return None
    # Of those that are equally near, the one that was named first: "mb" means "mbit".
    best = _alike(word, near[0])
    return min((name for name in near if _alike(word, name) == best), key=names.index)


def suggest(word: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'delay'?", or " (there are: a, b)"; nothing where there are none."""
    names = list(known)
    near = nearest(word, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f" (there are: {', '.join(names)})" if names else ""


def counted(number: int, thing: str) -> str:
    """Return "1 link", "2 links"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _alike(word: object, name: str) -> float:
    # This way round, as `get_close_matches` does: it is not symmetric.
    return difflib.SequenceMatcher(None, name, str(word)).ratio()
