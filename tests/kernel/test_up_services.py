"""The simple services over TCP and UDP, as a client on the machine sees them."""

import pytest
from netns import NetworkNamespace
from up import StackUp

pytestmark = pytest.mark.kernel

NAMES = ["echo", "discard", "chargen", "daytime", "time"]
SERVE = [word for name in NAMES for word in ("--serve", name)]


@pytest.mark.parametrize("client", ["tcp_services", "udp_services"])
def test_the_simple_services_answer_rightly(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, client: str
) -> None:
    stack_up(*SERVE, offload)
    assert netns.python(client).split() == NAMES
