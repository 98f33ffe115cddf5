"""How delays are spread: the distributions of tc-netem(8), as tables of quantiles.

A table turns an even number from 0 to below 1 into how many jitters a delay is off its mean. The
built-in ones are computed here, at the middle of each of 4096 equal parts; netem's own are files,
whose numbers are 8192 times that: whitespace between them, lines that begin with # left out. What
tc finds by name in its own directory is found there too, `experimental` for one (delays that were
measured on the Internet): iproute2 brings that file, we do not.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from pystack.core.errors import ConfigError

Table = tuple[float, ...]

SCALE: Final = 8192  # NETEM_DIST_SCALE: one jitter in a table file
MAX_ENTRIES: Final = 16384  # NETEM_DIST_MAX: what the kernel takes
_INT16: Final = range(-32768, 32768)  # a table file holds numbers of 16 bits

_ENTRIES: Final = 4096
_LIMIT: Final = 32767 / SCALE  # 4 jitters, where netem's tables end too
_PARETO_SHAPE: Final = 3.0
_PARETO_MEAN: Final = 1.5  # of the Pareto distribution of that shape that begins at 1

NAMES: Final = ("uniform", "normal", "pareto", "paretonormal")
# Where distributions of Linux keep the tables of tc
TC_DIRECTORIES: Final = ("/usr/lib/tc", "/usr/lib64/tc", "/usr/share/tc", "/lib/tc")
_TC_SUFFIX: Final = ".dist"


def parse_distribution(value: str | Path) -> Table | None:
    """Return the table of a name or of a file; None for uniform. Raises ConfigError."""
    if value == "uniform":
        return None
    if isinstance(value, str):
        if value in NAMES:
            return _built_in(value)
        for directory in TC_DIRECTORIES if "/" not in value else ():
            known = Path(directory, value + _TC_SUFFIX)
            if known.is_file():
                return read_table(known)
        if value == "experimental":
            raise ConfigError(
                "the table 'experimental' is a file of iproute2, and in none of "
                f"{', '.join(TC_DIRECTORIES)}: install that, or give the path of a table file"
            )
    return read_table(value)


def read_table(path: str | Path) -> Table:
    """Read a table file as tc does. Raises ConfigError."""
    try:
        text = Path(path).read_text(encoding="ascii", errors="strict")
    except (OSError, ValueError):
        raise ConfigError(
            f"{str(path)!r} is neither a distribution ({', '.join(NAMES)}) "
            f"nor a table file that can be read, nor one of tc's in {TC_DIRECTORIES[0]}"
        ) from None
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    try:
        numbers = [int(word) for line in lines for word in line.split()]
    except ValueError as error:
        raise ConfigError(f"the distribution table {path} is damaged: {error}") from None
    if not 1 <= len(numbers) <= MAX_ENTRIES:
        raise ConfigError(f"the distribution table {path} has {len(numbers)} entries, not 1..16384")
    if any(number not in _INT16 for number in numbers):
        raise ConfigError(f"the distribution table {path} has a number outside of 16 bits")
    return tuple(number / SCALE for number in numbers)


@lru_cache
def _built_in(name: str) -> Table:
    # Imported here, so that only users of these pay the 10 ms that it takes.
    from statistics import NormalDist

    quantile: dict[str, Callable[[float], float]] = {
        "normal": NormalDist().inv_cdf,
        "pareto": _pareto_quantile,
        "paretonormal": lambda u: (NormalDist().inv_cdf(u) + 3 * _pareto_quantile(u)) / 4,
    }
    middles = ((number + 0.5) / _ENTRIES for number in range(_ENTRIES))
    return tuple(max(-_LIMIT, quantile[name](middle)) for middle in middles)


def _pareto_quantile(u: float) -> float:
    # Less its mean; 4/3 is netem's factor, which makes its deviation 1.15 jitters.
    value: float = (1.0 - u) ** (-1.0 / _PARETO_SHAPE)
    return min((value - _PARETO_MEAN) * 4 / 3, _LIMIT)
