"""Which host the running code is on: what makes Trio's networking belong to a host.

`host.run`, `start` and `start_soon` set it; tasks that are started from there inherit it, and so do
the threads of `trio.to_thread.run_sync`.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from pystack.core.rng import fresh_seed

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

# None: the code is on no host, and networking is the machine's own.
current_host: Final[ContextVar[BareHost | None]] = ContextVar("pystack_host", default=None)

# The seed of a run: of networks that are given none. None: each of those draws one.
seed_of_run: Final[ContextVar[int | None]] = ContextVar("pystack_seed", default=None)


def seed_or_fresh(seed: int | None) -> int:
    """Return a seed that was given, or the run's, or one that nobody can guess."""
    if seed is None:
        seed = seed_of_run.get()
    return fresh_seed() if seed is None else seed
