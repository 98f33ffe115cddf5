"""Chance, made repeatable: one seed gives every named component a `Random` of its own.

So a link that is added draws from its own source, and the numbers of all others stay as they were.
This is the one module below `runtime/` that may import `random`.
"""

import hashlib
from random import Random, SystemRandom

__all__ = ["Random", "component_rng", "fresh_seed"]


def component_rng(seed: int, name: str) -> Random:
    """Return the random source of the component `name`: the same for the same seed, everywhere."""
    # A hash, not hash(): that one differs from process to process.
    digest = hashlib.sha256(f"{seed}/{name}".encode(errors="surrogatepass")).digest()
    return Random(int.from_bytes(digest[:16], "big"))


def fresh_seed() -> int:
    """Return a seed that nobody can guess, for runs that were given none."""
    return SystemRandom().getrandbits(64)
