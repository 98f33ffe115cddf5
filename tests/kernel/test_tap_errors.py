"""Every reason why a TAP cannot be had is one sentence that says what to do."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from netns import NetworkNamespace

from pystack.core.addresses import parse_interface_address
from pystack.core.errors import ConfigError, DeviceError, PystackError
from pystack.runtime.device import tap_device, tun
from pystack.runtime.device.tap import TapPort

pytestmark = pytest.mark.kernel

HOST: Final = parse_interface_address("10.77.0.1/24")
NOBODY: Final = 65534


def refusal(
    netns: NetworkNamespace,
    name: str = "tap0",
    mtu_bytes: int = 1500,
    error: type[PystackError] = DeviceError,
) -> str:
    """Return why the interface cannot be opened; nothing may be left open."""
    before = os.listdir("/proc/self/fd")
    with netns.entered(), pytest.raises(error) as caught:
        TapPort.open(name, host_addresses=[HOST], mtu_bytes=mtu_bytes)
    assert os.listdir("/proc/self/fd") == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be the user nobody for a while."""
    try:
        os.seteuid(NOBODY)
    except OSError:
        pytest.skip("this user namespace has no second user to be")
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def node_for_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every user open a device, as most systems do."""
    # Not in pytest's folder, which others may not look into.
    with tempfile.TemporaryDirectory(prefix="pystack-") as folder:
        os.chmod(folder, 0o711)
        node = Path(folder, "tun")
        try:
            os.mknod(node, stat.S_IFCHR, os.stat(tun._CLONE).st_rdev)
            node.chmod(0o666)
            node.open("r+b", buffering=0).close()
        except OSError as error:
            if os.stat(tun._CLONE).st_mode & 0o006 != 0o006:
                pytest.skip(f"/dev/net/tun is for root alone here, and no other can be: {error}")
        else:
            monkeypatch.setattr(tun, "_CLONE", str(node))
        yield


def refusal_for_nobody(netns: NetworkNamespace) -> str:
    with netns.entered(), unprivileged(), pytest.raises(DeviceError) as caught:
        TapPort.open("tap0", host_addresses=[HOST])
    return str(caught.value)


def add_tap_of(netns: NetworkNamespace, user: int) -> None:
    argv = ["ip", "tuntap", "add", "tap0", "mode", "tap", "user", str(user)]
    if netns.run(argv, expect=None).returncode:
        pytest.skip("this user namespace has no second user to give a TAP to")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        ("sixteen-letters!", "is longer than 15 bytes"),
        ("ü" * 8, "is longer than 15 bytes"),
        ("a/b", "has a character that the kernel does not take"),
        ("a b", "has a character that the kernel does not take"),
        (".", "has a character that the kernel does not take"),
        ("a\0b", "has a character that cannot be printed"),
        ("x%s", "has a % that is not %d"),
        ("lo", "is the loopback's"),
    ],
)
def test_a_name_that_no_interface_can_have(
    netns: NetworkNamespace, name: str, problem: str
) -> None:
    assert problem in refusal(netns, name, error=ConfigError)


def test_a_numbered_name_is_the_kernels_to_choose(netns: NetworkNamespace) -> None:
    with netns.entered():
        first = TapPort.open("lab%d", host_addresses=())
        second = TapPort.open("lab%d", host_addresses=())
    assert (first.name, second.name) == ("lab0", "lab1")
    first.close()
    second.close()


def test_a_device_that_another_program_has(netns: NetworkNamespace) -> None:
    with netns.entered():
        port = TapPort.open("tap0", host_addresses=[HOST])
    assert refusal(netns) == (
        "tap0 is in use by another program (a second pystack up?): end that one, "
        "or choose another name"
    )
    port.close()


@pytest.mark.parametrize("kind", ["bridge", "tun"])
def test_an_interface_that_is_no_tap(netns: NetworkNamespace, kind: str) -> None:
    if kind == "bridge":
        netns.run(["ip", "link", "add", "x0", "type", "bridge"])
    if kind == "tun":
        netns.run(["ip", "tuntap", "add", "x0", "mode", "tun"])
    name = "x0"
    assert refusal(netns, name) == (
        f"{name} exists and is not a TAP with a single queue: choose another name"
    )


def test_an_mtu_that_the_kernel_does_not_take(netns: NetworkNamespace) -> None:
    message = refusal(netns, mtu_bytes=65600)
    assert message == "tap0 cannot be given an MTU of 65600: Invalid argument"


def test_no_device_node(netns: NetworkNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tun, "_CLONE", "/dev/nothing")
    assert refusal(netns).startswith("there is no /dev/net/tun: load the kernel's module")


def test_a_device_node_for_root_alone(
    netns: NetworkNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = tmp_path / "tun"
    node.touch(mode=0)
    monkeypatch.setattr(tun, "_CLONE", str(node))
    assert "sudo chmod 666 /dev/net/tun" in refusal_for_nobody(netns)


def test_a_device_node_that_is_something_else(
    netns: NetworkNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tun, "_CLONE", "/dev/null")
    assert refusal(netns) == (
        "the kernel does not make the interface tap0: Inappropriate ioctl for device"
    )


def test_another_platform_than_linux(
    netns: NetworkNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap_device.sys, "platform", "darwin")
    assert refusal(netns) == "TAP devices are Linux's: there is none on this platform (darwin)"


def test_a_kernel_without_offload_is_taken_as_it_is(
    netns: NetworkNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap_device, "_OFFLOADS", (0x40000000,))
    with netns.entered():
        port = TapPort.open("tap0", host_addresses=[HOST])
    assert not port.fills_checksums
    port.close()


@pytest.mark.usefixtures("node_for_all")
def test_no_privilege_to_make_an_interface(netns: NetworkNamespace) -> None:
    assert refusal_for_nobody(netns) == (
        "no permission to make the interface tap0: run it as root (sudo), or have root make it "
        "for you: ip tuntap add tap0 mode tap user $USER"
    )


@pytest.mark.usefixtures("node_for_all")
def test_a_tap_of_another_user(netns: NetworkNamespace) -> None:
    add_tap_of(netns, 1)
    assert refusal_for_nobody(netns) == (
        "tap0 belongs to another user: run it as root (sudo), or choose another name"
    )


@pytest.mark.usefixtures("node_for_all")
def test_a_tap_of_ones_own_needs_no_privilege_where_all_is_as_wanted(
    netns: NetworkNamespace,
) -> None:
    add_tap_of(netns, NOBODY)
    assert refusal_for_nobody(netns) == (
        "tap0 needs the address 10.77.0.1/24, which takes root: run it as root, "
        "or once: sudo ip address add 10.77.0.1/24 dev tap0"
    )
    netns.run(["ip", "address", "add", "10.77.0.1/24", "dev", "tap0"])
    assert refusal_for_nobody(netns).endswith("or once: sudo ip link set tap0 up")
    netns.run(["ip", "link", "set", "tap0", "up"])
    netns.run(["ip", "link", "set", "tap0", "mtu", "1400"])
    assert refusal_for_nobody(netns).endswith("or once: sudo ip link set tap0 mtu 1500")
    netns.run(["ip", "link", "set", "tap0", "mtu", "1500"])
    with netns.entered(), unprivileged():
        port = TapPort.open("tap0", host_addresses=[HOST])
        assert port.fills_checksums
        port.close()
