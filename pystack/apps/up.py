"""One host on a TAP device, with services: what `pystack up` runs."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

import trio

from pystack.apps.service import Placement
from pystack.apps.serving import serve
from pystack.core.addresses import Ip4, Mac, Prefix, format_ip4
from pystack.core.errors import DeviceError
from pystack.observe.log import LogObserver
from pystack.observe.pcap import PcapWriter, open_capture
from pystack.runtime.driver import Waiter
from pystack.runtime.host import TrioHost
from pystack.runtime.network import make_host
from pystack.runtime.realtime import RealtimeDriver
from pystack.runtime.tap import TapPort
from pystack.tcp.states import TcpState

FIN_GRACE_S: Final = 2.0  # what open connections get to finish when the program is told to end

_FINISHED: Final = frozenset({TcpState.CLOSED, TcpState.TIME_WAIT})
_log: Final = logging.getLogger("pystack.up")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpConfig:
    """What `pystack up` was asked for; every value is checked already."""

    interface: str  # name of the TAP device
    address: tuple[Ip4, Prefix]  # the stack's
    host_address: tuple[Ip4, Prefix] | None  # the kernel's end; None: leave it without
    mac: Mac
    mtu_bytes: int
    placements: list[Placement]
    seed: int
    gateway: Ip4 | None = None  # None: only the link's own network is reached
    pcap: str | None = None  # None: no capture
    offload: bool = True
    congestion: str = "cubic"
    verbosity: int = 0  # 1: a line per event; 2: also one per packet


async def up(config: UpConfig, on_ready: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM. Raises DeviceError when the device can't be had, or vanishes."""
    with ExitStack() as resources:
        port = TapPort.open(
            config.interface,
            mtu_bytes=config.mtu_bytes,
            host_address=config.host_address,
            offload=config.offload,
        )
        resources.callback(port.close)
        if config.offload and not port.gso_max_bytes:
            _log.info("%s: the kernel offers no offload; going on without", port.name)
        driver = RealtimeDriver()
        host = make_host("pystack", driver, config.seed)
        host.tcp.config = replace(host.tcp.config, congestion=config.congestion)
        _observe(host, config, resources)
        address, prefix = config.address
        host.stack.add_interface(config.interface, port, address, prefix, config.mac)
        if config.gateway is not None:
            host.stack.set_gateway(config.gateway)
        problem: DeviceError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)

            async def carry_frames() -> None:
                nonlocal problem
                try:
                    await port.run(driver)
                except DeviceError as error:
                    problem = error
                    nursery.cancel_scope.cancel()

            nursery.start_soon(carry_frames)
            host.stack.announce(driver.now())
            await _serve_until_signal(host, config, on_ready)
            await _finish_connections(host)
            nursery.cancel_scope.cancel()
        host.stack.close()
        _log.info("counters: %s", dict(sorted(host.counters.items())))
        # Out here, for the nursery would wrap it into a group.
        if problem is not None:
            raise problem


def _observe(host: TrioHost, config: UpConfig, resources: ExitStack) -> None:
    offset_s = time.time() - trio.current_time()
    if config.pcap is not None:
        writer = PcapWriter(open_capture(config.pcap), offset_s, interface=config.interface)
        resources.callback(writer.close)
        host.observe(writer)
    if config.verbosity:
        packets = config.verbosity > 1
        host.observe(LogObserver(logging.getLogger("pystack"), packets, offset_s))


async def _serve_until_signal(
    host: TrioHost, config: UpConfig, on_ready: Callable[[str], None]
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as services:
            for placement in config.placements:
                await services.start(_serve_placement, host, placement)
            on_ready(_describe(config))
            number = await anext(aiter(signals))
            _log.info("%s: closing", signal.Signals(number).name)
            services.cancel_scope.cancel()


async def _serve_placement(
    host: TrioHost,
    placement: Placement,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    await serve(
        host,
        placement.service,
        tcp_port=placement.tcp_port,
        udp_port=placement.udp_port,
        task_status=task_status,
    )


async def _finish_connections(host: TrioHost) -> None:
    """Give every connection its FIN, and a reset where that takes too long."""
    progress = Waiter(host.driver)
    for socket in host.tcp:
        host.tcp.release(socket, host.now())
        socket.on_signal = lambda _signal: progress.wake()
    with trio.move_on_after(FIN_GRACE_S):
        while any(socket.connection.state not in _FINISHED for socket in host.tcp):
            await progress.wait()
    for socket in host.tcp:
        host.tcp.abort(socket, host.now())


def _describe(config: UpConfig) -> str:
    """Return the line that says that all is ready: device, address, and what is served where."""
    address = format_ip4(config.address[0])
    words = [f"ready: {config.interface} {address}"]
    for placement in config.placements:
        port = placement.tcp_port or placement.udp_port
        if placement.service.name == "http":
            words.append(f"http://{address}/" if port == 80 else f"http://{address}:{port}/")
        else:
            words.append(f"{placement.service.name}:{port}")
    return " ".join(words)
