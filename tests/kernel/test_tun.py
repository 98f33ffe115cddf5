"""Opening devices and setting interfaces up, beside python-pytun, which does both in C."""

import fcntl
import os
import struct
from contextlib import closing

import pytest
from netns import NetworkNamespace

from pystack.core.addresses import Prefix, parse_interface_address
from pystack.runtime.device import ifconfig, tun

pytun = pytest.importorskip("pytun", reason="python-pytun is not installed")
pytestmark = pytest.mark.kernel

TUNGETIFF = 0x800454D2


def what_it_is(fd: int) -> tuple[bytes, int]:
    """Return the name and the flags of a device as the kernel has them."""
    answer: tuple[bytes, int] = struct.unpack_from("16sH", fcntl.ioctl(fd, TUNGETIFF, bytes(40)))
    return answer


@pytest.mark.parametrize("vnet_header", [True, False])
@pytest.mark.parametrize("tap", [True, False])
def test_a_device_is_what_pytun_makes(
    netns: NetworkNamespace, tap: bool, vnet_header: bool
) -> None:
    flags = (pytun.IFF_TAP if tap else pytun.IFF_TUN) | pytun.IFF_NO_PI
    if vnet_header:
        flags |= pytun.IFF_VNET_HDR
    with netns.entered():
        with closing(pytun.TunTapDevice(name="dev0", flags=flags)) as theirs:
            expected = what_it_is(theirs.fileno())
        with closing(tun.attach("dev0", tap=tap, vnet_header=vnet_header)) as ours:
            assert ours.name == "dev0"
            assert what_it_is(ours.fileno()) == expected
            assert not os.get_blocking(ours.fileno())
            assert not os.get_inheritable(ours.fileno())


def test_an_interface_is_read_and_set_as_by_pytun(netns: NetworkNamespace) -> None:
    with netns.entered():
        theirs = pytun.TunTapDevice(name="dev0", flags=pytun.IFF_TAP | pytun.IFF_NO_PI)
        with closing(theirs):
            assert (ifconfig.mtu_of("dev0"), theirs.mtu) == (1500, 1500)
            assert ifconfig.address_of("dev0") is None
            assert not ifconfig.is_up("dev0")
            theirs.mtu, theirs.addr, theirs.netmask = 1400, "10.77.0.1", "255.255.255.128"
            theirs.up()
            assert ifconfig.mtu_of("dev0") == 1400
            assert ifconfig.address_of("dev0") == parse_interface_address("10.77.0.1/25")
            assert ifconfig.is_up("dev0")
            ifconfig.set_mtu("dev0", 1300)
            ifconfig.set_address("dev0", *parse_interface_address("10.78.0.1/24"))
            assert (theirs.mtu, theirs.addr, theirs.netmask) == (1300, "10.78.0.1", "255.255.255.0")
            ifconfig.remove_address("dev0")
            with pytest.raises(OSError, match="assign requested address"):
                theirs.addr  # noqa: B018


def test_a_persistent_device_of_pytuns_is_taken_over(netns: NetworkNamespace) -> None:
    with netns.entered():
        theirs = pytun.TunTapDevice(name="dev0", flags=pytun.IFF_TUN | pytun.IFF_NO_PI)
        theirs.persist(True)
        theirs.close()
        with closing(tun.attach("dev0", tap=False, vnet_header=False)) as ours:
            ifconfig.set_address("dev0", *parse_interface_address("10.77.0.1/24"))
            ifconfig.set_up("dev0")
            ifconfig.add_route(Prefix.of(10 << 24 | 99 << 16, 24), via=None, interface="dev0")
            packet = netns.run(["ping", "-c", "1", "-W", "0.1", "10.99.0.1"], expect=None)
            assert packet.returncode == 1  # nobody answers
            assert until_ipv4(ours.fileno())[16:20] == bytes((10, 99, 0, 1))


def until_ipv4(fd: int) -> bytes:
    """Return the first IPv4 packet that the kernel has sent."""
    while True:
        packet = os.read(fd, 2048)
        if packet[0] >> 4 == 4:
            return packet
