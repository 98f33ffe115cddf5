"""How long the rest of something long is waited for, so that a byte now and then holds up nobody.

A silence may be so long, and what comes makes good what was waited for, at a least rate.
"""


class Patience:
    """What is left of it."""

    __slots__ = ("_earns_s", "_most_s", "left_s")

    def __init__(self, most_s: float, least_rate_bps: float) -> None:
        self._most_s = self.left_s = most_s
        self._earns_s = 8 / least_rate_bps  # each byte

    def received(self, count: int, waited_s: float) -> None:
        """Take note of bytes, and of the time that they took to come."""
        self.left_s = min(self.left_s - waited_s + count * self._earns_s, self._most_s)
