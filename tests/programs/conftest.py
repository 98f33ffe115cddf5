"""What the programs' tests share."""

import pytest
from like_linux import speech  # noqa: F401 - a fixture
from worlds import Certificates


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """Return certificates that everybody in the tests' networks trusts."""
    return Certificates()
