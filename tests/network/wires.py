"""Two hosts on a wire that may lose, repeat, delay and so reorder what it carries."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import trio

import pystack
from pystack.core.scheduler import Scheduler
from pystack.link.port import Port, WrappedPort
from pystack.runtime.host import Host
from pystack.runtime.streams import TcpStream
from pystack.tcp.config import TcpConfig
from pystack.topology.addressing import IpVersions
from pystack.wire import ethernet, ipv6
from pystack.wire.frame import Frame

PORT = 80
_ARP, _IPV6 = (kind.to_bytes(2, "big") for kind in (ethernet.ARP, ethernet.IPV6))


@dataclass(slots=True, kw_only=True)
class Trouble:
    """What may happen to a frame, as probabilities; ARP and ICMPv6 are left in peace."""

    loss: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    late_by_s: float = 0.03


class SpoiledPort(WrappedPort):
    """Does to each frame on its way out what the dice say."""

    def __init__(self, inner: Port, scheduler: Scheduler, rng: Random, trouble: Trouble) -> None:
        super().__init__(inner)
        self.trouble = trouble
        self.passes: Callable[[Frame], bool] = lambda _frame: True  # False: it is lost
        self.frames = self.lost = 0
        self._scheduler = scheduler
        self._rng = rng

    def send(self, frame: Frame, now: float) -> None:
        kind = frame.data[12:14]
        if kind == _ARP or (kind == _IPV6 and frame.data[20] == ipv6.ICMPV6):
            self.inner.send(frame, now)
            return
        self.frames += 1
        trouble, rng = self.trouble, self._rng
        if rng.random() < trouble.loss or not self.passes(frame):
            self.lost += 1
            return
        for _ in range(2 if rng.random() < trouble.duplicate else 1):
            if rng.random() < trouble.late:
                at = now + trouble.late_by_s * rng.random()
                self._scheduler.call_at(at, lambda later: self.inner.send(frame, later))
            else:
                self.inner.send(frame, now)


@dataclass(slots=True)
class Pair:
    """Two hosts and the two directions between them."""

    client: Host
    server: Host
    to_server: SpoiledPort
    to_client: SpoiledPort

    def configure(self, config: TcpConfig) -> None:
        """Let all new connections be like that."""
        self.client.tcp.config = self.server.tcp.config = config


def pair(
    net: pystack.Network,
    trouble: Trouble | None = None,
    *,
    seed: int = 0,
    delay_s: float = 0.0,
    mtu_bytes: int = 1500,
) -> Pair:
    """Make the two hosts and their wire."""
    scheduler = net.driver.scheduler
    hosts = net.host("client"), net.host("server")
    net.link(*hosts, delay=delay_s, mtu_bytes=mtu_bytes)
    ports = []
    for host in hosts:
        (interface,) = (known for known in host.interfaces if known.name == "eth0")
        rng = Random(f"{seed}/{host.name}")
        spoiled = SpoiledPort(interface.port, scheduler, rng, trouble or Trouble())
        host.stack.plug(interface, spoiled)
        ports.append(spoiled)
    return Pair(*hosts, *ports)


async def connected(wire: Pair) -> tuple[TcpStream, TcpStream]:
    """Return both ends of a connection."""
    (listener,) = await wire.server.open_tcp_listeners(PORT)
    accepted: list[TcpStream] = []

    async def accept() -> None:
        accepted.append(await listener.accept())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        stream = await wire.client.open_tcp_stream("server", PORT)
    listener.close()
    return stream, accepted[0]


def in_network(
    program: Callable[[pystack.Network], Awaitable[None]], *, seed: int = 0, ip: IpVersions = "4"
) -> None:
    """Run a program in a network of this IP version in virtual time."""

    async def main() -> None:
        async with pystack.Network(seed=seed, ip=ip) as net:
            await program(net)

    pystack.run(main, seed=seed)


async def read_to_end(stream: TcpStream, max_bytes: int | None = None) -> bytes:
    """Return all that the peer sends until its end of data."""
    parts = []
    while data := await stream.receive_some(max_bytes):
        parts.append(data)
    return b"".join(parts)
