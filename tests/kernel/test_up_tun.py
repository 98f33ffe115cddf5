"""`pystack up tun0 --tun`: bare packets of both IP versions to and from the kernel."""

import sys

import pytest
from netns import NetworkNamespace
from test_up_http import pattern
from up import StackUp, needs

pytestmark = pytest.mark.kernel


def test_a_tun_device_carries_pings_fragments_and_a_large_file(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, address: str, url: str
) -> None:
    stack = stack_up("--tun", "-vv", offload, interface="tun0")
    assert stack.ready.startswith("ready: tun0 10.77.0.2 http://10.77.0.2/ fd77::2 ")
    assert b"link/none" in netns.run(["ip", "link", "show", "tun0"]).stdout
    for size in ("56", "3000"):
        netns.run(["ping", "-c", "2", "-i", "0.1", "-W", "20", "-s", size, address])
    argv = ["curl", "-g", "-sSf", f"{url}/bytes/5000000"]
    assert netns.run(argv).stdout == pattern(5_000_000)
    assert stack.stop() == 0
    for asked in (" arp ", "neighbor solicitation", "who-has"):
        assert asked not in stack.log.lower()


@needs("traceroute")
def test_traceroute_finds_the_stack(
    netns: NetworkNamespace, stack_up: StackUp, address: str
) -> None:
    stack_up("--tun", interface="tun0")
    said = netns.run(["traceroute", "-n", "-q", "1", "-w", "20", address]).stdout.decode()
    assert said.splitlines()[1].split()[:2] == ["1", address]


def test_a_tap_is_no_tun(netns: NetworkNamespace) -> None:
    netns.run(["ip", "tuntap", "add", "tun0", "mode", "tap"])
    argv = [sys.executable, "-m", "pystack", "up", "tun0", "--tun"]
    done = netns.run(argv, expect=1)
    assert done.stderr == (
        b"pystack: tun0 exists and is not a TUN with a single queue: choose another name\n"
    )
