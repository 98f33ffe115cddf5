"""Where a client stands: on a host on a TAP device, or on one end of a virtual link.

A third place, a host of a lab's file, is `pystack.runtime.lab.lab`'s (`LabOptions.guest`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import trio

from pystack.apps.hosting import serve
from pystack.apps.quiet import quiet_services
from pystack.core.addresses import (
    Prefix,
    format_ip,
    is_link_local,
    is_loopback,
    is_v6,
    looks_like_address,
    parse_ip,
    split_zone,
)
from pystack.core.errors import ConfigError
from pystack.runtime.device.tap_config import TapHostConfig
from pystack.runtime.device.tap_host import tap_host
from pystack.runtime.driver.exception_groups import unwrapped
from pystack.runtime.driver.signals import ending_signals, signals_heard
from pystack.runtime.driver.virtual import run as run_in_virtual_time
from pystack.runtime.host import Host
from pystack.runtime.network import Network
from pystack.runtime.socket import socket_factory

T = TypeVar("T")
Client = Callable[[Host], Awaitable[T]]

FIN_GRACE_S: Final = 2.0  # what the last connections get to finish on a TAP device
DEFAULT_SEED: Final = 1  # of a virtual link: without one, every run is the same
_CLIENT_NAMES: Final = ("client", "here")
_PREFIX_BITS: Final = 24  # of the network that is made up round an address
_PREFIX6_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Server:
    """The host at the other end of a virtual link, and what it serves."""

    name: str  # or its address
    services: tuple[str, ...] = ()  # as `--serve` takes them


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkWorld:
    """A client, and for each server a link to it, in virtual time."""

    servers: Sequence[Server]
    words: Mapping[str, Any] = field(default_factory=dict)  # of tc-netem(8), for each direction
    dns: tuple[str, ...] = ()  # of the servers, whom the client asks for names; (): it knows them
    # of services, for all that the servers have
    service_words: Mapping[str, Any] = field(default_factory=dict)
    mtu_bytes: int = 1500
    seed: int = DEFAULT_SEED
    congestion: str | None = None  # None: the default
    pcap: str | None = None  # None: no capture
    pcap_ring: str | None = None  # keep the last of so much; None: all, in one file
    pcap_secrets: bool = False  # with what decrypts TLS
    pcap_snaplen: int | None = None  # the most bytes of a frame; None: all of it
    observe: tuple[str, ...] = ()

    def run(self, client: Client[T], on_line: Callable[[str], None]) -> T:
        """Run a client to its end. Raises ConfigError, and what the client raises."""
        with quiet_services():
            return run_in_virtual_time(self._run, client, on_line, seed=self.seed)

    async def _run(self, client: Client[T], on_line: Callable[[str], None]) -> T:
        async with Network(seed=self.seed, ip="both") as net:
            here = self._build(net)
            if self.pcap is not None:
                net.capture(
                    self.pcap,
                    ring=self.pcap_ring,
                    secrets=self.pcap_secrets,
                    snaplen=self.pcap_snaplen,
                )
            for observer in self.observe:
                net.observe(observer, say=on_line)
            for server in self.servers:
                if server.services:
                    there = net.hosts[_host_name(server)]
                    await serve(there, *server.services, **self.service_words)
            return await here.run(client, here)

    def _build(self, net: Network) -> Host:
        taken = {_host_name(server) for server in self.servers}
        name = next(name for name in _CLIENT_NAMES if name not in taken)
        here = net.host(name, congestion=self.congestion, dns=self.dns or None)
        for server in self.servers:
            address, address6 = _addresses(server)
            there = net.host(
                _host_name(server),
                address=address,
                address6=address6,
                congestion=self.congestion,
            )
            net.link(here, there, mtu_bytes=self.mtu_bytes, **self.words)
        if not self.servers:  # it talks to itself
            net.link(here, net.host("nobody"), mtu_bytes=self.mtu_bytes, **self.words)
        return here


def servers_of(wanted: Sequence[Server]) -> list[Server]:
    """Return the servers that are needed, each once and with all its services, but this host."""
    services: dict[str, dict[str, None]] = {}
    for server in wanted:
        address = _address_of(server)
        if server.name != "localhost" and not (address and is_loopback(parse_ip(address))):
            services.setdefault(server.name, {}).update(dict.fromkeys(server.services))
    return [Server(name, tuple(words)) for name, words in services.items()]


def _address_of(server: Server) -> str | None:
    """Return the address that a server is called by; None: it has a name."""
    if not looks_like_address(server.name):
        return None
    address = parse_ip(split_zone(server.name)[0])
    if is_v6(address):
        if is_link_local(address):
            raise ConfigError(
                f"{server.name} is a link-local address, which hosts make themselves: "
                "call the host by a name, or by another address"
            )
        return format_ip(address)
    prefix = Prefix.of(address, _PREFIX_BITS)
    if address in (prefix.network, prefix.broadcast):
        raise ConfigError(f"{server.name} is not a host's address in {prefix}")
    return format_ip(address)


def _addresses(server: Server) -> tuple[str | None, str | None]:
    """Return the addresses of both versions that a server is called by; None: any will do."""
    address = _address_of(server)
    if address is None:
        return None, None
    if ":" in address:
        return None, f"{address}/{_PREFIX6_BITS}"
    return f"{address}/{_PREFIX_BITS}", None


def _host_name(server: Server) -> str:
    address = _address_of(server)
    return server.name if address is None else f"at-{address.replace('.', '-').replace(':', '-')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TapWorld:
    """A host on a TAP device, in real time."""

    config: TapHostConfig
    dns: tuple[str, ...] = ()  # addresses; (): only addresses are known
    when_open: Callable[[], object] = lambda: None  # gives root up

    def run(self, client: Client[T], on_line: Callable[[str], None]) -> T:
        """Run a client to its end. Raises DeviceError, KeyboardInterrupt, and what it raises."""
        try:
            return trio.run(self._run, client)
        except BaseExceptionGroup as group:
            error = unwrapped(group)
        raise error

    async def _run(self, client: Client[T]) -> T:
        results: list[T] = []
        with signals_heard(ending_signals()) as signals:
            async with tap_host(self.config, when_open=self.when_open) as host:
                host.dns = self.dns or None
                socket_factory.install()
                try:
                    async with trio.open_nursery() as nursery:

                        async def watch() -> None:
                            await anext(aiter(signals))
                            nursery.cancel_scope.cancel()

                        nursery.start_soon(watch)
                        results.append(await host.run(client, host))
                        nursery.cancel_scope.cancel()
                finally:
                    socket_factory.uninstall()
                await host.close_connections(FIN_GRACE_S)
        if not results:
            raise KeyboardInterrupt
        return results[0]
