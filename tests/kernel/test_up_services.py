"""The simple services over TCP and UDP, as a client on the machine sees them."""

import pytest
from netns import NetworkNamespace
from up import StackUp

pytestmark = pytest.mark.kernel

SERVE = [word for name in ("echo", "discard", "chargen", "daytime") for word in ("--serve", name)]


@pytest.mark.parametrize("client", ["tcp_services", "udp_services"])
def test_echo_discard_chargen_and_daytime(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, client: str
) -> None:
    stack_up(*SERVE, offload)
    assert netns.python(client).split() == ["echo", "discard", "chargen", "daytime"]
