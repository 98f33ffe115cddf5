"""Ports by name: the built-in ones, and those of third parties (`pystack.port`).

A plug-in is a factory: it gets the `PortContext`, and its words by keyword. A port that has work of
its own to do, such as waiting for a descriptor, has an async `run`, which goes on until the network
ends.
A factory whose attribute `real_time` is true is refused in virtual time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from pystack.core.addresses import Ip, Prefix
from pystack.core.errors import ConfigError
from pystack.core.plugins import Chosen, Group
from pystack.core.scheduler import Scheduler
from pystack.link.port import DEFAULT_MTU_BYTES, LoopbackPort, Port
from pystack.link.replay import ReplayPort, read_pcap
from pystack.runtime.device.tap import TapPort
from pystack.runtime.driver.driver import Driver
from pystack.wire.vxlan import DEFAULT_VNI

if TYPE_CHECKING:
    from pystack.runtime.lab.attach import Lab
    from pystack.topology.tunnels import Tunnel


@dataclass(frozen=True, slots=True, kw_only=True)
class PortContext:
    """What a port is told about the place where it will be."""

    name: str  # of the node or the interface
    scheduler: Scheduler  # of the world
    seed: int  # of the world: for `core.rng.component_rng`, where a port needs chance
    mtu_bytes: int = DEFAULT_MTU_BYTES  # of what is on the near side
    far_addresses: tuple[tuple[Ip, Prefix], ...] = ()  # of whoever is there; (): unknown
    near_addresses: tuple[Ip, ...] = ()  # of whoever is on the near side, as far as known
    offload: bool = False  # super-frames are wanted where they can be had


@runtime_checkable
class RunningPort(Port, Protocol):
    """A port that has work of its own to do."""

    async def run(self, driver: Driver) -> None:
        """Deliver what arrives; after each batch of frames, `driver.batch_done`."""
        ...


def _loopback(context: PortContext) -> Port:
    """`loopback`: what is sent comes back."""
    return LoopbackPort(context.scheduler)


def _replay(context: PortContext, *, file: str) -> Port:
    """`replay file FILE`: the frames of a capture arrive again, at their instants."""
    return ReplayPort(context.scheduler, read_pcap(file), mtu_bytes=context.mtu_bytes)


class _Tap:
    """`tap [device NAME]`: a TAP device of the machine."""

    real_time = True

    def __call__(self, context: PortContext, *, device: str = "") -> Port:
        return TapPort.open(
            device or context.name,
            mtu_bytes=context.mtu_bytes,
            host_addresses=context.far_addresses,
            offload=context.offload,
            # Without an address of its own, the kernel is no end of this link (a bridge).
            peers=context.near_addresses if context.far_addresses else (),
        )


class _Vxlan:
    """`vxlan HOST:PORT [vni N]`: another machine, over UDP (RFC 7348)."""

    real_time = True

    def __call__(
        self,
        context: PortContext,
        *,
        remote: str,
        vni: str | int = DEFAULT_VNI,
        listen: str | None = None,
        key: str | None = None,
        key_file: str | None = None,
        source_ports: str | int = 1,
        vlan_tags: str | bool = False,
    ) -> Port:
        from pystack.runtime.vxlan.port import VxlanPort  # few networks leave the machine

        words = {"listen": listen, "key": key, "key_file": key_file, "vni": vni}
        more = {"source_ports": source_ports, "vlan_tags": vlan_tags}
        port = VxlanPort(context.scheduler, self.check(remote=remote, **words, **more))
        port.gathers = context.offload
        return port

    @staticmethod
    def check(*, remote: str, **words: object) -> Tunnel:
        """Read its words. Raises ConfigError."""
        from pystack.topology.tunnels import SCHEME, read_tunnel

        return read_tunnel(f"{SCHEME}{remote.removeprefix(SCHEME)}", **words)


# How one asks for a port: its name with its words, what makes it of a `PortContext`, or itself.
PortLike = Port | str | Mapping[str, object] | Callable[[PortContext], Port]

BUILT_IN: Final[dict[str, Callable[..., Port]]] = {
    "loopback": _loopback,
    "replay": _replay,
    "tap": _Tap(),
    "vxlan": _Vxlan(),
}


PORTS: Final = Group[Port]("port", BUILT_IN, "attach")


def needs_real_time(chosen: Chosen[Port]) -> bool:
    """Tell whether there can be such a port in real time only."""
    return bool(getattr(chosen.factory, "real_time", False))


def has_nobody(chosen: Chosen[Port]) -> bool:
    """Tell whether nobody is on the far side who could turn to an address."""
    return chosen.factory in (_loopback, _replay)


def plug(lab: Lab, host: str, port: PortLike) -> None:
    """Plug a host into any port, as its next interface. Raises ConfigError."""
    if host not in lab.hosts:
        raise ConfigError(f"{host!r} is not a host: only those are plugged into ports")
    chosen = PORTS.read(port)
    driver = lab.driver
    if driver.is_virtual and needs_real_time(chosen):
        raise ConfigError(f"the {chosen.title} lives in real time: run with trio.run")
    made = chosen(PortContext(name=host, scheduler=driver.scheduler, seed=lab.seed))
    if not chosen.is_itself:
        lab.resources.callback(made.close)
        if isinstance(made, RunningPort):
            assert lab.nursery is not None
            lab.nursery.start_soon(_run, lab, made)
    lab.topology.attach(host, made)


async def _run(lab: Lab, port: RunningPort) -> None:
    lab.settle()  # a port to the outside needs addresses too
    await port.run(lab.driver)
