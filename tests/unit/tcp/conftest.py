"""The fixtures of the TCP tests: every one begins just below 2**32."""

from collections.abc import Iterator

import pytest
from script import Script


@pytest.fixture
def tcp() -> Iterator[Script]:
    """Give a connection that is still closed; at the end nothing unexpected may have been sent."""
    script = Script()
    yield script
    script.nothing_left()
