"""Values as people read them. What came from the peer is made harmless by `safe`."""

from html import escape


def safe(text: str) -> str:
    """Return text for HTML; what has no shape on paper (controls, reversals) as an escape."""
    return escape(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    )


def count(number: int) -> str:
    """Return a number with thin spaces between the thousands."""
    return f"{number:,}".replace(",", "\u202f")


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


def host_port(address: tuple[str, int]) -> str:
    """Return a socket address as it is written."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
