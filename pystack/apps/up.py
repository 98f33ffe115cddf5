"""One host on a TAP device, with services: what `pystack up` runs."""

import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import trio

from pystack.apps.service import Placement
from pystack.apps.serving import serve
from pystack.core.addresses import format_ip4
from pystack.runtime.host import TrioHost
from pystack.runtime.ports import has_nobody
from pystack.runtime.signals import ending_signals
from pystack.runtime.tap_host import TapHostConfig, tap_host

FIN_GRACE_S: Final = 2.0  # what open connections get to finish when the program is told to end

_log: Final = logging.getLogger("pystack.up")


async def up(
    config: TapHostConfig,
    placements: Sequence[Placement],
    on_ready: Callable[[str], None],
    when_open: Callable[[], object] = lambda: None,
) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP.

    Raises DeviceError when the device can't be had, or vanishes.

    `on_ready` gets one line as soon as everything answers; `when_open` is called as soon as root
    is not needed any more.
    """
    with trio.open_signal_receiver(*ending_signals()) as signals:
        async with tap_host(config, when_open=when_open) as host:
            async with trio.open_nursery() as services:
                for placement in placements:
                    await services.start(_serve, host, placement)
                # This stays: looking through it, Python's collector would stop the host for 30 ms.
                gc.freeze()
                on_ready(_describe(config, placements))
                number = await anext(aiter(signals))
                _log.info("%s: closing", signal.Signals(number).name)
                services.cancel_scope.cancel()
            async with trio.open_nursery() as impatient:
                impatient.start_soon(_ignore, signals)
                await host.close_connections(FIN_GRACE_S)
                impatient.cancel_scope.cancel()


async def _ignore(signals: AsyncIterator[int]) -> None:
    """Take further signals: one that nobody took would end the program when the receiver closes."""
    async for number in signals:
        _log.info("%s: closing already", signal.Signals(number).name)


async def _serve(
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


def _describe(config: TapHostConfig, placements: Sequence[Placement]) -> str:
    """Return the line that says that all is ready: device, address, and what is served where."""
    address = format_ip4(config.address[0])
    if config.port is not None and has_nobody(config.port):
        # No address to turn to: there is nobody who could.
        names = [f"{item.service.name}:{item.tcp_port or item.udp_port}" for item in placements]
        return " ".join([f"ready: {config.interface} on the {config.port.title},", *names])
    words = [f"ready: {config.interface} {address}"]
    for placement in placements:
        port = placement.tcp_port or placement.udp_port
        if placement.service.name == "http":
            words.append(f"http://{address}/" if port == 80 else f"http://{address}:{port}/")
        else:
            words.append(f"{placement.service.name}:{port}")
    return " ".join(words)
