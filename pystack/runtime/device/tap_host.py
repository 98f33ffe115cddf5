"""A host on a TAP device in real time: the device, the driver, and who watches, put together."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import (
    Ip4,
    Mac,
    Prefix,
    format_ip4,
    parse_host_address,
    parse_ip4,
    parse_mac,
)
from pystack.core.errors import ConfigError, DeviceError
from pystack.core.plugin_words import Chosen
from pystack.core.rng import fresh_seed
from pystack.link.port import Port
from pystack.observe.json_log import JsonObserver
from pystack.observe.log import LogObserver
from pystack.observe.pcap import PcapWriter
from pystack.observe.registry import ClosingObserver, Scene, read_observer
from pystack.runtime.device.tap_device import check_name
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.runtime.driver.spool import open_spool
from pystack.runtime.host import TrioHost, make_host
from pystack.runtime.ports import RunningPort, Socket, read_port
from pystack.tcp.congestion.registry import congestion_control

if TYPE_CHECKING:
    from pystack.link.config import PipeConfig
    from pystack.link.words import NetemWords

DEFAULT_ADDRESS: Final = "10.77.0.2/24"
DEFAULT_MAC: Final = "02:00:00:00:00:02"  # locally administered

# Of ordinary frames, 12 us each: what ACKs permit is not sent in one go, for their successors and
# all else would wait in the kernel's queue: pings 42 ms instead of 0.4, and some lost.
_BURST_SEGMENTS: Final = 16

_log: Final = logging.getLogger("pystack.tap")
_events: Final = logging.getLogger("pystack")


@dataclass(frozen=True, slots=True, kw_only=True)
class TapHostConfig:
    """What the host is to be; every value is checked already."""

    interface: str  # name of the TAP device
    address: tuple[Ip4, Prefix]  # the stack's
    host_address: tuple[Ip4, Prefix] | None  # the kernel's end; None: leave it without
    mac: Mac
    seed: int
    mtu_bytes: int = 1500
    gateway: Ip4 | None = None  # None: only the link's own network is reached
    pcap: str | None = None  # None: no capture
    offload: bool = True
    congestion: str = "cubic"
    verbosity: int = 0  # 1: a line per event; 2: also one per packet
    json: bool = False  # those lines are JSON
    port: Chosen[Port] | None = None  # None: a TAP device of the interface's name
    observe: tuple[str, ...] = ()  # observers by their names and words
    trouble: PipeConfig | None = None  # on the way to the kernel and back; None: nothing is

    @classmethod
    def parse(
        cls,
        interface: str,
        *,
        address: str = DEFAULT_ADDRESS,
        host_address: str | None = "auto",
        gateway: str | None = None,
        mac: str = DEFAULT_MAC,
        mtu_bytes: int = 1500,
        seed: int | None = None,
        pcap: str | None = None,
        offload: bool = True,
        congestion: str = "cubic",
        verbosity: int = 0,
        json: bool = False,
        port: str | None = None,
        observe: tuple[str, ...] = (),
        words: NetemWords | None = None,
    ) -> TapHostConfig:
        """Read addresses from text, and check that all fits together. Raises ConfigError.

        `host_address`: of the kernel's end; "auto": the first of the stack's network that is free;
        None: it is left as it is.
        `words`: those of tc-netem(8), which `PipeConfig.parse` takes, for each of the directions.
        """
        if port is None:
            check_name(interface)
        own, prefix = parse_host_address(address)
        kernel: tuple[Ip4, Prefix] | None = None
        if host_address == "auto":
            kernel = _other_end(own, prefix), prefix
        elif host_address is not None:
            kernel = parse_host_address(host_address)
        router = None if gateway is None else parse_ip4(gateway)
        if kernel is not None and kernel[0] == own:
            raise ConfigError(f"{address} is for both ends of the link; each needs its own")
        if kernel is not None and kernel[0] not in prefix:
            raise ConfigError(f"the kernel's {host_address} is not in the stack's network {prefix}")
        if router is not None and (router not in prefix or router == own):
            raise ConfigError(f"the gateway {gateway} is no router in the stack's network {prefix}")
        congestion_control(congestion)  # unknown: said now, not at the first connection
        return cls(
            interface=interface,
            address=(own, prefix),
            host_address=kernel,
            mac=parse_mac(mac),
            seed=fresh_seed() if seed is None else seed,
            mtu_bytes=mtu_bytes,
            gateway=router,
            pcap=pcap,
            offload=offload,
            congestion=congestion,
            verbosity=verbosity,
            json=json,
            port=None if port is None else read_port(port),
            observe=observe,
            trouble=_read_trouble(words) if words else None,
        )


def _other_end(own: Ip4, prefix: Prefix) -> Ip4:
    """Return the first address of a network that a host may have, and ours is not."""
    first = prefix.network + prefix.has_broadcast
    other = Ip4(first + (first == own))
    if other not in prefix or (prefix.has_broadcast and other == prefix.broadcast):
        raise ConfigError(
            f"{prefix} has no address for the kernel's end of the link: take a larger network, or "
            "say which with --host-address"
        )
    return other


@asynccontextmanager
async def tap_host(
    config: TapHostConfig, *, when_open: Callable[[], object] = lambda: None
) -> AsyncIterator[TrioHost]:
    """Open the device and run a host on it for the length of the block.

    `when_open` is called when the device is open and nothing else is: root can be given up there.
    Raises DeviceError when the device can't be had, or vanishes while the block runs.
    """
    with ExitStack() as resources:
        driver = RealtimeDriver()
        port = _open(config, driver)
        resources.callback(port.close)
        when_open()
        _tell_offload(config, port)
        host = make_host("pystack", driver, config.seed)
        host.tcp.config = replace(host.tcp.config, congestion=config.congestion)
        if not port.gso_max_bytes:
            host.tcp.burst_segments = _BURST_SEGMENTS
        _observe(host, config, resources)
        driver.lateness.observers = host.stack.observers
        address, prefix = config.address
        plug = port if config.trouble is None else _shaped(port, config, config.trouble, driver)
        host.stack.add_interface(config.interface, plug, address, prefix, config.mac)
        resources.callback(host.stack.close)
        if config.gateway is not None:
            host.stack.set_gateway(config.gateway)
        problem: DeviceError | None = None
        async with trio.open_nursery() as nursery:

            async def carry_frames() -> None:
                nonlocal problem
                try:
                    if isinstance(port, RunningPort):
                        await port.run(driver)
                except DeviceError as error:
                    problem = error
                    nursery.cancel_scope.cancel()

            nursery.start_soon(driver.run)
            nursery.start_soon(carry_frames)
            host.stack.announce(driver.now())
            yield host
            nursery.cancel_scope.cancel()
        counted = {**host.counters, **getattr(port, "counters", {})}
        _log.info("counted: %s", dict(sorted(counted.items())))
        _log.info("late: %s", driver.lateness)
        # Out here, for the nursery would wrap it into a group.
        if problem is not None:
            raise problem


def _open(config: TapHostConfig, driver: RealtimeDriver) -> Port:
    chosen = config.port or read_port("tap")
    return chosen.make(
        Socket(
            name=config.interface,
            scheduler=driver.scheduler,
            seed=config.seed,
            mtu_bytes=config.mtu_bytes,
            far_address=config.host_address,
            near_addresses=(config.address[0],),
            offload=config.offload,
        )
    )


def _tell_offload(config: TapHostConfig, port: Port) -> None:
    if config.port is None and config.offload:
        if port.gso_max_bytes:
            _log.info("%s: offload: %s", config.interface, getattr(port, "offloads", "some"))
        else:
            _log.info("%s: the kernel offers no offload; going on without", config.interface)


# The emulator is only imported where it is asked for: a tenth of a second of `pystack up`.


def _read_trouble(words: NetemWords) -> PipeConfig:
    from pystack.link.config import PipeConfig

    return PipeConfig.parse(**words)


def _shaped(port: Port, config: TapHostConfig, trouble: PipeConfig, driver: RealtimeDriver) -> Port:
    from pystack.link.link import Link
    from pystack.link.patch import Patch

    both = (trouble, trouble)
    link = Link(driver.scheduler, config.seed, config.interface, *both, mtu_bytes=config.mtu_bytes)
    driver.lateness.links.append(link)
    Patch(port, link.b)
    return link.a


def _observe(host: TrioHost, config: TapHostConfig, resources: ExitStack) -> None:
    offset_s = time.time() - trio.current_time()
    if config.pcap is not None:
        writer = PcapWriter(open_spool(config.pcap), offset_s, interface=config.interface)
        resources.callback(writer.close)
        host.observe(writer)
    if config.verbosity:
        packets = config.verbosity > 1
        kind = JsonObserver if config.json else LogObserver
        host.observe(kind(_events.info, packets, offset_s))
    scene = Scene(
        say=_events.warning,  # shown with any verbosity
        began_at=trio.current_time(),
        wall_clock_offset_s=offset_s,
        has_hosts=False,
        open_file=open_spool,
        names=lambda: {format_ip4(config.address[0]): host.name},
    )
    for text in config.observe:
        observer = read_observer(text).make(scene)
        if isinstance(observer, ClosingObserver):
            resources.callback(observer.close)
        host.observe(observer)
