"""A host that takes packets for the whole world, with a client on its link."""

from typing import Final

from two_hosts import World

from pystack.core.addresses import Ip, parse_ip
from pystack.stack.intercept import HeldDatagram, HeldEcho, HeldSyn
from pystack.stack.tcp_socket import TcpSocket
from pystack.stack.udp_socket import UdpSocket
from pystack.tcp.config import TcpConfig

# What the client wants to reach, and the gateway on its link
FAR: Final = {"IPv4": parse_ip("192.0.2.80"), "IPv6": parse_ip("2001:db8::80")}


class Noting:
    """An interceptor that notes what it is given."""

    def __init__(self, *, but: tuple[Ip, ...] = ()) -> None:
        self.but = but
        self.asked: list[Ip] = []
        self.syns: list[HeldSyn] = []
        self.datagrams: list[HeldDatagram] = []
        self.echoes: list[HeldEcho] = []

    def covers(self, dst: Ip) -> bool:
        self.asked.append(dst)
        return dst not in self.but

    def syn_arrived(self, syn: HeldSyn, now: float) -> None:
        self.syns.append(syn)

    def datagram_arrived(self, datagram: HeldDatagram, now: float) -> None:
        self.datagrams.append(datagram)

    def echo_arrived(self, echo: HeldEcho, now: float) -> None:
        self.echoes.append(echo)


class Intercepting:
    """A client, and on its link a gateway with an interceptor."""

    def __init__(self, version: str, *, mtu_bytes: int = 1500, look: bool = True) -> None:
        self.world = World.on_one_link(version, mtu_bytes=mtu_bytes)
        self.client, self.gateway = self.world.client, self.world.server
        self.version = version
        self.far = FAR[version]
        self.client.set_gateway(self.world.there)
        self.noting = self.gateway.interceptor = Noting()
        self.established: list[TcpSocket] = []
        self.gone = 0
        if look:
            self.world.watch(self.client, self.gateway)

    @property
    def now(self) -> float:
        return self.world.now

    def run(self, for_s: float = 1.0) -> None:
        self.world.run(for_s)

    def open(self, port: int = 80) -> TcpSocket:
        """Return the client's end of a connection to far away, which nobody has answered yet."""
        return self.world.open(port=port, to=self.far)

    def accept(self, syn: HeldSyn, config: TcpConfig | None = None) -> None:
        def gone() -> None:
            self.gone += 1

        syn.accept(self.now, self.established.append, gone, config)
        self.run()

    def socket(self) -> UdpSocket:
        """Return a datagram socket of the client."""
        return self.client.udp.bind(self.world.here, 5000)
