"""The benches of the unit tests of TCP, for the tests here: one connection, or a whole host."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "tcp"))

from script import Script
from tcp_bench import TcpBench


@pytest.fixture
def tcp() -> Script:
    """Return a connection that is still CLOSED, with Reno and plain settings."""
    return Script()


@pytest.fixture
def bench() -> TcpBench:
    """Return a host with a peer it knows."""
    return TcpBench()
