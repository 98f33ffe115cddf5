"""What `pystack proxy` runs: proxies of the command line and of a file, until a signal comes.

The first signal to end takes new connections no more, and waits for those that there are; the
second ends these, too. A file is read again when it changes, or when SIGHUP comes.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from pystack.apps.proxy import api
from pystack.apps.proxy.api import ApiAddress
from pystack.apps.proxy.errors import ProxyError
from pystack.apps.proxy.file import ProxyFile, state_of
from pystack.apps.proxy.model import Proxy, ProxySpec
from pystack.apps.proxy.proxies import Proxies
from pystack.core.errors import ConfigError, DeviceError
from pystack.core.suggest import counted
from pystack.runtime.driver.exception_groups import unwrapped
from pystack.runtime.driver.signals import ending_signals, signals_heard

GRACE_S: Final = 5.0
_WATCH_S: Final = 0.5  # between two looks at the file

_log: Final = logging.getLogger("pystack.proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyOptions:
    """What is to run."""

    specs: tuple[ProxySpec, ...] = ()
    file: ProxyFile | None = None  # with more of them; None: there is none
    api: ApiAddress | None = None  # None: it is not served
    metrics: ApiAddress | None = None  # the same
    seed: int | None = None  # None: a random one
    grace_s: float = GRACE_S  # what connections have to end by themselves
    capture: dict[str, object] = field(default_factory=dict)  # "pcap" and its kin, as options
    control: str | None = None  # path of a socket for control, "": the usual one; None: none


@dataclass(frozen=True, slots=True)
class Ready:
    """What there is when all is ready."""

    proxies: Sequence[Proxy]
    api: str | None  # its URL; None: it is not served
    metrics: str | None
    control: str | None  # the path of its socket

    def text(self) -> str:
        """Return it for people: a line, and one for each proxy where there are several."""
        lines = [f"{proxy.listen} -> {proxy.upstream}" for proxy in self.proxies]
        first = lines[0] if len(lines) == 1 else f"{len(lines)} proxies"
        urls = [f"{what} {url}" for what, url in self._places() if url is not None]
        whole = [", ".join([f"ready: {first}", *urls])]
        if len(lines) > 1:
            names = (proxy.name for proxy in self.proxies)
            whole += [f"{name}: {line}" for name, line in zip(names, lines, strict=True)]
        return "\n".join(whole)

    def json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "ready": [
                {
                    "name": proxy.name,
                    "listen": proxy.listen,
                    "upstream": proxy.upstream,
                    "protocol": proxy.protocol,
                    "enabled": proxy.enabled,
                }
                for proxy in self.proxies
            ],
            **dict(self._places()),
        }

    def _places(self) -> Iterator[tuple[str, str | None]]:
        yield "api", self.api
        yield "metrics", self.metrics
        yield "control", self.control


async def serve(options: ProxyOptions, on_ready: Callable[[Ready], None]) -> None:
    """Run until SIGINT or SIGTERM; SIGHUP too, unless there is a file, which is read again then.

    Raises DeviceError for what the machine refuses at the beginning, ConfigError.
    """
    try:
        await _Server(options, on_ready).run()
    except BaseExceptionGroup as group:
        raise unwrapped(group) from None


class _Server:
    def __init__(self, options: ProxyOptions, on_ready: Callable[[Ready], None]) -> None:
        self._options = options
        self._on_ready = on_ready
        self._proxies = Proxies(seed=options.seed)
        self._hangup = trio.Event()  # set: the file is to be read again

    async def run(self) -> None:
        options, proxies = self._options, self._proxies
        reads_again = options.file is not None and hasattr(signal, "SIGHUP")
        reloads = {signal.SIGHUP} if reads_again else set()
        ends = set(ending_signals()) - reloads
        with signals_heard(ends | reloads) as signals:
            async with proxies:
                self._capture()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._work)
                    await self._until_end(signals, reloads)
                    nursery.cancel_scope.cancel()
                await self._drain(signals)

    async def _work(self) -> None:
        """Do all but to hear signals, which may come whatever takes long here."""
        await self._begin()
        async with trio.open_nursery() as nursery:
            urls = await self._serve_http(nursery)
            with self._controlled() as control:
                self._on_ready(Ready(list(self._proxies), *urls, control))
                if self._options.file is not None:
                    await self._watch(self._options.file)
                await trio.sleep_forever()

    async def _begin(self) -> None:
        try:
            await self._proxies.populate(self._options.specs)
            if self._options.file is not None:
                await self._options.file.apply(self._proxies, first=True)
        except ProxyError as error:
            raise DeviceError(str(error)) from None

    async def _serve_http(self, nursery: trio.Nursery) -> tuple[str | None, str | None]:
        """Serve the API and metrics, where that is wanted; return their URLs."""
        options, proxies = self._options, self._proxies
        at = metrics_at = None
        if options.api is not None:
            at = await nursery.start(api.ApiServer(proxies, options.api).run)
        if options.metrics is not None:
            metrics_at = await nursery.start(api.MetricsServer(proxies, options.metrics).run)
        return at, metrics_at

    def _capture(self) -> None:
        given = self._options.capture
        if "pcap" in given:
            words = {word.removeprefix("pcap_"): given[word] for word in given if word != "pcap"}
            self._proxies.network.capture(str(given["pcap"]), **words)  # type: ignore[arg-type]

    @contextmanager
    def _controlled(self) -> Iterator[str | None]:
        if self._options.control is None:
            yield None
            return
        from pystack.runtime.control.control import Control  # few want it
        from pystack.runtime.control.server import offered

        with offered(
            Control(self._proxies.network), "proxy", self._options.control or None
        ) as path:
            yield str(path)

    async def _until_end(self, signals: AsyncIterator[int], reloads: set[signal.Signals]) -> None:
        async for number in signals:
            if number not in reloads:
                return
            self._hangup.set()

    async def _drain(self, signals: AsyncIterator[int]) -> None:
        """Let connections end, for a while, or until a second signal."""
        grace_s = self._options.grace_s
        if left := self._proxies.unfinished:
            _log.info("waiting for %s to end, %g s at most", counted(left, "connection"), grace_s)
        async with trio.open_nursery() as nursery:

            async def see() -> None:
                number = await anext(aiter(signals))
                _log.info("%s: closing at once", signal.Signals(number).name)
                nursery.cancel_scope.cancel()

            nursery.start_soon(see)
            with trio.move_on_after(grace_s):
                await self._proxies.drain()
            nursery.cancel_scope.cancel()

    async def _watch(self, file: ProxyFile) -> None:
        """Read the file again when it has changed, and then has not for a moment; or if asked to.

        One reading after the other, and nobody else reads it: what takes long delays the next.
        """
        seen = file.state
        while True:
            with trio.move_on_after(_WATCH_S):
                await self._hangup.wait()
            is_asked, self._hangup = self._hangup.is_set(), trio.Event()
            now = state_of(file.path)
            if is_asked or (now == seen != file.state and now is not None):
                await self._reload(file)
            seen = now

    async def _reload(self, file: ProxyFile) -> None:
        try:
            file.read()
        except ConfigError as error:
            _log.warning("%s; nothing was changed", error)
            return
        for trouble in await file.apply(self._proxies):
            _log.warning("%s: %s", file.path, trouble)
        _log.info("%s was read again", file.path)
