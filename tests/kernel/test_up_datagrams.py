"""ping and UDP against `pystack up`: sizes on both sides of the MTU, and far beyond it."""

import pytest
from netns import NetworkNamespace
from up import StackUp

pytestmark = pytest.mark.kernel


def test_ping_of_all_sizes(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, address: str
) -> None:
    stack_up(offload)
    for size in (0, 56, 1452, 1453, 1472, 1473, 65000, 65507):
        # One by one: after its first reply ping waits for others no longer than they have taken.
        argv = ["ping", "-n", "-c", "1", "-W", "20", "-s", str(size), address]
        for _ in range(3):
            output = netns.run(argv).stdout.decode()
            assert "1 packets transmitted, 1 received, 0% packet loss" in output
            assert "wrong data byte" not in output


def test_udp_echo_of_all_sizes(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, address: str
) -> None:
    stack_up("--serve", "echo", offload)
    sizes = [0, 1, 2, 1451, 1452, 1453, 1471, 1472, 1473, 8000, 65506, 65507]
    assert netns.python("udp_echo", *sizes).split() == [str(size) for size in sizes]


@pytest.mark.parametrize("mtu", [576, 1280, 9000])
def test_udp_echo_with_another_mtu(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, mtu: int, address: str
) -> None:
    ready = stack_up("--serve", "echo", "--mtu", str(mtu), offload).ready
    assert ("fd77::2" in ready) == (mtu >= 1280)  # IPv6's least
    if address not in ready:
        return
    sizes = [str(size) for size in (mtu - 48, mtu - 47, mtu - 28, mtu - 27, 65507)]
    assert netns.python("udp_echo", *sizes).split() == sizes


def test_an_address_that_nobody_has_is_not_answered_for(
    netns: NetworkNamespace, stack_up: StackUp, address: str
) -> None:
    stack_up()
    netns.run(["ping", "-c", "1", "-W", "5", address])
    result = netns.run(["ping", "-n", "-c", "1", "-W", "10", f"{address[:-1]}3"], expect=1)
    said = b"Address unreachable" if ":" in address else b"Destination Host Unreachable"
    assert said in result.stdout


def test_a_closed_udp_port_is_unreachable_at_once(
    netns: NetworkNamespace, stack_up: StackUp, address: str
) -> None:
    stack_up()
    assert netns.python("udp_refused", 7777) == "Connection refused\n"
