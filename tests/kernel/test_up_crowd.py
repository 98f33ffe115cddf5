"""A thousand connections at once over a real TAP."""

from typing import Final

import pytest
from netns import NetworkNamespace
from up import StackUp

pytestmark = pytest.mark.kernel

CONNECTIONS: Final = 1000
ROUNDS: Final = 5


def test_a_thousand_busy_connections_all_get_their_own_bytes_back(
    netns: NetworkNamespace, stack_up: StackUp, offload: str
) -> None:
    stack = stack_up(offload, "--serve", "echo")
    said = netns.python("crowd", CONNECTIONS, ROUNDS).split()
    assert said == [str(CONNECTIONS)] * 2
    assert stack.stop() == 0
