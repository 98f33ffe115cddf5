"""Proxies as data: what one is asked to be, and what it is.

`Proxies` (in `proxies.py`) makes the one of the other, and lets them run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pystack.apps.proxy.toxics.spec import STREAMS, Stream, ToxicSpec

Protocol = Literal["tcp", "udp"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("tcp", "udp")
ANY_LISTEN: Final = "127.0.0.1:0"  # a free port, which `Proxy.listen` tells


@dataclass(frozen=True, slots=True)
class LinkWords:
    """How the link of a proxy behaves, in netem's words: "upstream" is from client to upstream."""

    both: Mapping[str, object] = field(default_factory=dict)
    upstream: Mapping[str, object] = field(default_factory=dict)
    downstream: Mapping[str, object] = field(default_factory=dict)
    preset: str | None = None  # of which the client is the subscriber; None: there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySpec:
    """What a proxy is asked to be."""

    name: str
    upstream: str  # "db.example:5432", "[::1]:80": names are resolved for each connection
    listen: str = ANY_LISTEN  # "127.0.0.1:26379", ":26379", "localhost:0"; "": the same
    enabled: bool = True
    protocol: Protocol = "tcp"
    words: LinkWords = field(default_factory=LinkWords)
    toxics: tuple[ToxicSpec, ...] = ()  # those that it begins with


@dataclass(slots=True)
class Traffic:
    """What one direction of a proxy has carried, in bytes of the connections."""

    received_bytes: int = 0  # taken from those who sent it
    sent_bytes: int = 0  # handed on, after all toxics and the link


@dataclass(slots=True)
class Counts:
    """What a proxy has done since it was made."""

    connections: int = 0  # accepted; of UDP: sessions
    open: int = 0  # of these, now
    refused: int = 0  # that the upstream did not take: refused, unreachable, timed out
    dropped: int = 0  # that were turned away or cut: limits of files, memory, toxics
    traffic: dict[Stream, Traffic] = field(
        default_factory=lambda: {stream: Traffic() for stream in STREAMS}
    )


@dataclass(slots=True)
class Proxy:
    """One proxy as it is. Only `Proxies` changes it."""

    name: str
    listen: str  # with the port that it really has, once it was enabled
    upstream: str
    enabled: bool
    protocol: Protocol
    words: LinkWords
    toxics: list[ToxicSpec]  # in the order of their making
    counts: Counts = field(default_factory=Counts)
