"""Network: hosts joined in memory, as Trio programs see them.

In `pystack.run` it lives in virtual time, in `trio.run` in real time; it is the same network.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

import trio

from pystack.core.addresses import (
    LOOPBACK,
    ZERO_MAC,
    Ip4,
    Mac,
    Prefix,
    is_loopback,
    is_usable_source,
    parse_host_address,
    parse_prefix,
)
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng, fresh_seed
from pystack.core.units import parse_time_s
from pystack.link.link import Link
from pystack.link.loopback import LoopbackPort
from pystack.link.port import Port
from pystack.observe.pcap import PcapWriter, open_capture
from pystack.runtime.driver import Driver
from pystack.runtime.host import TrioHost
from pystack.runtime.realtime import RealtimeDriver
from pystack.runtime.virtual import VirtualClock
from pystack.stack.host import Host

DEFAULT_SUBNET: Final = "10.0.0.0/24"
_LOOPBACK_PREFIX: Final = Prefix.of(LOOPBACK, 8)


def make_host(
    name: str, driver: Driver, seed: int, names: Callable[[str], Ip4 | None] | None = None
) -> TrioHost:
    """Return a host with nothing but its loopback."""
    stack = Host(name, driver.scheduler, seed)
    port = LoopbackPort(driver.scheduler)
    stack.add_interface("lo", port, LOOPBACK, _LOOPBACK_PREFIX, ZERO_MAC)
    return TrioHost(stack, driver, names)


class Network:
    """Hosts and the links between them. `async with` opens it, and ends it without a word."""

    def __init__(self, *, seed: int | None = None, subnet: str = DEFAULT_SUBNET) -> None:
        """`seed`: of everything that is left to chance; None: one that nobody knows."""
        self.seed = fresh_seed() if seed is None else seed
        self.subnet = parse_prefix(subnet)
        if not is_usable_source(self.subnet.network) or is_loopback(self.subnet.network):
            raise ConfigError(f"no host can have an address of the subnet {subnet}")
        self.hosts: dict[str, TrioHost] = {}
        self._addresses: dict[str, tuple[Ip4, Prefix]] = {}
        self._driver: Driver | None = None  # None: not opened yet
        self._nursery_manager = trio.open_nursery()
        self._nursery: trio.Nursery | None = None  # None: not opened yet
        self._captures: list[PcapWriter] = []

    async def __aenter__(self) -> Network:
        """Find out which kind of time this is, and let it pass for the network."""
        clock = trio.lowlevel.current_clock()
        self._nursery = await self._nursery_manager.__aenter__()
        if isinstance(clock, VirtualClock):
            self._driver = clock.driver
        else:
            driver = RealtimeDriver()
            self._driver = driver
            self._nursery.start_soon(driver.run)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything in it at once, as when the power goes."""
        assert self._nursery is not None
        for host in self.hosts.values():
            host.stack.close()
        for capture in self._captures:
            capture.close()
        self._nursery.cancel_scope.cancel()
        # Not given the error of the block, it does not wrap it: that comes out as it is.
        await self._nursery_manager.__aexit__(None, None, None)

    @property
    def driver(self) -> Driver:
        """Return what lets the network's time pass."""
        if self._driver is None:
            raise ConfigError("the network is not open: use `async with pystack.Network() as net`")
        return self._driver

    def host(self, name: str, *, address: str | None = None) -> TrioHost:
        """Add a host. Its address is the next free one of the subnet, unless given ("10.0.0.9/24").

        Raises ConfigError for a name or an address that is taken, or cannot be.
        """
        if not name or any(character.isspace() for character in name) or name == "localhost":
            raise ConfigError(f"{name!r} cannot be the name of a host")
        if name in self.hosts:
            raise ConfigError(f"there is a host {name!r} already")
        found = self._free_address() if address is None else parse_host_address(address)
        if any(found[0] == taken for taken, _ in self._addresses.values()):
            raise ConfigError(f"the address {address} is taken")
        self._addresses[name] = found
        host = self.hosts[name] = make_host(name, self.driver, self.seed, self._resolve)
        for capture in self._captures:
            host.observe(capture)
        return host

    def link(self, *hosts: TrioHost, delay: str | float = 0, mtu_bytes: int = 1500) -> Link:
        """Join two hosts by a cable, or more by a hub. `delay`: each way, "20ms" or seconds.

        A host has one link, until there are routers. Raises ConfigError.
        """
        names = [host.name for host in hosts]
        if len(set(names)) < len(names):
            raise ConfigError("a link joins different hosts")
        for host in hosts:
            if self.hosts.get(host.name) is not host:
                raise ConfigError(f"{host.name} is not a host of this network")
            if len(host.interfaces) > 1:
                raise ConfigError(f"{host.name} has a link already; link all its peers in one call")
        link = Link(
            self.driver.scheduler,
            delay_s=parse_time_s(delay),
            mtu_bytes=mtu_bytes,
            ports=len(hosts),
        )
        for host, port in zip(hosts, link.ports, strict=True):
            self.attach(host, port)
        return link

    def attach(self, host: TrioHost, port: Port) -> None:
        """Plug a host into any port, as its `eth0`. Raises ConfigError."""
        address, prefix = self._addresses[host.name]
        host.stack.add_interface("eth0", port, address, prefix, self._mac(host.name))

    def capture(self, path: str | Path) -> None:
        """Write every frame that any host sends or gets to a pcap file, from here on.

        Frames of all hosts are in it, so one on a link is there twice. Raises OSError.
        """
        writer = PcapWriter(open_capture(str(path)))
        self._captures.append(writer)
        for host in self.hosts.values():
            host.observe(writer)

    def _resolve(self, name: str) -> Ip4 | None:
        known = self._addresses.get(name)
        return None if known is None else known[0]

    def _free_address(self) -> tuple[Ip4, Prefix]:
        taken = {address for address, _ in self._addresses.values()}
        special = (self.subnet.network, self.subnet.broadcast) if self.subnet.has_broadcast else ()
        for number in range(self.subnet.network, self.subnet.broadcast + 1):
            if number not in taken and number not in special:
                return Ip4(number), self.subnet
        raise ConfigError(f"the subnet {self.subnet} has no free address left")

    def _mac(self, name: str) -> Mac:
        # Locally administered (the 2 in the first byte), and the same for the same seed and name.
        rng = component_rng(self.seed, f"mac/{name}")
        return Mac(b"\x02" + rng.randbytes(5))
