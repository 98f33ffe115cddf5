"""Two hosts with everything below the sockets, on one link or with a router between."""

from typing import Final

from pystack.core.addresses import (
    LOOPBACK,
    LOOPBACK6,
    ZERO_MAC,
    Ip,
    Mac,
    Prefix,
    parse_interface_address,
    parse_ip,
)
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.link.port import LoopbackPort, Port
from pystack.observe.observer import Dropped, Event, FrameSeen
from pystack.stack.host import Host
from pystack.stack.ports import ANY
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.listener import Listener
from pystack.wire import ip
from pystack.wire.frame import Frame, completed, split
from pystack.wire.packet import Packet

# The client's and the server's address, and those of the router beside each
ADDRESSES: Final = {
    "IPv4": ("10.0.1.1/24", "10.0.2.1/24", "10.0.1.254/24", "10.0.2.254/24"),
    "IPv6": ("fd00:1::1/64", "fd00:2::1/64", "fd00:1::fe/64", "fd00:2::fe/64"),
}
ON_ONE_LINK: Final = {
    "IPv4": ("10.0.1.1/24", "10.0.1.2/24"),
    "IPv6": ("fd00:1::1/64", "fd00:1::2/64"),
    "link-local": ("fe80::1/64", "fe80::2/64"),
}


def add_host(scheduler: Scheduler, name: str, number: int, **ports: tuple[Port, str]) -> Host:
    """Make a host with a loopback, and an interface at each of these ports and addresses."""
    host = Host(name, scheduler, seed=1)
    loopback = LoopbackPort(scheduler)
    lo = host.add_interface("lo", loopback, LOOPBACK, Prefix.of(LOOPBACK, 8), ZERO_MAC)
    host.add_address(lo, LOOPBACK6, Prefix.of(LOOPBACK6, 128))
    for place, (ifname, (port, address)) in enumerate(ports.items()):
        mac = Mac(bytes((2, 0, 0, 0, number, place + 1)))
        host.add_interface(ifname, port, *parse_interface_address(address), mac)
    return host


class World:
    """A client and a server, and what was seen of them."""

    def __init__(self, client: Host, server: Host, here: Ip, there: Ip) -> None:
        self.scheduler = client.scheduler
        self.client, self.server = client, server
        self.here, self.there = here, there  # as the client has them
        self.events: list[Event] = []
        self.router: Host | None = None
        self.links: list[Link] = []

    @classmethod
    def on_one_link(cls, version: str, *, delay_s: float = 0.01, mtu_bytes: int = 1500) -> "World":
        """Return them on one link, at the addresses of `ON_ONE_LINK`."""
        scheduler = Scheduler(0.0)
        config = PipeConfig.parse(delay=delay_s)
        link = Link(scheduler, 1, "link", config, config, mtu_bytes=mtu_bytes)
        here, there = ON_ONE_LINK[version]
        client = add_host(scheduler, "client", 1, eth0=(link.a, here))
        server = add_host(scheduler, "server", 2, eth0=(link.b, there))
        zone = "%2" if version == "link-local" else ""
        addresses = (parse_ip(text.partition("/")[0] + zone) for text in (here, there))
        world = cls(client, server, *addresses)
        world.links = [link]
        return world

    @classmethod
    def with_router(cls, version: str, *, second_mtu_bytes: int = 1500) -> "World":
        """Return them with a router between, whose second link has this MTU."""
        scheduler = Scheduler(0.0)
        config = PipeConfig.parse(delay="10ms")
        here, there, near, far = ADDRESSES[version]
        one, two = (
            Link(scheduler, 1, name, config, config, mtu_bytes=mtu_bytes)
            for name, mtu_bytes in (("one", 1500), ("two", second_mtu_bytes))
        )
        client = add_host(scheduler, "client", 1, eth0=(one.a, here))
        router = add_host(scheduler, "router", 2, eth0=(one.b, near), eth1=(two.a, far))
        router.forwarding = True
        server = add_host(scheduler, "server", 3, eth0=(two.b, there))
        for host, gateway in ((client, near), (server, far)):
            host.set_gateway(parse_interface_address(gateway)[0])
        addresses = (parse_interface_address(text)[0] for text in (here, there))
        world = cls(client, server, *addresses)
        world.router, world.links = router, [one, two]
        return world

    def watch(self, *hosts: Host) -> None:
        """Keep the events of these hosts."""
        for host in hosts:
            host.observers.append(self)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    @property
    def now(self) -> float:
        return self.scheduler.now

    def run(self, for_s: float = 1.0) -> None:
        self.scheduler.run_due(self.now + for_s)

    def connect(self, *, port: int = 80, listen_at: Ip = ANY) -> tuple[TcpSocket, TcpSocket]:
        """Return both ends of a new connection from the client."""
        listener: Listener[TcpSocket] = self.server.tcp.listen(listen_at, port)
        return self.open(port=port), listener.ready.popleft()

    def open(self, *, port: int = 80, to: Ip | None = None) -> TcpSocket:
        """Return the client's end of a new connection, which may have been refused."""
        tcp = self.client.tcp
        socket = tcp.connect(self.there if to is None else to, port, self.now)
        tcp.pump(socket, self.now)
        self.run()
        return socket

    def send(self, host: Host, socket: TcpSocket, data: bytes) -> None:
        """Write it all, whenever there is room."""
        view, left = memoryview(data), len(data)

        def more(at: float) -> None:
            nonlocal left
            left -= host.tcp.write(socket, view[len(data) - left :], at)
            if left:
                host.scheduler.call_at(at + 0.01, more)

        more(self.now)

    def transfer(self, sender: TcpSocket, receiver: TcpSocket, data: bytes) -> bytes:
        """Send from the client to the server; return what has come within a minute."""
        self.send(self.client, sender, data)
        got, until = bytearray(), self.now + 60
        while len(got) < len(data) and self.now < until:
            self.run(0.01)
            got += self.server.tcp.read(receiver, 1 << 20, self.now)
        return bytes(got)

    def sent(self, host: Host) -> list[Packet]:
        """Return the IP packets that a watched host has sent, as they are on a cable."""
        frames: list[Frame] = [
            event.frame
            for event in self.events
            if isinstance(event, FrameSeen) and event.sent and event.host == host.name
        ]
        pieces = [piece for frame in frames for piece in _pieces(frame)]
        return [ip.packet_of(piece.data) for piece in pieces if piece.data[12:14] != b"\x08\x06"]

    def drops(self, host: Host) -> list[str]:
        """Return the reasons of what a watched host has dropped."""
        return [e.reason for e in self.events if isinstance(e, Dropped) and e.host == host.name]


def _pieces(frame: Frame) -> list[Frame]:
    return split(frame) if frame.gso_bytes else [completed(frame)]
