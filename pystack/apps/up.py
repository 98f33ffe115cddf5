"""One host on a TAP device, with services: what `pystack up` runs."""

from __future__ import annotations

import gc
import json
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from pystack.apps.service import Placement
from pystack.apps.serving import serve_placed
from pystack.core.addresses import Ip, format_ip, is_v6
from pystack.runtime.device.tap_config import TapHostConfig
from pystack.runtime.device.tap_host import tap_host
from pystack.runtime.driver.exception_groups import unwrapped
from pystack.runtime.driver.signals import ending_signals, signals_heard
from pystack.runtime.host import Host
from pystack.runtime.ports import has_nobody

if TYPE_CHECKING:
    from pystack.runtime.control.control import Control

_BROWSED: Final = {"http": 80, "https": 443, "ftp": 21}
FIN_GRACE_S: Final = 2.0  # what open connections get to finish when the program is told to end

_log: Final = logging.getLogger("pystack.up")


async def up(
    config: TapHostConfig,
    placements: Sequence[Placement],
    on_ready: Callable[[Ready], None],
    when_open: Callable[[], object] = lambda: None,
    *,
    control: str | None = None,
) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP.

    Raises DeviceError when the device can't be had, or vanishes; ConfigError and OSError for what
    services can't have.

    `on_ready` is told as soon as everything answers; `when_open` is called as soon as root is not
    needed any more. `control`: the path of a socket for it, "": the usual place; None: none.
    """
    try:
        with signals_heard(ending_signals()) as signals:
            async with tap_host(config, when_open=when_open) as host:
                with _controlled(host, config, control) as controlled:
                    async with trio.open_nursery() as services:
                        for placement in placements:
                            await services.start(serve_placed, host, placement)
                        # This stays; to look through it would stop the host for 30 ms each time.
                        gc.freeze()
                        on_ready(Ready(config, placements, *controlled))
                        number = await anext(aiter(signals))
                        _log.info("%s: closing", signal.Signals(number).name)
                        services.cancel_scope.cancel()
                async with trio.open_nursery() as impatient:
                    impatient.start_soon(_ignore, signals)
                    await host.close_connections(FIN_GRACE_S)
                    impatient.cancel_scope.cancel()
    except ExceptionGroup as group:
        # What a service can't have (a port, a file, an application) comes through nurseries.
        raise unwrapped(group) from None


@contextmanager
def _controlled(
    host: Host, config: TapHostConfig, path: str | None
) -> Iterator[tuple[str | None, str]]:
    """Let a running host be controlled, if that is wanted.

    Yields the socket's path, and what an address of the live page ends with to do so there.
    """
    if path is None:
        yield None, ""
        return
    # Few want it, and it takes time.
    from pystack.runtime.control.control import Control
    from pystack.runtime.control.server import offered

    control = Control(host)
    with offered(control, f"up-{config.interface}", path or None) as found:
        yield str(found), _let_the_page(host, control)


def _let_the_page(host: Host, control: Control) -> str:
    try:
        from pystack.apps.live.feed import feed_of
    except ModuleNotFoundError:  # no HTTP here, and so no page
        return ""
    return feed_of(host).allow(control)


async def _ignore(signals: AsyncIterator[int]) -> None:
    """Take further signals: one that nobody took would end the program when the receiver closes."""
    async for number in signals:
        _log.info("%s: closing already", signal.Signals(number).name)


@dataclass(frozen=True, slots=True)
class Ready:
    """What there is when all is ready: device, address, and what is served where."""

    config: TapHostConfig
    placements: Sequence[Placement]
    control: str | None = None  # the path of its socket; None: it has none
    fragment: str = ""  # with which the live page may change something; "": it may not

    def text(self) -> str:
        """Return it for people: each address, and what is to be had there, in a line."""
        if self.control is None:
            return self._line()
        return "\n".join([self._line(), f"control: {self.control}", *self._pages()])

    @property
    def live_page(self) -> str:
        """Return where the live page is; "": nothing is served for browsers."""
        urls = (
            _url(item, address) for item in self.placements for address, _ in self.config.addresses
        )
        pages = (f"{url}live{self.fragment}" for url in urls if url and url.startswith("http"))
        return next(pages, "")

    def _pages(self) -> list[str]:
        """Return where the live page can be used to change something, as a line."""
        return [f"live: {self.live_page}"] if self.fragment and self.live_page else []

    def _line(self) -> str:
        interface, port = self.config.interface, self.config.chosen_port
        names = [
            f"{item.service.name}:{item.tcp_port or item.udp_port}" for item in self.placements
        ]
        if port is not None and has_nobody(port):
            # No address to turn to: there is nobody who could.
            return " ".join([f"ready: {interface} on the {port.title},", *names])
        words = [f"ready: {interface}"]
        for address, _ in self.config.addresses:
            words.append(format_ip(address))
            for name, item in zip(names, self.placements, strict=True):
                url = _url(item, address)
                if url or name not in words:
                    words.append(url or name)
        return " ".join(words)

    def json(self) -> str:
        """Return it as a line for programs."""
        addresses = [address for address, _ in self.config.addresses]
        services = []
        for item in self.placements:
            urls = [url for address in addresses if (url := _url(item, address))]
            services.append(
                {
                    "name": item.service.name,
                    "tcp_port": item.tcp_port,
                    "udp_port": item.udp_port,
                    "url": urls[0] if urls else None,
                    "urls": urls,
                }
            )
        texts = [format_ip(address) for address in addresses]
        line = {"ready": self.config.interface, "address": texts[0], "addresses": texts}
        if self.control is not None:
            line["control"] = self.control
            line["live"] = "".join(self._pages()).removeprefix("live: ")
        return json.dumps({**line, "services": services})


def _url(placement: Placement, address: Ip) -> str | None:
    """Return where a browser finds it; None: it is not for browsers."""
    scheme = placement.service.scheme
    usual = _BROWSED.get(scheme)
    if usual is None:
        return None
    port = placement.tcp_port
    host = f"[{format_ip(address)}]" if is_v6(address) else format_ip(address)
    return f"{scheme}://{host}{'' if port == usual else f':{port}'}/"
