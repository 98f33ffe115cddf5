"""How the command was called, for sentences that say what to type next."""

import os
import shlex
from functools import cache
from typing import Final

_CALLED: Final = "PYSTACK_CALLED"  # set by scripts/pystack, whose command is in no PATH


@cache
def script() -> str | None:
    """Return the script by which pystack was called; None: as it is installed, `pystack`."""
    # Taken out: programs that pystack runs have the environment that it was started with.
    given = os.environ.pop(_CALLED, None)
    return None if given is None else shlex.quote(given)


def typed(words: str) -> str:
    """Return a command as whoever called this one types it: "scripts/pystack up"."""
    return f"{script() or 'pystack'} {words}"
