"""A network that the kernel reaches elsewhere is refused, with the way out."""

import subprocess
import sys
from pathlib import Path

import pytest
from netns import NetworkNamespace
from up import URL, StackUp

from pystack.core.addresses import parse_ip4
from pystack.runtime.device.ifconfig import Way, free_network, way_to

pytestmark = pytest.mark.kernel

PYSTACK = [sys.executable, "-m", "pystack"]
LAB = """
[taps.tap7]
[hosts.server]
serve = ["http"]
[[links]]
between = ["tap7", "server"]
"""


def sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    [line] = done.stderr.decode().splitlines()
    return line


def add_dummy(netns: NetworkNamespace, address: str) -> None:
    netns.run(["ip", "link", "add", "veth0", "type", "veth", "peer", "veth1"])
    netns.run(["ip", "address", "add", address, "dev", "veth0"])
    for name in ("veth0", "veth1"):
        netns.run(["ip", "link", "set", name, "up"])


def test_the_kernel_says_which_way(netns: NetworkNamespace) -> None:
    add_dummy(netns, "192.0.2.1/24")
    with netns.entered():
        assert way_to(parse_ip4("10.1.2.3")) is None
        assert way_to(parse_ip4("192.0.2.7")) == Way("veth0", is_local=False, has_gateway=False)
        assert way_to(parse_ip4("192.0.2.1")) == Way("lo", is_local=True, has_gateway=False)
        netns.run(["ip", "route", "add", "default", "via", "192.0.2.9"])
        assert way_to(parse_ip4("10.1.2.3")) == Way("veth0", is_local=False, has_gateway=True)
        netns.run(["ip", "route", "add", "blackhole", "10.1.2.0/24"])
        assert way_to(parse_ip4("10.1.2.3")) is None
        assert str(free_network(parse_ip4("10.77.0.2"))) == "10.78.0.0/24"


def test_a_second_stack_in_the_same_network_is_refused(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    stack_up()
    assert sentence(netns.run([*PYSTACK, "up", "tap1"], expect=1)) == (
        "pystack: the kernel sends packets for 10.77.0.2 to tap0, and not to tap1 "
        "(a second pystack up, a VPN?); 10.78.0.0/24 is free: --address 10.78.0.2/24, "
        "or subnet in a lab"
    )
    assert netns.run(["ip", "link", "show", "tap1"], expect=None).returncode
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.77.0.9/24", "packets for 10.77.0.2 to veth0, and not to tap0"),
        ("10.77.0.9/28", "packets for 10.77.0.2 to veth0, and not to tap0"),
        ("10.77.0.2/24", "10.77.0.2 is an address of this machine itself"),
    ],
)
def test_a_network_that_is_elsewhere_is_refused(
    netns: NetworkNamespace, address: str, reason: str
) -> None:
    add_dummy(netns, address)
    assert reason in sentence(netns.run([*PYSTACK, "up", "tap0"], expect=1))


def test_a_device_that_stays_gets_its_address_back(netns: NetworkNamespace) -> None:
    add_dummy(netns, "10.77.0.9/24")
    netns.run(["ip", "tuntap", "add", "tap0", "mode", "tap"])
    shown = ["ip", "-brief", "-4", "address", "show", "tap0"]
    netns.run([*PYSTACK, "up", "tap0"], expect=1)
    assert netns.run(shown).stdout.split()[2:] == []
    netns.run(["ip", "address", "add", "192.0.2.5/28", "dev", "tap0"])
    netns.run([*PYSTACK, "up", "tap0"], expect=1)
    assert netns.run(shown).stdout.split()[2:] == [b"192.0.2.5/28"]


def test_what_a_route_of_its_own_brings_elsewhere_is_no_hindrance(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    add_dummy(netns, "192.0.2.1/24")
    netns.run(["ip", "route", "add", "default", "via", "192.0.2.9"])
    netns.run(["ip", "route", "add", "10.0.0.0/8", "via", "192.0.2.9"])
    stack_up()
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])


def test_a_lab_whose_tap_cannot_be_had_says_why_in_one_sentence(
    netns: NetworkNamespace, tmp_path: Path, stack_up: StackUp
) -> None:
    (tmp_path / "lab.toml").write_text(LAB)
    run = [*PYSTACK, "lab", "run", str(tmp_path / "lab.toml")]
    powerless = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--", *run]
    assert "no permission to make the interface tap7" in sentence(netns.run(powerless, expect=1))
    stack_up(interface="tap7")
    assert "tap7 is in use by another program" in sentence(netns.run(run, expect=1))


def test_a_lab_whose_tap_is_not_the_way_is_refused(netns: NetworkNamespace, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(LAB)
    add_dummy(netns, "10.0.0.99/24")
    done = netns.run([*PYSTACK, "lab", "run", str(tmp_path / "lab.toml")], expect=1)
    assert "sends packets for 10.0.0.2 to veth0, and not to tap7" in sentence(done)
    assert done.stdout == b""
