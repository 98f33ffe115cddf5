"""Amounts in words: times, bytes, counts."""

from __future__ import annotations

from collections.abc import Sequence


def duration(seconds: float) -> str:
    """Return a time span in the unit that suits it, to three figures or a little more."""
    size = abs(seconds)
    if size < 5e-10:
        return "0 ms"
    if size < 0.99995e-3:
        return f"{_short(seconds * 1e6)} µs"
    if size < 0.99995:  # what would be rounded to 1000 ms
        return f"{_short(seconds * 1e3)} ms"
    if size < 120:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    return f"{seconds / 60:.1f} min"


def span(seconds: float) -> str:
    """Return a length of time with three digits or four: "12.5 ms", "800 us", "1.203 s"."""
    size = abs(seconds)
    if size < 0.5e-9:
        return "0 ms"
    if size < 0.5e-6:
        return f"{seconds * 1e9:.0f} ns"
    if size < 1e-3:
        return f"{_digits(seconds * 1e6)} us"
    if size < 0.9999995:
        return f"{_digits(seconds * 1e3)} ms"
    return f"{_digits(seconds)} s"


def size(count: int) -> str:
    """Return a number of bytes: "1 byte", "14,023 bytes"."""
    return f"{count:,} byte{'' if count == 1 else 's'}"


def count(number: int, what: str, many: str = "") -> str:
    """Return a number with its noun: "1 segment", "12 segments"."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def rate(bits_per_second: float) -> str:
    """Return a rate as people say it: "10 Mbit/s"."""
    for unit, factor in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bits_per_second >= factor * 0.9995:
            return f"{_digits(bits_per_second / factor)} {unit}"
    return f"{_digits(bits_per_second)} bit/s"


def listed(words: Sequence[str]) -> str:
    """Return words as in a sentence: "a, b and c"."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def printable(data: bytes, most: int = 200) -> str:
    """Return what a stranger wrote, fit for any terminal: printable ASCII, not too long."""
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data[:most])
    return f"{text}..." if len(data) > most else text


def _digits(value: float) -> str:
    text = f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return text


def _short(number: float) -> str:
    """Return it with one figure behind the point, or none where there is nothing to say."""
    return f"{number:.1f}".removesuffix(".0")
