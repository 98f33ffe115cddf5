"""A host that takes packets for the whole world, with a client on its link."""

from typing import Final

from stack_bench import HERE_MAC, PEER_MAC, Bench
from two_hosts import World

from pystack.core.addresses import Ip, parse_ip
from pystack.stack.intercept import HeldDatagram, HeldEcho, HeldSyn
from pystack.stack.tcp_socket import TcpSocket
from pystack.stack.udp_socket import UdpSocket
from pystack.tcp.config import TcpConfig
from pystack.tcp.seq import MASK
from pystack.wire import ethernet, icmp, icmpv6, ip, ipv4, ipv6, tcp, udp

# What the client wants to reach, and the gateway on its link
FAR: Final = {"IPv4": parse_ip("192.0.2.80"), "IPv6": parse_ip("2001:db8::80")}


ISS: Final = 2**32 - 100
HERE: Final = {"IPv4": "10.0.0.1/24", "IPv6": "fd00::1/64"}
PEER: Final = {"IPv4": parse_ip("10.0.0.2"), "IPv6": parse_ip("fd00::2")}


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


class Gateway(Bench):
    """A host that intercepts, whose neighbour is the test."""

    def __init__(self, version: str) -> None:
        super().__init__(HERE[version])
        self.noting = self.host.interceptor = Noting()
        self.peer, self.far, self.is_v6 = PEER[version], FAR[version], version == "IPv6"
        self.established: list[TcpSocket] = []
        self.gone: list[float] = []
        neighbors = self.interface.neighbors
        assert neighbors is not None
        neighbors.heard(self.peer, PEER_MAC, 0.0, create=True)
        neighbors.timing6.reachable_s = 1e9

    def packet(
        self,
        proto: int,
        payload: bytes,
        *,
        src: Ip | None = None,
        dst: Ip | None = None,
        mac: bytes = HERE_MAC,
    ) -> bytes:
        src, dst = self.peer if src is None else src, self.far if dst is None else dst
        pack = ipv6.pack_header if self.is_v6 else ipv4.pack_header
        kind = ethernet.IPV6 if self.is_v6 else ethernet.IPV4
        header = pack(src, dst, proto, len(payload))
        return ethernet.pack(mac, PEER_MAC, kind, header + payload)

    def segment(
        self,
        flags: int,
        *,
        seq: int = ISS,
        ack: int = 0,
        port: int = 5000,
        to: int = 80,
        text: bytes = b"",
        src: Ip | None = None,
        dst: Ip | None = None,
        mac: bytes = HERE_MAC,
    ) -> None:
        src, dst = self.peer if src is None else src, self.far if dst is None else dst
        made = tcp.Segment(port, to, seq & MASK, ack & MASK, flags, 1000, b"", text)
        body = tcp.pack_header(made, src, dst) + text
        self.arrive(self.packet(ipv4.TCP, body, src=src, dst=dst, mac=mac))

    def datagram(
        self, text: bytes, *, src: Ip | None = None, dst: Ip | None = None, mac: bytes = HERE_MAC
    ) -> None:
        src, dst = self.peer if src is None else src, self.far if dst is None else dst
        body = udp.pack(src, dst, 5000, 53, text)
        self.arrive(self.packet(ipv4.UDP, body, src=src, dst=dst, mac=mac))

    def echo(self, *, src: Ip | None = None, dst: Ip | None = None, mac: bytes = HERE_MAC) -> None:
        src, dst = self.peer if src is None else src, self.far if dst is None else dst
        if self.is_v6:
            body = icmpv6.pack(src, dst, icmpv6.ECHO, 0, 1, b"ping")
        else:
            body = icmp.pack(icmp.ECHO, 0, 1, b"ping")
        proto = ipv6.ICMPV6 if self.is_v6 else ipv4.ICMP
        self.arrive(self.packet(proto, body, src=src, dst=dst, mac=mac))

    def each(self, *, src: Ip | None = None, dst: Ip | None = None, mac: bytes = HERE_MAC) -> None:
        """Let a packet of each kind arrive that an interceptor may be given."""
        self.segment(tcp.SYN, src=src, dst=dst, mac=mac)
        self.datagram(b"?", src=src, dst=dst, mac=mac)
        self.echo(src=src, dst=dst, mac=mac)

    def answers(self) -> list[tcp.Segment]:
        """Return the segments sent since the last time."""
        packets = [ip.packet_of(frame.data) for frame in self.taken()]
        return [tcp.parse(packet) for packet in packets if packet.proto == ipv4.TCP]

    def accept_all(self) -> None:
        for syn in self.noting.syns:
            now = self.scheduler.now
            syn.accept(now, self.established.append, lambda: self.gone.append(self.scheduler.now))
        self.noting.syns.clear()
        self.run(self.scheduler.now)

    @property
    def given(self) -> tuple[int, int, int]:
        noting = self.noting
        return len(noting.syns), len(noting.datagrams), len(noting.echoes)
