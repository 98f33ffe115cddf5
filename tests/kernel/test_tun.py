"""Opening devices and setting interfaces up, beside python-pytun, which does both in C."""

import fcntl
import os
import struct
from contextlib import closing

import pytest
from netns import NetworkNamespace

from pystack.core.addresses import (
    Prefix,
    parse_interface_address,
    parse_ip,
    parse_mac,
    parse_prefix,
)
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
            link = ifconfig.link("dev0")
            assert (link.mtu_bytes, theirs.mtu, link.is_up) == (1500, 1500, False)
            assert ifconfig.addresses("dev0") == []
            theirs.mtu, theirs.addr, theirs.netmask = 1400, "10.77.0.1", "255.255.255.128"
            theirs.up()
            link = ifconfig.link("dev0")
            assert (link.mtu_bytes, link.is_up) == (1400, True)
            assert ifconfig.addresses("dev0") == [parse_interface_address("10.77.0.1/25")]
            ifconfig.set_link("dev0", mtu_bytes=1300)
            ifconfig.set_addresses("dev0", [parse_interface_address("10.78.0.1/24")])
            assert (theirs.mtu, theirs.addr, theirs.netmask) == (1300, "10.78.0.1", "255.255.255.0")
            ifconfig.set_addresses("dev0", [])
            with pytest.raises(OSError, match="assign requested address"):
                theirs.addr  # noqa: B018


@pytest.mark.parametrize(
    ("address", "block", "gateway", "far"),
    [
        ("10.77.0.1/24", "10.99.0.0/24", "10.77.0.9", "10.99.0.1"),
        ("fd77::1/64", "fd99::/64", "fd77::9", "fd99::1"),
    ],
)
def test_addresses_and_routes_are_those_that_ip_shows(
    netns: NetworkNamespace, address: str, block: str, gateway: str, far: str
) -> None:
    family = "-6" if ":" in address else "-4"
    own = parse_interface_address(address)
    via = parse_ip(gateway)
    with netns.entered(), closing(tun.attach("dev0", tap=True, vnet_header=False)):
        ifconfig.set_link("dev0", up=True, queue_frames=77, mac=parse_mac("02:00:00:00:00:07"))
        ifconfig.add_address("dev0", *own)
        assert ifconfig.link("dev0").queue_frames == 77
        assert ifconfig.addresses("dev0") == [own]
        with pytest.raises(FileExistsError):
            ifconfig.add_address("dev0", *own)
        shown = netns.run(["ip", family, "address", "show", "dev", "dev0"]).stdout
        assert f" {address} ".encode() in shown
        assert b"tentative" not in next(line for line in shown.split(b"inet") if b"global" in line)
        assert ifconfig.way_to(parse_ip(far)) is None
        for _ in range(2):  # the second time it is there already
            ifconfig.add_route(parse_prefix(block), via=via, interface="dev0")
        assert ifconfig.way_to(parse_ip(far)) == ifconfig.Way("dev0", False, True)
        assert ifconfig.way_to(via) == ifconfig.Way("dev0", False, False)
        assert ifconfig.way_to(own[0]) == ifconfig.Way("lo", True, False)
        everywhere = parse_prefix("::/0" if family == "-6" else "0.0.0.0/0")
        ifconfig.add_route(everywhere, via=via, interface="dev0")
        assert b"default via" in netns.run(["ip", family, "route"]).stdout
        ifconfig.delete_default_routes("dev0")
        assert b"default via" not in netns.run(["ip", family, "route"]).stdout
        ifconfig.remove_address("dev0", *own)
        assert ifconfig.addresses("dev0") == []


def test_a_persistent_device_of_pytuns_is_taken_over(netns: NetworkNamespace) -> None:
    with netns.entered():
        theirs = pytun.TunTapDevice(name="dev0", flags=pytun.IFF_TUN | pytun.IFF_NO_PI)
        theirs.persist(True)
        theirs.close()
        with closing(tun.attach("dev0", tap=False, vnet_header=False)) as ours:
            ifconfig.add_address("dev0", *parse_interface_address("10.77.0.1/24"))
            ifconfig.set_link("dev0", up=True)
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
