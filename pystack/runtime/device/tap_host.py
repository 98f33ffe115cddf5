"""A host on a TAP device in real time: the device, the driver, and who watches, put together."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import (
    LINK_LOCAL6,
    eui64,
    is_link_local,
    is_v6,
    link_local,
    with_zone,
)
from pystack.core.errors import DeviceError
from pystack.link.port import Port
from pystack.observe.json_log import JsonObserver
from pystack.observe.log import LogObserver
from pystack.observe.registry import OBSERVERS, ClosingObserver
from pystack.runtime.captures import capture_alone, scene_of
from pystack.runtime.device.tap_config import TapHostConfig
from pystack.runtime.device.tun_port import PEER_MAC, TunPort
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.runtime.host import Host, make_host
from pystack.runtime.ports import PORTS, PortContext, RunningPort
from pystack.stack.host import Host as StackHost
from pystack.stack.neighbors import OneNeighbor
from pystack.wire import ipv6

if TYPE_CHECKING:
    from pystack.link.config import PipeConfig
    from pystack.link.link import Link

# Of ordinary frames, 12 us each: what ACKs permit is not sent in one go, for their successors and
# all else would wait in the kernel's queue: pings 42 ms instead of 0.4, and some lost.
_BURST_SEGMENTS: Final = 16

_log: Final = logging.getLogger("pystack.tap")
_events: Final = logging.getLogger("pystack")


@asynccontextmanager
async def tap_host(
    config: TapHostConfig, *, when_open: Callable[[], object] = lambda: None
) -> AsyncIterator[Host]:
    """Open the device and run a host on it for the length of the block.

    `when_open` is called when the device is open and nothing else is: root can be given up there.
    Raises DeviceError if the device is not available, or vanishes while the block runs.
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
        plug = port
        if config.trouble is not None:
            plug = _shaped(port, config, config.trouble, host, driver).a
        else:
            host.alone.make_link = partial(_interposed, port, config, host, driver)
        _observe(host, config, resources)
        driver.lateness.observers = host.stack.observers
        _plug(host.stack, plug, config)
        resources.callback(host.stack.close)
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
            if not config.tun:
                host.stack.announce(driver.now())
            if config.accept_ra:
                host.autoconfigure()
            yield host
            nursery.cancel_scope.cancel()
        counted = {**host.counters, **getattr(port, "counters", {})}
        _log.info("counted: %s", dict(sorted(counted.items())))
        _log.info("`pystack counters NAME...` explains them")
        _log.info("late: %s", driver.lateness)
        # Out here, for the nursery would wrap it into a group.
        if problem is not None:
            raise problem


def _plug(stack: StackHost, port: Port, config: TapHostConfig) -> None:
    """Give the host its interface, with addresses and gateways."""
    first, *others = config.addresses
    interface = stack.add_interface(config.interface, port, *first, config.station)
    if config.tun:
        tables = stack.scheduler, stack.rng, stack.counters
        interface.neighbors = OneNeighbor(*tables, PEER_MAC)
    if config.mtu_bytes >= ipv6.MIN_MTU_BYTES:
        # Nobody else has it: whoever has the same MAC address could not be told apart anyway.
        others.append((link_local(eui64(config.station)), LINK_LOCAL6))
    for address in others:
        stack.add_address(interface, *address)
    for gateway in config.gateways:
        near = is_v6(gateway) and is_link_local(gateway)
        stack.set_gateway(with_zone(gateway, interface.index) if near else gateway)


def _open(config: TapHostConfig, driver: RealtimeDriver) -> Port:
    if config.tun:
        tun = TunPort.open(
            config.interface,
            mtu_bytes=config.mtu_bytes,
            host_addresses=config.host_addresses,
            offload=config.offload,
            peers=[address for address, _ in config.addresses] if config.host_addresses else (),
            tap=False,
        )
        tun.use(config.station)
        return tun
    chosen = config.chosen_port or PORTS.read("tap")
    return chosen(
        PortContext(
            name=config.interface,
            scheduler=driver.scheduler,
            seed=config.seed,
            mtu_bytes=config.mtu_bytes,
            far_addresses=config.host_addresses,
            near_addresses=tuple(address for address, _ in config.addresses),
            offload=config.offload,
        )
    )


def _tell_offload(config: TapHostConfig, port: Port) -> None:
    if config.chosen_port is None and config.offload:
        if port.gso_max_bytes:
            _log.info("%s: offload: %s", config.interface, getattr(port, "offloads", "some"))
        else:
            _log.info("%s: the kernel offers no offload; going on without", config.interface)


def _shaped(
    port: Port, config: TapHostConfig, trouble: PipeConfig, host: Host, driver: RealtimeDriver
) -> Link:
    # The emulator is only imported where it is asked for: a tenth of a second of `pystack up`.
    from pystack.link.link import Link
    from pystack.link.patch import Patch

    both = (trouble, trouble)
    link = Link(driver.scheduler, config.seed, config.interface, *both, mtu_bytes=config.mtu_bytes)
    link.ends = (host.name, "kernel")
    driver.lateness.links.append(link)
    host.alone.add_link(link)
    Patch(port, link.b)
    return link


def _interposed(port: Port, config: TapHostConfig, host: Host, driver: RealtimeDriver) -> Link:
    """Put a link that does nothing yet between a running host and its device."""
    from pystack.link.config import PipeConfig

    host.alone.make_link = None
    link = _shaped(port, config, PipeConfig(), host, driver)
    interface = next(it for it in host.stack.interfaces if it.name == config.interface)
    host.stack.plug(interface, link.a)
    return link


def _observe(host: Host, config: TapHostConfig, resources: ExitStack) -> None:
    offset_s = time.time() - trio.current_time()
    if config.pcap is not None:
        capture = capture_alone(
            host,
            config.pcap,
            config.interface,
            ring=config.pcap_ring,
            secrets=config.pcap_secrets,
            snaplen=config.pcap_snaplen,
        )
        resources.callback(capture.close)
    if config.verbosity:
        packets = config.verbosity > 1
        kind = JsonObserver if config.json else LogObserver
        host.observe(kind(_events.info, packets=packets, wall_clock_offset_s=offset_s))
    scene = scene_of(host, _events.warning)  # shown with any verbosity
    for text in config.observe:
        observer = OBSERVERS.read(text)(scene)
        if isinstance(observer, ClosingObserver):
            resources.callback(observer.close)
        host.observe(observer)
