"""Links of a network whose other end is on another machine.

Each side does to a link what it sends: words for both directions hold for what leaves here, and
those of the direction that comes in only where they are said for it alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Unpack

from pystack.core.errors import ConfigError
from pystack.link.patch import Patch
from pystack.link.port import DEFAULT_MTU_BYTES, PortBase, refusing
from pystack.link.words import NetemWords, as_words
from pystack.runtime.network_link import LinkAsked, NetworkLink
from pystack.runtime.vxlan.port import VxlanPort
from pystack.topology import presets
from pystack.topology.building import free_name
from pystack.topology.tunnels import Tunnel, is_far, read_tunnel, split_words
from pystack.wire.ipv4 import MAX_PACKET_BYTES, MIN_MTU_BYTES

if TYPE_CHECKING:
    from pystack.core.scheduler import Scheduler
    from pystack.link.config import PipeConfig
    from pystack.runtime.bare_network import BareNetwork

End = Literal["a", "b"]
_AWAY: Final[Mapping[str, str]] = {"b": "a_to_b", "a": "b_to_a"}  # by which end is far
_BACK: Final[Mapping[str, str]] = {"b": "b_to_a", "a": "a_to_b"}


class FarLink(NetworkLink):
    """A link that leaves the machine."""

    def __init__(
        self,
        scheduler: Scheduler,
        seed: int,
        name: str,
        a_to_b: PipeConfig,
        b_to_a: PipeConfig,
        *,
        mtu_bytes: int,
        offload: bool,
        far: End,
        shared: bool,
    ) -> None:
        """`far`: which end is elsewhere. `shared`: what comes in is the other side's to change."""
        # What is too large goes as far as the tunnel, which tells its sender; a link does not.
        most = MAX_PACKET_BYTES
        super().__init__(scheduler, seed, name, a_to_b, b_to_a, mtu_bytes=most, offload=offload)
        self.mtu_bytes = self.a.mtu_bytes = self.b.mtu_bytes = mtu_bytes
        self._far, self._shared = far, shared
        self.tunnel: VxlanPort | None = None  # None: it is not joined to one yet
        # What the topology plugs its far node into is nothing; where that would be, is the tunnel.
        self.outlet = self.a if far == "a" else self.b
        setattr(self, far, _Nothing(mtu_bytes))

    def set(
        self,
        *,
        a_to_b: NetemWords | None = None,
        b_to_a: NetemWords | None = None,
        **words: Unpack[NetemWords],
    ) -> None:
        """Change these words for what leaves here; for what comes in only by that direction's.

        None for a word removes it. Raises ConfigError, and then has changed nothing.
        """
        given = {"a_to_b": a_to_b or {}, "b_to_a": b_to_a or {}}
        away, back = _one_way(self._far, given, words, shared=self._shared)
        super().set(**{_AWAY[self._far]: away, _BACK[self._far]: back})  # type: ignore[arg-type]

    def close(self) -> None:
        """Unplug both ends, and let go of the socket: the same link can be made again."""
        super().close()
        self.outlet.close()
        if self.tunnel is not None:
            self.tunnel.close()


def _one_way(
    far: End,
    given: Mapping[str, Mapping[str, object]],
    words: Mapping[str, object],
    *,
    shared: bool,
) -> tuple[NetemWords, NetemWords]:
    """Return the words of what leaves here, and of what comes in."""
    away = {**words, **given[_AWAY[far]]}
    return as_words(away), as_words({} if shared else given[_BACK[far]])


class _Nothing(PortBase):
    """What the far node of a link that leaves the machine is plugged into."""

    fills_checksums = True

    def __init__(self, mtu_bytes: int) -> None:
        super().__init__(mtu_bytes)
        self.send = refusing("port_unplugged", self.counters.add)


def link_far(net: BareNetwork, a: str, b: str, asked: LinkAsked) -> FarLink:
    """Join a node to another machine: one of `a`, `b` is "udp://host:port". See `Network.link`."""
    own, words = split_words(asked.words)
    if is_far(a) and is_far(b):
        raise ConfigError(f"a link has one end here: {a} and {b} are both on other machines")
    far: End = "a" if is_far(a) else "b"
    url = a if far == "a" else b
    tunnel = read_tunnel(url, **own)
    name = free_name(net.topology, url, tunnel.vni)
    near = b if far == "a" else a
    net.topology.node(near)  # raises
    net.topology.far_side(name)
    ends = (name, near) if far == "a" else (near, name)
    try:
        return join(net, *ends, replace(asked, words=words), far=far, tunnel=tunnel)
    except BaseException:
        if not net.topology.nodes[name].ends:
            del net.topology.nodes[name]
        raise


def join(
    net: BareNetwork,
    a: str,
    b: str,
    asked: LinkAsked,
    *,
    far: End,
    tunnel: Tunnel,
    shared: bool = False,
) -> FarLink:
    """Make the link between two nodes of which one is elsewhere, and its tunnel."""
    if net.driver.is_virtual:
        raise ConfigError(
            "a link to another machine lives in real time, and this network in virtual time: run "
            "the program with trio.run instead of pystack.run"
        )
    port = VxlanPort(net.driver.scheduler, tunnel)
    mtu_bytes = asked.mtu_bytes
    if mtu_bytes is None:
        mtu_bytes = min(port.mtu_bytes, DEFAULT_MTU_BYTES)
    elif not isinstance(mtu_bytes, int) or not MIN_MTU_BYTES <= mtu_bytes <= port.mtu_bytes:
        raise ConfigError(
            f"an MTU of {mtu_bytes!r} bytes is not possible: IPv4 needs {MIN_MTU_BYTES}, and the "
            f"path to {port.shown} has room for packets of {port.mtu_bytes}"
        )
    port.narrow(mtu_bytes)
    preset_words = presets.words_of(asked.preset)[0 if far == "b" else 1]
    given = {"a_to_b": asked.a_to_b or {}, "b_to_a": asked.b_to_a or {}}
    away, back = _one_way(far, given, {**preset_words, **asked.words}, shared=shared)
    port.open(net.driver)
    try:
        link: FarLink = net.topology.link(
            a,
            b,
            a_to_b=away if far == "b" else back,
            b_to_a=back if far == "b" else away,
            mtu_bytes=mtu_bytes,
            offload=asked.offload,
            make=partial(FarLink, far=far, shared=shared),
        )
    except BaseException:
        port.close()
        raise
    link.tunnel = port
    Patch(port, link.outlet)
    port.gathers = asked.offload
    port.counters = link.own_counters
    net.resources.callback(port.close)
    assert net.nursery is not None
    net.nursery.start_soon(_run, net, port)
    return link


async def _run(net: BareNetwork, port: VxlanPort) -> None:
    net.settle()  # who is spoken to from outside needs its addresses
    await port.run(net.driver)
