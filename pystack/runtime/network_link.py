"""A link as its network knows it: what happens to it, the network hears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from pystack.link.link import Link
from pystack.link.port import DEFAULT_MTU_BYTES
from pystack.link.said import words_of
from pystack.topology.tunnels import netem_words

if TYPE_CHECKING:
    from pystack.link.words import NetemWords
    from pystack.observe.captures.capture import Capture
    from pystack.observe.scene import CaptureWords
    from pystack.runtime.network import Network


class NetworkLink(Link):
    """A link of a network."""

    network: Network  # the one that it is part of

    def down(self, direction: str | None = None) -> None:
        """Cut it, in one direction ("a_to_b") or in both. Frames in flight are lost."""
        super().down(direction)
        self.network.topology.link_changed(self)

    def up(self, direction: str | None = None) -> None:
        """Repair it, in one direction or in both."""
        super().up(direction)
        self.network.topology.link_changed(self)

    @property
    def said(self) -> str:
        """Return how it behaves, in words: "delay 10ms, rate 50mbit"; "": it does nothing.

        Where its directions differ, both: "a > b: ...; b > a: ...".
        """
        there, back = (
            ", ".join(f"{word} {value}" for word, value in words_of(pipe.config).items())
            for pipe in (self.a_to_b, self.b_to_a)
        )
        if there == back:
            return there
        a, b = self.ends
        return f"{a} > {b}: {there or 'nothing'}; {b} > {a}: {back or 'nothing'}"

    def capture(self, path: str | Path, **words: Unpack[CaptureWords]) -> Capture:
        """Write every frame that is put on the link, at either end, to a file.

        Each is there once, at the instant it enters: also those that the link then loses. `ring`,
        `secrets`: see `Network.capture`. Raises ConfigError, OSError.
        """
        return self.network.capture_link(self, path, **words)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAsked:
    """What a link is to be, as `Network.link` was told."""

    preset: str | None = None
    a_to_b: NetemWords | None = None
    b_to_a: NetemWords | None = None
    mtu_bytes: int | None = None  # None: what is usual there
    offload: bool = False
    words: Mapping[str, object]


def link_near(net: Network, a: str, b: str, asked: LinkAsked) -> NetworkLink:
    """Join two nodes that are both on this machine. See `Network.link`."""
    return net.topology.link(
        a,
        b,
        preset=asked.preset,
        a_to_b=asked.a_to_b,
        b_to_a=asked.b_to_a,
        mtu_bytes=DEFAULT_MTU_BYTES if asked.mtu_bytes is None else asked.mtu_bytes,
        offload=asked.offload,
        make=NetworkLink,
        **netem_words(asked.words),
    )
