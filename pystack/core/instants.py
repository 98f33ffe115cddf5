"""When two instants are the same one.

Instants are seconds in a float, and a sum of floats depends on its order: 8 x 1514 / 1e8 is not
1514 x (8 / 1e8) to the last bit. Compared as they are, that bit decides who comes first. So who
asks whether an instant has come takes half a nanosecond's grace (`GRACE_S`), and what links hand to
others falls on a grid (`snap`), so that instants that are equal are equal floats. The grid is finer
than the grace, since a rate like 2.5 Gbit/s has no whole nanoseconds: over a hundred links, its
rounding stays within the grace.

The rule for ties, everywhere: what leaves at an instant leaves before what comes at that instant
finds it there. docs/decisions.md says why these are not whole numbers.
"""

from typing import Final

GRACE_S: Final = 0.5e-9
NANOSECOND_S: Final = 1e-9

# Added to a float below 2**51 and taken off again, this leaves the nearest whole number.
_TO_WHOLE: Final = 6755399441055744.0  # 1.5 * 2**52


def snap(at: float) -> float:
    """Return the float nearest to a multiple of 10 ps: of equal instants the same one.

    From 6 hours on the grid is 20 ps, from 12 on 40 ps, and so on; infinity stays as it is.
    """
    return (at * 1e11 + _TO_WHOLE - _TO_WHOLE) / 1e11
