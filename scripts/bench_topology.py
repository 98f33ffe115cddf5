"""What a router, a switch and the settling of a network cost in wall time.

Run it with `.venv/bin/python scripts/bench_topology.py`; docs/topology.md has the figures.
"""

import time
from itertools import pairwise

import trio

import pystack
from pystack.core.addresses import BROADCAST_MAC, Mac, parse_host_address, parse_ip4
from pystack.core.scheduler import Scheduler
from pystack.link.port import FrameSink
from pystack.topology.router import Router
from pystack.topology.switch import Switch
from pystack.wire import arp, ethernet, ipv4
from pystack.wire.frame import Frame

PACKETS = 200_000
DATAGRAMS = 20_000
NEAR, FAR, A, B = (Mac(b"\x02\0\0\0\0" + bytes([number])) for number in (1, 2, 3, 4))


class Nowhere:
    """A port that swallows what it is given."""

    mtu_bytes, gso_max_bytes, fills_checksums = 1500, 0, True
    sink: FrameSink

    def attach(self, sink: FrameSink) -> None:
        """Remember the sink."""
        self.sink = sink

    def send(self, frame: Frame, now: float) -> None:
        """Swallow it."""

    def close(self) -> None:
        """Do nothing."""


def packet(size: int) -> Frame:
    """Return a frame with a packet of `size` bytes from A, for B behind the router."""
    addresses = parse_ip4("10.0.0.2"), parse_ip4("10.0.1.2")
    header = ipv4.pack_header(*addresses, ipv4.UDP, size - ipv4.HEADER_BYTES)
    return Frame(ethernet.pack(NEAR, A, ethernet.IPV4, header + bytes(size - ipv4.HEADER_BYTES)))


def timed(port: Nowhere, frame: Frame) -> float:
    """Let the frame arrive often; return the seconds that each time took."""
    began = time.perf_counter()
    for _ in range(PACKETS):
        port.sink(frame, 1.0)
    return (time.perf_counter() - began) / PACKETS


def ways_through() -> dict[str, Nowhere]:
    """Return a router and a switch, each by the port that leads in."""
    router, near, far = Router("r", Scheduler(), 1), Nowhere(), Nowhere()
    router.add_interface("eth0", near, *parse_host_address("10.0.0.1/24"), NEAR)
    router.add_interface("eth1", far, *parse_host_address("10.0.1.1/24"), FAR)
    question = arp.pack(arp.REQUEST, B, parse_ip4("10.0.1.2"), parse_ip4("10.0.1.1"))
    far.sink(Frame(ethernet.pack(BROADCAST_MAC, B, ethernet.ARP, question)), 0.0)
    switch, ports = Switch("sw"), [Nowhere() for _ in range(8)]
    for port in ports:
        switch.plug(port)
    ports[3].sink(Frame(ethernet.pack(A, NEAR, ethernet.IPV4, bytes(46))), 0.0)
    return {"router": near, "switch": ports[0]}


def forwarding() -> None:
    """Measure a router and a switch alone."""
    for name, port in ways_through().items():
        for size in (64, 1500):
            each_s = timed(port, packet(size))
            print(f"{name}, {size} bytes: {each_s * 1e6:.2f} us, {1 / each_s:,.0f} packets/s")


async def row(routers: int) -> float:
    """Send datagrams through a row of routers; return microseconds of wall time for each."""
    async with pystack.Network(seed=1) as net:
        a, b = net.host("a"), net.host("b")
        for one, other in pairwise([a, *(net.router(f"r{n}") for n in range(routers)), b]):
            net.link(one, other, delay="1ms")
        await a.ping("b")
        sender, receiver = await a.open_udp_socket(), await b.open_udp_socket(9)
        began = time.perf_counter()
        for number in range(DATAGRAMS):
            sender.send_to_nowait(bytes(1400), ("b", 9))
            if number % 100 == 99:
                await trio.sleep(0.1)
                for _ in range(100):
                    await receiver.receive_from()
        return (time.perf_counter() - began) / DATAGRAMS * 1e6


async def settling() -> float:
    """Return the milliseconds that 100 hosts on 10 switches and 5 routers take to settle."""
    async with pystack.Network(seed=1) as net:
        routers = [net.router(f"r{number}") for number in range(5)]
        switches = [net.switch(f"sw{number}") for number in range(10)]
        for number, switch in enumerate(switches):
            net.link(switch, routers[number % 5])
        for number, router in enumerate(routers):
            net.link(router, routers[(number + 1) % 5])
        for number in range(100):
            net.link(net.host(f"h{number}"), switches[number % 10])
        began = time.perf_counter()
        net.settle()
        return (time.perf_counter() - began) * 1e3


async def building(shape: str, count: int) -> tuple[float, float]:
    """Return the seconds of processor time to build so many hosts, and to settle them."""
    async with pystack.Network(seed=1, subnet="10.0.0.0/8") as net:
        began = time.process_time()
        centre: list[pystack.Host | Switch]
        if shape == "switch":
            centre = [net.switch("sw", table_entries=2 * count)]
        else:
            centre = [net.router("r")]
        if shape == "tree":  # of 1 + 10 + 100 routers, with the hosts at the hundred
            for above, below in ((1, 10), (10, 100)):
                made = [net.router(f"r{below}-{number}") for number in range(below)]
                for number, router in enumerate(made):
                    net.link(router, centre[number % above])
                centre = [*made]
        for number in range(count):
            net.link(net.host(f"h{number}"), centre[number % len(centre)])
        built = time.process_time()
        net.settle()
        return built - began, time.process_time() - built


if __name__ == "__main__":
    forwarding()
    direct = pystack.run(row, 0)
    for count in (1, 4):
        each = (pystack.run(row, count) - direct) / count
        print(f"a hop (router, link and all) in a row of {count}: {each:.1f} us")
    print(f"100 hosts, 10 switches, 5 routers settle: {pystack.run(settling):.0f} ms")
    for name in ("router", "switch", "tree"):
        for hosts in (1000, 10_000):
            build_s, settle_s = pystack.run(building, name, hosts)
            print(f"{name}, {hosts} hosts: built in {build_s:.1f} s, settled in {settle_s:.1f} s")
