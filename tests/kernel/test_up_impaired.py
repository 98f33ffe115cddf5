"""`pystack up` with netem's words: the path between kernel and stack behaves badly, both ways."""

import re

import pytest
from netns import NetworkNamespace
from up import StackUp

pytestmark = pytest.mark.kernel


def test_fifty_milliseconds_of_delay_make_a_hundred_of_round_trip(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, address: str
) -> None:
    stack_up("--delay", "50ms", offload)
    output = netns.run(["ping", "-c", "3", "-i", "0.2", address]).stdout.decode()
    fastest = re.search(r"rtt min/avg/max/mdev = ([0-9.]+)/", output)
    assert fastest is not None, output
    assert float(fastest[1]) >= 100  # never early; how late is the machine's affair


def test_what_is_lost_on_the_way_is_sent_again(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, url: str
) -> None:
    stack_up("--loss", "5%", "--delay", "2ms", "--seed", "3", offload)
    argv = ["curl", "-g", "-sS", "-m", "60", "-o", "/dev/null", "-w", "%{size_download}"]
    assert netns.run([*argv, f"{url}/bytes/500000"]).stdout == b"500000"
