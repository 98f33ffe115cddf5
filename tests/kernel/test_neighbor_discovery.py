"""Neighbor discovery beside Linux's, over a real TAP: asked, answered, configured, defended."""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import netns as namespaces
import pytest
import trio
from netns import NetworkNamespace
from up import StackUp, needs

from pystack.core.addresses import (
    LINK_LOCAL6,
    LOOPBACK,
    ZERO_MAC,
    Ip,
    Prefix,
    format_ip,
    is_link_local,
    parse_host_address,
    parse_ip6,
    parse_mac,
    without_zone,
)
from pystack.link.port import LoopbackPort
from pystack.runtime.device.tap import TapPort
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.stack.advertise import AdvertiseConfig, Advertiser
from pystack.stack.host import Host
from pystack.stack.interface import AddressState, Interface, InterfaceAddress
from pystack.stack.ip6_config import Ip6Config

pytestmark = pytest.mark.kernel

OWN: Final = parse_host_address("10.77.0.2/24")
OWN6: Final = parse_host_address("fd77::2/64")
LINK: Final = parse_ip6("fe80::2")
MAC: Final = parse_mac("02:00:00:00:00:02")
TIMEOUT_S: Final = 30.0
RADVD: Final = """
interface tap0 {
  AdvSendAdvert on;
  MinRtrAdvInterval 3;
  MaxRtrAdvInterval 4;
  AdvDefaultPreference high;
  AdvLinkMTU 1400;
  prefix fd77::/64 { AdvValidLifetime 9000; AdvPreferredLifetime 8000; };
  route 2001:db8:f::/48 { AdvRouteLifetime 300; };
  RDNSS fd77::53 { };
  DNSSL lab.example { };
};
"""


class World:
    """A host on tap0, and the namespace that the kernel's end of it is in."""

    def __init__(self, netns: NetworkNamespace, host: Host, interface: Interface) -> None:
        self.netns = netns
        self.host = host
        self.interface = interface

    @property
    def now(self) -> float:
        return trio.current_time()

    async def run(self, command: str, *, expect: int | None = 0) -> str:
        """Run a program in the namespace, while the host goes on."""
        done = await trio.to_thread.run_sync(lambda: self.netns.run(command.split(), expect=expect))
        return done.stdout.decode()

    async def ip6(self, command: str) -> list[dict[str, Any]]:
        return list(json.loads(await self.run(f"ip -6 -j {command}") or "[]"))

    async def until(
        self, ask: Callable[[], Awaitable[Any]], true: Callable[[Any], object], what: str
    ) -> None:
        """Ask again and again, until the answer is so; nobody tells when."""
        answer = await ask()
        with trio.move_on_after(TIMEOUT_S):
            while not true(answer):
                await trio.sleep(0.03)
                answer = await ask()
        assert true(answer), f"{what}: {answer}; {dict(self.host.counters)}"

    async def here(self, true: Callable[[], object], what: str) -> None:
        """Wait until it is so in our host."""

        async def ask() -> None:
            await trio.lowlevel.checkpoint()

        await self.until(ask, lambda _: true(), what)

    async def kernel(self, command: str, true: Callable[[list[dict[str, Any]]], object]) -> None:
        """Wait until the kernel says so."""
        await self.until(lambda: self.ip6(command), true, command)

    def automatic(self) -> list[Ip]:
        own = self.interface.addresses
        return [
            each.address
            for each in own
            if each.is_automatic and each.state is AddressState.PREFERRED
        ]


@contextmanager
def opened(netns: NetworkNamespace) -> Iterator[TapPort]:
    with netns.entered():
        port = TapPort.open("tap0", host_addresses=[parse_host_address("10.77.0.1/24")])
    try:
        yield port
    finally:
        port.close()


@asynccontextmanager
async def world(netns: NetworkNamespace, **config: object) -> AsyncIterator[World]:
    """Run a host on tap0 with the address fd77::2, or with none where it believes routers."""
    with opened(netns) as port:
        driver = RealtimeDriver()
        host = Host("pystack", driver.scheduler, 1)
        loopback = LoopbackPort(driver.scheduler)
        host.add_interface("lo", loopback, LOOPBACK, Prefix.of(LOOPBACK, 8), ZERO_MAC)
        host.discovery.config = replace(Ip6Config(), **config)  # type: ignore[arg-type]
        interface = host.add_interface("tap0", port, *OWN, MAC)
        if not host.discovery.config.accept_ra:
            host.add_address(interface, LINK, LINK_LOCAL6)
            host.add_address(interface, *OWN6)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            nursery.start_soon(port.run, driver)
            with trio.fail_after(3 * TIMEOUT_S):
                found = World(netns, host, interface)
                await found.run("ip -6 address add fd77::1/64 dev tap0 nodad")
                yield found
            nursery.cancel_scope.cancel()
        host.close()


def in_world(
    netns: NetworkNamespace, test: Callable[[World], Awaitable[None]], **config: object
) -> None:
    async def main() -> None:
        async with world(netns, **config) as found:
            await test(found)

    trio.run(main)


@contextmanager
def radvd(
    netns: NetworkNamespace, tmp_path: Path, *, prefix: str = "fd77::/64"
) -> Iterator[subprocess.Popen[bytes]]:
    """Let the kernel's end be a router."""
    config = tmp_path / "radvd.conf"
    config.write_text(RADVD.replace("fd77::/64", prefix))
    netns.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
    pid = tmp_path / "radvd.pid"
    program = shutil.which("radvd") or "radvd"
    process = netns.popen(
        [program, "-n", "-C", str(config), "-p", str(pid), "-m", "stderr"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(10)


def test_the_kernel_finds_us_and_we_find_it(netns: NetworkNamespace) -> None:
    async def test(world: World) -> None:
        await world.run("ping -6 -c 1 -W 20 fd77::2")
        await world.run("ping -6 -c 1 -W 20 -I tap0 fe80::2")
        known = "neigh show fd77::2 dev tap0"
        await world.kernel(known, lambda found: found[0]["state"] == ["REACHABLE"])
        (entry,) = await world.ip6(known)
        assert entry["lladdr"] == "02:00:00:00:00:02"
        assert "router" not in entry
        neighbors = world.interface.neighbors
        assert neighbors is not None
        found = neighbors.find(parse_ip6("fd77::1"))
        assert found is not None
        assert found.mac is not None

    in_world(netns, test)


@needs("ndisc6")
def test_ndisc6_is_answered(netns: NetworkNamespace) -> None:
    async def test(world: World) -> None:
        said = await world.run("ndisc6 -1 fd77::2 tap0")
        assert "02:00:00:00:00:02" in said.lower()
        said = await world.run("ndisc6 -1 -s fd77::1 fe80::2 tap0")
        assert "02:00:00:00:00:02" in said.lower()
        assert world.host.counters["nd_advertisements_out"] >= 2

    in_world(netns, test)


def test_the_kernel_gives_up_an_address_that_we_have(netns: NetworkNamespace) -> None:
    async def test(world: World) -> None:
        await world.run("ip -6 address add fd77::2/64 dev tap0")
        await world.kernel(
            "address show dev tap0",
            lambda found: any(
                each.get("local") == "fd77::2" and each.get("dadfailed")
                for each in found[0]["addr_info"]
            ),
        )
        assert world.host.counters["nd_address_defended"] == 1

    in_world(netns, test)


def test_we_give_up_an_address_that_the_kernel_has(netns: NetworkNamespace) -> None:
    async def test(world: World) -> None:
        own = world.host.discovery.link(world.interface).own
        taken = InterfaceAddress(parse_ip6("fd77::1"), Prefix.of(parse_ip6("fd77::1"), 128))
        own.try_out(taken, world.now)
        await world.here(
            lambda: taken.state is AddressState.DUPLICATED, "the kernel defends its address"
        )
        assert world.host.counters["nd_duplicate_address"] == 1

    in_world(netns, test)


@needs("radvd")
def test_radvd_configures_us(netns: NetworkNamespace, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        host, interface = world.host, world.interface
        with radvd(netns, tmp_path) as router:
            host.discovery.start(world.now)
            await world.here(lambda: len(world.automatic()) == 1, "an address")
            (address,) = world.automatic()
            assert address in parse_host_address("fd77::2/64")[1]
            await world.run(f"ping -6 -c 1 -W 20 {format_ip(address)}")
            route = host.routes.lookup(parse_ip6("2001:db8::1"))
            assert route is not None
            assert route.gateway is not None
            assert is_link_local(route.gateway)
            (own,) = [
                each
                for each in (await world.ip6("address show dev tap0"))[0]["addr_info"]
                if each["scope"] == "link"
            ]
            assert own["local"] == format_ip(without_zone(route.gateway))
            far = host.routes.lookup(parse_ip6("2001:db8:f::1"))
            assert far is not None
            assert far.prefix.length == 48
            assert interface.mtu6_bytes == 1400
            assert host.discovery.name_servers() == (parse_ip6("fd77::53"),)
            assert host.discovery.search_domains() == ("lab.example",)
            assert host.counters["nd_router_solicitations_out"] >= 1
            # A router that stops says so.
            await trio.to_thread.run_sync(router.terminate)
            await world.here(
                lambda: host.routes.lookup(parse_ip6("2001:db8::1")) is None, "no router"
            )

    in_world(netns, test, accept_ra=True)


@needs("rdisc6")
def test_the_kernel_is_configured_by_us(netns: NetworkNamespace) -> None:
    async def test(world: World) -> None:
        await world.run("sysctl -qw net.ipv6.conf.tap0.accept_ra=2")
        host, interface = world.host, world.interface
        host.forwarding = True
        config = AdvertiseConfig(
            max_interval_s=10.0,
            mtu_bytes=1400,
            name_servers=("fd77::53",),
            routes=("2001:db8:f::/48",),
        )
        advertiser = Advertiser(host, interface, config)
        host.discovery.advertisers[interface] = advertiser
        advertiser.start(world.now)
        await world.kernel(
            "route show default",
            lambda found: any(each.get("gateway") == "fe80::2" for each in found),
        )
        await world.kernel(
            "address show dev tap0",
            lambda found: any(
                each["local"].startswith("fd77:") and each.get("dynamic")
                for each in found[0]["addr_info"]
            ),
        )
        said = await world.run("rdisc6 -1 tap0")
        assert "from fe80::2" in said
        for line in ("fd77::/64", "1400 bytes", "fd77::53", "2001:db8:f::/48"):
            assert line in said, said
        (entry,) = await world.ip6("neigh show fe80::2 dev tap0")
        assert "router" in entry
        advertiser.stop(world.now)
        await world.kernel("route show default", lambda found: not found)

    in_world(netns, test)


def test_a_bridge_that_listens_knows_our_groups(netns: NetworkNamespace) -> None:
    made = netns.run(
        ["ip", "link", "add", "br0", "type", "bridge", "mcast_mld_version", "2"], expect=None
    )
    if made.returncode:
        pytest.skip(f"no bridge here: {made.stderr.decode().strip()}")

    async def test(world: World) -> None:
        await world.run("ip link set br0 up")
        await world.run("ip link set tap0 master br0")
        group = parse_ip6("ff05::77")
        world.host.groups.join(world.interface, group, world.now)
        await world.until(
            lambda: world.run("bridge mdb show dev br0"),
            lambda answer: "ff05::77" in answer,
            "the bridge knows",
        )
        world.host.groups.leave(world.interface, group, world.now)
        assert world.host.counters["mld_out"] >= 2

    in_world(netns, test)


@needs("radvd")
@needs("curl")
def test_up_serves_at_an_address_that_the_router_gave_it_a_prefix_for(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, tmp_path: Path
) -> None:
    stack = stack_up("--accept-ra", offload, "-v", "--seed", "1")
    netns.run(["ip", "-6", "address", "add", "fd77:1::1/64", "dev", "tap0", "nodad"])
    with radvd(netns, tmp_path, prefix="fd77:1::/64"):
        made = re.compile(r"address (fd77:1:[0-9a-f:]+)/64 tentative -> preferred")
        namespaces.wait_until(lambda: made.search(stack.log) is not None, "an address")
        found = made.search(stack.log)
        assert found is not None
        netns.run(["ping", "-6", "-c", "1", "-W", "20", found[1]])
        page = netns.run(["curl", "-sgf", f"http://[{found[1]}]/"])
        assert page.stdout
