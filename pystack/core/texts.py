"""Text of strangers, as it may be shown."""


def harmless(text: str) -> str:
    """Return text for a terminal: what has no shape on paper (controls, reversals) as an escape.

    Much of what is told are words of strangers.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
