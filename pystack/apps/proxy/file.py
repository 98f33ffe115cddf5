"""Proxies in a file, which may change while they run.

    seed = 7

    [proxies.redis]
    listen = "127.0.0.1:26379"
    upstream = "127.0.0.1:6379"
    delay = "50ms"
    to_client = { rate = "1mbit" }

    [[proxies.redis.toxics]]
    type = "latency"
    attributes = { latency = 1000 }

Toxiproxy's own files, a list in JSON, are read too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias, cast

from pystack.apps.proxy.api.notation import as_list, read
from pystack.apps.proxy.api.shapes import read_proxy
from pystack.apps.proxy.endpoints import Endpoint, whole
from pystack.apps.proxy.errors import NoSuchProxyError, ProxyError
from pystack.apps.proxy.model import (
    ANY_LISTEN,
    PROTOCOLS,
    LinkWords,
    ProxySpec,
)
from pystack.apps.proxy.model import Protocol as ProxyProtocol
from pystack.apps.proxy.proxies import Proxies, checked
from pystack.apps.proxy.toxics import registry
from pystack.apps.proxy.toxics.spec import DOWNSTREAM, Stream, ToxicSpec
from pystack.core.errors import ConfigError, DeviceError
from pystack.core.suggest import suggest
from pystack.link.config import read_word
from pystack.topology import presets, toml_places
from pystack.topology.reading import Document, describe, link_words, text_of

_OWN: Final = (
    "listen",
    "upstream",
    "protocol",
    "enabled",
    "preset",
    "to_upstream",
    "to_client",
    "toxics",
)
_TOXIC: Final = ("name", "type", "stream", "toxicity", "attributes")


# What is another when a file was written or replaced
FileState: TypeAlias = tuple[int, int, int]


def state_of(path: Path) -> FileState | None:
    """Return it; None: the file is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class ProxyFile:
    """One file, and what of it runs."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises ConfigError, with its name and a line."""
        self.path = path
        self.seed: int | None = None  # None: it says none
        self.state: FileState | None = None  # when it was read last; None: it was not there
        self.specs: dict[str, ProxySpec] = {}
        self._applied: dict[str, ProxySpec] = {}
        self.read()

    def read(self) -> None:
        """Read it again. Raises ConfigError, and then has changed nothing."""
        self.state = state_of(self.path)  # before: what changes meanwhile is seen as a change
        if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
            raise ConfigError(f"cannot read {self.path}: it is no file, and might never end")
        text = text_of(self.path)
        if self.path.suffix == ".json":
            self.specs = {spec.name: spec for spec in _json_specs(str(self.path), text)}
            return
        reader = _Reader(Document(str(self.path), text))
        self.specs, self.seed = reader.specs(), reader.seed()

    async def apply(self, proxies: Proxies, *, first: bool = False) -> list[str]:
        """Let run what the file says; return what was not possible, in sentences.

        Of a proxy that has changed in its link or its toxics alone, the connections stay; one that
        has not changed is left alone, whatever was done to it otherwise. `first`: at the beginning,
        where what is not possible is raised: DeviceError.
        """
        errors: dict[str, ProxyError] = {}
        for name in [name for name in self._applied if name not in self.specs]:
            del self._applied[name]
            with suppress(NoSuchProxyError):
                await proxies.delete(name)
        changed = [spec for spec in self.specs.values() if self._applied.get(spec.name) != spec]
        moved: list[ProxySpec] = []
        for spec in changed:
            old = self._applied.get(spec.name)
            try:
                if old is None or _place(old) != _place(spec):
                    moved.append(spec)
                else:
                    await _change(proxies, old, spec)
            except NoSuchProxyError:
                moved.append(spec)  # others have deleted it
            except ProxyError as error:
                errors[spec.name] = error
        errors |= await proxies.replace(moved)
        if first and errors:
            raise DeviceError(f"{self.path}: " + "; ".join(f"{n}: {e}" for n, e in errors.items()))
        self._applied |= {spec.name: spec for spec in changed if spec.name not in errors}
        return [f"{name}: {error}" for name, error in errors.items()]


async def _change(proxies: Proxies, old: ProxySpec, new: ProxySpec) -> None:
    await proxies.update(
        new.name,
        enabled=None if new.enabled == old.enabled else new.enabled,
        words=None if new.words == old.words else new.words,
        toxics=None if new.toxics == old.toxics else new.toxics,
    )


def _place(spec: ProxySpec) -> tuple[str, str, str]:
    return spec.listen, spec.upstream, spec.protocol


class _Reader:
    """Makes proxies of tables. What it takes is of the right kind, and possible."""

    def __init__(self, document: Document) -> None:
        self._doc = document
        self._root = document.table((), document.root, ("seed", "proxies"))

    def seed(self) -> int | None:
        seed = self._root.get("seed")
        return None if seed is None else self._doc.whole(("seed",), seed)

    def specs(self) -> dict[str, ProxySpec]:
        tables = self._doc.table(("proxies",), self._root.get("proxies", {}), None)
        if not tables:
            self._doc.fail((), "a [proxies.NAME] is missing: there is nothing to run")
        return {name: self._spec(("proxies", name), name, value) for name, value in tables.items()}

    def _spec(self, path: toml_places.Path, name: str, value: object) -> ProxySpec:
        doc = self._doc
        table = doc.table(path, value, None)
        both = {key: item for key, item in table.items() if key not in _OWN}
        own_words = self._words(path, both, _OWN)  # first: the upstream may be misspelled
        if "upstream" not in table:
            doc.fail(path, f'{name} needs an upstream, like upstream = "127.0.0.1:80"')
        words = LinkWords(
            both=own_words,
            upstream=self._direction((*path, "to_upstream"), table),
            downstream=self._direction((*path, "to_client"), table),
            preset=doc.text((*path, "preset"), table["preset"]) if "preset" in table else None,
        )
        with doc.placed((*path, "preset") if "preset" in table else path):
            presets.words_of(words.preset)
        protocol = cast(ProxyProtocol, table.get("protocol", "tcp"))
        if protocol not in PROTOCOLS:
            hint = suggest(str(protocol), PROTOCOLS)
            doc.fail((*path, "protocol"), f"a proxy is of tcp or udp, not {protocol!r}{hint}")
        spec = ProxySpec(
            name=name,
            listen=self._endpoint((*path, "listen"), table.get("listen", ANY_LISTEN), least=0),
            upstream=self._endpoint((*path, "upstream"), table["upstream"], least=1),
            enabled=doc.switch((*path, "enabled"), table.get("enabled", True)),
            protocol=protocol,
            words=words,
            toxics=tuple(self._toxics((*path, "toxics"), table.get("toxics", []), protocol)),
        )
        try:
            checked(spec)
        except ProxyError as error:
            doc.fail(path, _said(error))
        return spec

    def _direction(self, path: toml_places.Path, table: Mapping[str, object]) -> dict[str, object]:
        words = self._doc.table(path, table.get(str(path[-1]), {}), None)
        return self._words(path, words, ())

    def _words(
        self, path: toml_places.Path, words: Mapping[str, object], others: Iterable[str]
    ) -> dict[str, object]:
        found = link_words(self._doc, path, words, others)
        for word, value in found.items():
            with self._doc.placed((*path, word)):
                read_word(word, value)
        return found

    def _endpoint(self, path: toml_places.Path, value: object, *, least: int) -> str:
        text = whole(self._doc.text(path, value))
        with self._doc.placed(path):
            check_endpoint(text, least=least)
        return text

    def _toxics(
        self, path: toml_places.Path, value: object, protocol: ProxyProtocol
    ) -> Iterator[ToxicSpec]:
        names: set[str] = set()
        for at, item in enumerate(self._doc.items(path, value)):
            here = (*path, at)
            table = self._doc.table(here, item, _TOXIC)
            kind = self._doc.text((*here, "type"), table.get("type"))
            if kind not in registry.TOXICS:
                hint = suggest(kind, registry.TOXICS)
                self._doc.fail((*here, "type"), f"there is no toxic {kind!r}{hint}")
            name = self._doc.text((*here, "name"), table["name"]) if "name" in table else ""
            stream = self._doc.text((*here, "stream"), table.get("stream", DOWNSTREAM))
            toxicity = table.get("toxicity", 1.0)
            if isinstance(toxicity, bool) or not isinstance(toxicity, int | float):
                text = f"toxicity is a number from 0 to 1, not {describe(toxicity)}"
                self._doc.fail((*here, "toxicity"), text)
            try:
                spec = registry.checked(
                    ToxicSpec(
                        name=name,
                        type=kind,
                        stream=cast(Stream, stream),
                        toxicity=toxicity,
                        attributes=self._doc.table(
                            (*here, "attributes"), table.get("attributes", {}), None
                        ),
                    ),
                    protocol,
                )
            except ProxyError as error:
                self._doc.fail(here, _said(error))
            if spec.name in names:
                self._doc.fail(here, f"there are two toxics {spec.name!r}: give one another name")
            names.add(spec.name)
            yield spec


def check_endpoint(text: str, *, least: int) -> None:
    """Raise ConfigError for what is no HOST:PORT; `least`: 0 where any free port will do."""
    endpoint = Endpoint.parse(text)
    if endpoint.port < least or (least and not endpoint.host):
        raise ConfigError(f"{text!r}: an upstream has a host and a port, like 127.0.0.1:80")


def _json_specs(name: str, text: str) -> Iterator[ProxySpec]:
    """Read a file of Toxiproxy's, a list as `POST /populate` takes it. Raises ConfigError."""
    try:
        items = as_list(read(text.encode()), "the file")
    except ProxyError as error:
        raise ConfigError(f"{name}: {_said(error)}") from None
    for number, item in enumerate(items, 1):
        try:
            spec = read_proxy(item, "it")
            checked(spec)
            check_endpoint(spec.listen or ANY_LISTEN, least=0)
            check_endpoint(spec.upstream, least=1)
        except (ProxyError, ConfigError) as error:
            raise ConfigError(f"{name}: proxy {number}: {_said(error)}") from None
        yield spec


def _said(error: Exception) -> str:
    return str(error).removeprefix("bad request body: ")
