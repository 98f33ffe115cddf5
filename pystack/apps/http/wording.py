"""Values as people read them."""

from typing import Final

THIN_SPACE: Final = "\u202f"


def short(text: str, most: int = 60) -> str:
    """Return the beginning of a text that is too long to be shown."""
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def count(number: int) -> str:
    """Return a number with thin spaces between the thousands."""
    return f"{number:,}".replace(",", THIN_SPACE)


def counted(number: int, thing: str) -> str:
    """Return a number and its noun, in the plural where that is right."""
    return f"{count(number)} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a time span in the unit that suits it."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.01:
        return f"{seconds * 1e3:.2f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
