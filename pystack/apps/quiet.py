"""What services say in a log, held back where the client speaks first."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_services() -> Iterator[None]:
    """Let services tell of their own faults alone, and not how to trust them, and the like."""
    log = logging.getLogger("pystack.apps")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
