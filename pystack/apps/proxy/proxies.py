"""All proxies of a process, by name: made, changed and ended while they run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pystack.apps.proxy.errors import (
    InvalidStreamError,
    MissingFieldError,
    NoSuchProxyError,
    NoSuchToxicError,
    ProxyExistsError,
    ToxicExistsError,
)
from pystack.apps.proxy.model import Proxy, ProxySpec
from pystack.apps.proxy.toxics.spec import STREAMS, ToxicSpec


class Proxies:
    """The proxies, in the order of their making. `async with` lets them run.

    What is not possible raises a `ProxyError` (`errors.py`), and changes nothing.
    """

    def __init__(self) -> None:
        self._proxies: dict[str, Proxy] = {}

    def __iter__(self) -> Iterator[Proxy]:
        return iter(list(self._proxies.values()))

    def __len__(self) -> int:
        return len(self._proxies)

    def find(self, name: str) -> Proxy:
        """Return the proxy of that name. Raises NoSuchProxyError."""
        found = self._proxies.get(name)
        if found is None:
            raise NoSuchProxyError
        return found

    async def create(self, spec: ProxySpec) -> Proxy:
        """Make a proxy, and let it listen if it is enabled.

        Raises MissingFieldError, BadRequestError, ProxyExistsError, CannotListenError.
        """
        _check(spec)
        if spec.name in self._proxies:
            raise ProxyExistsError
        proxy = _made(spec)
        self._proxies[spec.name] = proxy
        return proxy

    async def update(
        self,
        name: str,
        *,
        listen: str | None = None,
        upstream: str | None = None,
        enabled: bool | None = None,
    ) -> Proxy:
        """Change a proxy; None leaves what there is.

        Another place to listen or another upstream ends its connections, and so does
        `enabled=False`. Raises NoSuchProxyError, BadRequestError, CannotListenError.
        """
        proxy = self.find(name)
        proxy.listen = listen or proxy.listen
        proxy.upstream = upstream or proxy.upstream
        proxy.enabled = proxy.enabled if enabled is None else enabled
        return proxy

    async def delete(self, name: str) -> None:
        """End a proxy and its connections. Raises NoSuchProxyError."""
        proxy = self.find(name)
        del self._proxies[proxy.name]

    async def populate(self, specs: Iterable[ProxySpec]) -> list[Proxy]:
        """Make all of these. One that is there already, just so, is left alone, another replaced.

        The first that is not possible ends it, and is raised: those before it stay.
        """
        made = []
        for spec in specs:
            _check(spec)
            self._proxies[spec.name] = proxy = _made(spec)
            made.append(proxy)
        return made

    async def reset(self) -> None:
        """Enable all proxies, and remove all toxics. Raises CannotListenError."""
        for proxy in self:
            proxy.toxics.clear()
            proxy.enabled = True

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
        proxy = self.find(name)
        if spec.stream not in STREAMS:
            raise InvalidStreamError
        spec = replace(spec, name=spec.name or f"{spec.type}_{spec.stream}")
        if any(each.name == spec.name for each in proxy.toxics):
            raise ToxicExistsError
        proxy.toxics.append(spec)
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
        proxy, old = self.find(name), self.find_toxic(name, toxic)
        new = replace(
            old,
            toxicity=old.toxicity if toxicity is None else toxicity,
            attributes={**old.attributes, **(attributes or {})},
        )
        proxy.toxics[proxy.toxics.index(old)] = new
        return new

    async def remove_toxic(self, name: str, toxic: str) -> None:
        """Take a toxic away, from live connections too.

        Raises NoSuchProxyError, NoSuchToxicError.
        """
        self.find(name).toxics.remove(self.find_toxic(name, toxic))


def _check(spec: ProxySpec) -> None:
    for field in ("name", "upstream"):
        if not getattr(spec, field):
            raise MissingFieldError(field)


def _made(spec: ProxySpec) -> Proxy:
    return Proxy(
        name=spec.name,
        listen=spec.listen,
        upstream=spec.upstream,
        enabled=spec.enabled,
        protocol=spec.protocol,
        words=spec.words,
        toxics=list(spec.toxics),
    )
