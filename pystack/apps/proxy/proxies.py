"""All proxies of a process, by name: made, changed and ended while they run."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Final

import trio

from pystack.apps.proxy.endpoints import Names, find_listen, listen_at
from pystack.apps.proxy.errors import (
    BadRequestError,
    MissingFieldError,
    NoSuchProxyError,
    NoSuchToxicError,
    ProxyError,
    ProxyExistsError,
    ToxicExistsError,
)
from pystack.apps.proxy.lanes import SUBNET, Lanes
from pystack.apps.proxy.model import ANY_LISTEN, LinkWords, Protocol, Proxy, ProxySpec
from pystack.apps.proxy.tcp import TcpProxy
from pystack.apps.proxy.toxics import registry
from pystack.apps.proxy.toxics.packets import words_for
from pystack.apps.proxy.toxics.spec import ToxicSpec
from pystack.apps.proxy.udp import UdpProxy
from pystack.apps.proxy.words import read_directions
from pystack.apps.proxy.world import World
from pystack.core.addresses import host_port
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.runtime.network import Network
from pystack.runtime.splice.poller import Poller

_KINDS: Final[Mapping[Protocol, socket.SocketKind]] = {
    "tcp": socket.SOCK_STREAM,
    "udp": socket.SOCK_DGRAM,
}

_MOST_PARTIAL: Final = 6  # toxics on packets with chance: 64 lanes


class Proxies:
    """The proxies, in the order of their making. `async with` lets them run.

    What is not possible raises a `ProxyError` (`errors.py`), and changes nothing. Changes wait for
    each other, so several may ask for some at once.
    """

    def __init__(self, *, seed: int | None = None) -> None:
        """`seed`: for everything that is left to chance; None: a random one."""
        self.network = Network(seed=seed, ip="4", subnet=SUBNET)
        self.counters = Counters()  # of the sockets at which they listen
        self._proxies: dict[str, Proxy] = {}
        self._running: dict[str, TcpProxy | UdpProxy] = {}  # of those that are enabled
        self._lock = trio.Lock()
        self._stack = AsyncExitStack()
        self._world: World | None = None  # None: not opened yet
        self._drained: trio.Event | None = None  # None: nobody waits for their end

    async def __aenter__(self) -> Proxies:
        """Open the network, with nothing in it."""
        await self._stack.__aenter__()
        await self._stack.enter_async_context(self.network)
        nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._stack.callback(nursery.cancel_scope.cancel)
        driver = self.network.driver
        poller = Poller(driver)
        await nursery.start(poller.run)
        self._world = World(
            net=self.network,
            driver=driver,
            poller=poller,
            names=Names(driver, nursery),
            lanes=Lanes(self.network),
            on_over=self._one_is_over,
            counters=self.counters,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """End all of them, and all connections, at once."""
        for name in list(self._running):
            self._stop(name)
        self._world = None
        return await self._stack.__aexit__(kind, error, traceback)

    def __iter__(self) -> Iterator[Proxy]:
        """Go through all, with counts that are up to date."""
        self._tally()
        return iter(list(self._proxies.values()))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._proxies)

    def find(self, name: str) -> Proxy:
        """Return the proxy of that name. Raises NoSuchProxyError."""
        found = self._proxies.get(name)
        if found is None:
            raise NoSuchProxyError
        if name in self._running:
            self._running[name].tally()
        return found

    async def create(self, spec: ProxySpec) -> Proxy:
        """Make a proxy, and let it listen if it is enabled.

        Raises MissingFieldError, BadRequestError, ProxyExistsError, CannotListenError.
        """
        proxy = await _made(spec)
        async with self._lock:
            if spec.name in self._proxies:
                raise ProxyExistsError
            self._replace(None, proxy)
            return proxy

    async def replace(self, specs: Iterable[ProxySpec]) -> dict[str, ProxyError]:
        """Make proxies, in place of those of the same names, which end: they may swap their ports.

        Return what was not possible, by name; there the old one goes on, if there is one, though
        its connections may have ended.
        """
        wanted: list[Proxy] = []
        errors: dict[str, ProxyError] = {}
        for spec in specs:
            try:
                wanted.append(await _made(spec))
            except ProxyError as error:
                errors[spec.name] = error
        async with self._lock:
            for proxy in wanted:
                self._stop(proxy.name)
            for proxy in wanted:
                try:
                    self._replace(self._proxies.get(proxy.name), proxy)
                except ProxyError as error:
                    errors[proxy.name] = error
        return errors

    async def update(
        self,
        name: str,
        *,
        listen: str | None = None,
        upstream: str | None = None,
        enabled: bool | None = None,
        words: LinkWords | None = None,
        toxics: Iterable[ToxicSpec] | None = None,
    ) -> Proxy:
        """Change a proxy; None leaves what there is.

        Another place to listen or another upstream ends its connections, and so does
        `enabled=False`. Raises NoSuchProxyError, CannotListenError, and for `words` and `toxics`
        what `add_toxic` does.
        """
        # A look-up may take long, and nobody else is to wait for it.
        place = None if listen is None else await find_listen(listen)
        async with self._lock:
            proxy = self.find(name)
            link = (
                proxy.words if words is None else words,
                proxy.toxics if toxics is None else _checked_toxics(toxics, proxy.protocol),
            )
            _check_link(*link, proxy.protocol)
            old = proxy.listen, proxy.upstream, proxy.enabled
            new = (
                place or proxy.listen,
                proxy.upstream if upstream is None else upstream,
                proxy.enabled if enabled is None else enabled,
            )
            if new[:2] != old[:2] or not new[2]:
                self._stop(name)
            proxy.listen, proxy.upstream, proxy.enabled = new
            if proxy.enabled and name not in self._running:
                try:
                    self._start(proxy)
                except ProxyError:
                    proxy.listen, proxy.upstream, proxy.enabled = old
                    self._go_on(proxy)
                    raise
            if link != (proxy.words, proxy.toxics):
                self._follow(proxy, *link)
            return proxy

    async def delete(self, name: str) -> None:
        """End a proxy and its connections. Raises NoSuchProxyError."""
        async with self._lock:
            self.find(name)
            self._stop(name)
            del self._proxies[name]

    async def populate(self, specs: Sequence[ProxySpec]) -> list[Proxy]:
        """Make all of these. One that listens there for that upstream already is left alone.

        Another of the same name is replaced, with all that belongs to it. Nothing is made where one
        is not what it should be. Where the machine refuses one, those before it stay: they are the
        `made` of the error. Raises MissingFieldError, BadRequestError, CannotListenError.
        """
        wanted = [checked(spec, f" at proxy {number}") for number, spec in enumerate(specs, 1)]
        made: list[Proxy] = []
        for proxy in wanted:
            try:
                proxy.listen = await find_listen(proxy.listen)
                async with self._lock:
                    made.append(self._replace_if_other(proxy))
            except ProxyError as error:
                error.made = made
                raise
        return made

    async def reset(self) -> None:
        """Enable all proxies, and remove all toxics.

        Raises CannotListenError where one cannot be enabled, when it has done so with the others.
        """
        first: ProxyError | None = None  # None: all could be enabled
        async with self._lock:
            for proxy in self:
                self._follow(proxy, proxy.words, [])
                if not proxy.enabled:
                    try:
                        self._start(proxy)
                        proxy.enabled = True
                    except ProxyError as error:
                        first = first or error
        if first is not None:
            raise first

    # toxics

    def find_toxic(self, name: str, toxic: str) -> ToxicSpec:
        """Return a toxic of a proxy. Raises NoSuchProxyError, NoSuchToxicError."""
        for spec in self.find(name).toxics:
            if spec.name == toxic:
                return spec
        raise NoSuchToxicError

    async def add_toxic(self, name: str, spec: ToxicSpec) -> ToxicSpec:
        """Add a toxic, which hits live connections too; return it with all its attributes.

        An empty name stands for the usual one ("latency_downstream").
        Raises NoSuchProxyError, InvalidStreamError, InvalidToxicTypeError, BadRequestError,
        ToxicExistsError.
        """
        async with self._lock:
            proxy = self.find(name)
            spec = registry.checked(spec, proxy.protocol)
            if any(each.name == spec.name for each in proxy.toxics):
                raise ToxicExistsError
            self._follow(proxy, proxy.words, [*proxy.toxics, spec])
            return spec

    async def update_toxic(
        self,
        name: str,
        toxic: str,
        *,
        toxicity: float | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> ToxicSpec:
        """Change a toxic; attributes that are not given stay. Raises what `add_toxic` does."""
        async with self._lock:
            proxy, old = self.find(name), self.find_toxic(name, toxic)
            new = registry.checked(
                replace(
                    old,
                    toxicity=old.toxicity if toxicity is None else toxicity,
                    attributes={**old.attributes, **(attributes or {})},
                ),
                proxy.protocol,
            )
            self._follow(
                proxy, proxy.words, [new if each is old else each for each in proxy.toxics]
            )
            return new

    async def remove_toxic(self, name: str, toxic: str) -> None:
        """Take a toxic away, from live connections too.

        Raises NoSuchProxyError, NoSuchToxicError.
        """
        async with self._lock:
            proxy, old = self.find(name), self.find_toxic(name, toxic)
            self._follow(proxy, proxy.words, [each for each in proxy.toxics if each is not old])

    # the end of all

    @property
    def unfinished(self) -> int:
        """Return how many connections would have to be cut to end all of it now."""
        return sum(running.unfinished for running in self._running.values())

    async def drain(self) -> None:
        """Take no new connections, and wait until those that there are have ended."""
        for running in self._running.values():
            running.stop_listening()
        self._drained = trio.Event()
        self._one_is_over()
        await self._drained.wait()

    def _one_is_over(self) -> None:
        if self._drained is not None and not self.unfinished:
            self._drained.set()

    # how

    def _opened(self) -> World:
        if self._world is None:
            raise ConfigError("proxies run inside `async with Proxies() as proxies`")
        return self._world

    def _replace(self, old: Proxy | None, new: Proxy) -> None:
        """Have `new`, listening if it is enabled; CannotListenError: it is `old` that stays."""
        self._stop(new.name)
        self._proxies[new.name] = new
        if not new.enabled:
            return
        try:
            self._start(new)
        except ProxyError:
            if old is None:
                del self._proxies[new.name]
            else:
                self._proxies[new.name] = old
                self._go_on(old)
            raise

    def _replace_if_other(self, new: Proxy) -> Proxy:
        """Have `new`, or leave the one of its name that has the same places; return which it is."""
        old = self._proxies.get(new.name)
        if old is not None and (old.listen, old.upstream) == (new.listen, new.upstream):
            return old
        self._replace(old, new)
        return new

    def _start(self, proxy: Proxy) -> None:
        """Let it listen. Raises CannotListenError."""
        world = self._opened()
        sock = listen_at(proxy.listen, _KINDS[proxy.protocol])
        make = TcpProxy if proxy.protocol == "tcp" else UdpProxy
        self._running[proxy.name] = make(world, proxy, sock)
        proxy.listen = host_port(*sock.getsockname()[:2])

    def _go_on(self, proxy: Proxy) -> None:
        """Let it listen again, if it was enabled and the machine lets it."""
        if proxy.enabled:
            try:
                self._start(proxy)
            except ProxyError:
                proxy.enabled = False

    def _stop(self, name: str) -> None:
        """End what runs of a proxy. Nothing happens where it does not."""
        running = self._running.pop(name, None)
        if running is not None:
            running.tally()
            running.close(self._now())
            self._flush()

    def _follow(self, proxy: Proxy, words: LinkWords, toxics: list[ToxicSpec]) -> None:
        """Have these words and toxics. Raises BadRequestError, and then has changed nothing."""
        _check_link(words, toxics, proxy.protocol)
        proxy.words, proxy.toxics = words, toxics
        if proxy.name in self._running:
            self._running[proxy.name].follow(self._now())
            self._flush()

    def _tally(self) -> None:
        for running in self._running.values():
            running.tally()

    def _now(self) -> float:
        return self._opened().driver.now()

    def _flush(self) -> None:
        """Send what changes have brought about."""
        self._opened().driver.batch_done(self._now())


def checked(spec: ProxySpec, where: str = "") -> Proxy:
    """Return the proxy that is asked for; where it listens is not looked up yet.

    `where`: of several which, for the sentence. Raises MissingFieldError, BadRequestError.
    """
    for field in ("name", "upstream"):
        if not getattr(spec, field):
            raise MissingFieldError(f"{field}{where}")
    toxics = _checked_toxics(spec.toxics, spec.protocol)
    _check_link(spec.words, toxics, spec.protocol)
    return Proxy(
        name=spec.name,
        listen=spec.listen or ANY_LISTEN,
        upstream=spec.upstream,
        enabled=spec.enabled,
        protocol=spec.protocol,
        words=spec.words,
        toxics=toxics,
    )


async def _made(spec: ProxySpec) -> Proxy:
    """Return the proxy that is asked for. MissingFieldError, BadRequestError, CannotListenError."""
    proxy = checked(spec)
    proxy.listen = await find_listen(proxy.listen)
    return proxy


def _checked_toxics(specs: Iterable[ToxicSpec], protocol: Protocol) -> list[ToxicSpec]:
    found: dict[str, ToxicSpec] = {}
    for spec in specs:
        checked = registry.checked(spec, protocol)
        if checked.name in found:
            raise ToxicExistsError
        found[checked.name] = checked
    return list(found.values())


def _check_link(words: LinkWords, toxics: Sequence[ToxicSpec], protocol: Protocol) -> None:
    """Raise BadRequestError where a link can not have these words together with these toxics."""
    on_packets = [toxic for toxic in toxics if registry.is_packet_toxic(toxic.type, protocol)]
    if sum(toxic.toxicity < 1 for toxic in on_packets) > _MOST_PARTIAL:
        raise BadRequestError(
            f"more than {_MOST_PARTIAL} toxics on packets that hit some connections only: each "
            "doubles the links that are needed"
        )
    try:
        words_for(read_directions(words), on_packets)
    except ConfigError as error:
        raise BadRequestError(str(error)) from None
