"""Plug-ins in a network: by name, by class, by what makes one, or the thing itself."""

from functools import partial

import pytest
import trio

import pystack
from pystack.apps.service import Service
from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.link.impair.base import Departures
from pystack.link.port import LoopbackPort
from pystack.link.qdisc.fifo import Fifo
from pystack.observe.observer import Event
from pystack.runtime.ports import PortContext
from pystack.tcp.config import TcpConfig, TcpLimits
from pystack.tcp.congestion.fixed import Fixed
from pystack.tcp.recovery.newreno import NewRenoRecovery
from pystack.topology.file import parse
from pystack.wire.frame import Frame


class Twelve(Fixed):
    """A control of one's own."""

    name = "twelve"

    def __init__(self, smss_bytes: int, *, segments: str | int = 12) -> None:
        super().__init__(smss_bytes, segments)


class Mine(NewRenoRecovery):
    """A recovery of one's own."""

    name = "mine"


class Short(Fifo):
    """A queue of one's own."""

    def __init__(self, _rng: Random, *, limit: str | int = 3) -> None:
        super().__init__(limit_packets=int(limit))


class Late:
    """An impairment of one's own."""

    def __init__(self, _rng: Random, *, by: str | float = 0.5) -> None:
        self.by_s = float(by)

    def apply(self, frame: Frame, now: float) -> Departures:
        return ((now + self.by_s, frame),)


class Counting:
    """An observer of one's own."""

    def __init__(self, scene: object = None) -> None:
        self.count = 0
        self.is_made = scene is not None

    def on_event(self, event: Event) -> None:
        self.count += 1


class Greeting(Service):
    """A service of one's own."""

    name = "greeting"
    tcp_port = 99

    def __init__(self, options: object = None) -> None:
        self.options = options

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        await stream.send_all(b"hello")


@pytest.mark.parametrize(
    ("asked", "segments"),
    [
        (Twelve, 12),
        (partial(Twelve, segments=5), 5),
        (lambda mss: Twelve(mss, segments=6), 6),
        ({"name": Twelve, "segments": 7}, 7),
        ({"name": "fixed", "segments": 8}, 8),
        ("fixed segments 9", 9),
        ("fixed:10", 10),
    ],
)
def test_a_control(asked: object, segments: int) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client = net.host("client", congestion=asked)
            server = net.host("server", tcp=TcpConfig(congestion=asked, recovery=Mine))
            other = net.router("other", tcp=TcpConfig(congestion=asked, sack=False))
            net.link(client, server)
            net.link(client, other)
            (listener,) = await server.open_tcp_listeners(80)
            stream = await client.open_tcp_stream("server", 80)
            accepted = await listener.accept()
            for end in (stream, accepted):
                info = end.info()
                assert info.cwnd_bytes == segments * info.snd_mss_bytes
            assert accepted.info().recovery == "mine"
            again = await client.open_tcp_stream("server", 80, congestion="newreno")
            assert again.info().congestion == "newreno"
            again = await server.open_tcp_stream("client", 80, congestion=asked)

    with pytest.raises(ConnectionRefusedError):
        pystack.run(main)


@pytest.mark.parametrize("qdisc", [Short, partial(Short, limit=3), {"name": Short, "limit": 3}])
def test_a_queue(qdisc: object) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            link = net.link(a, b, rate="1mbit", qdisc=qdisc)
            await a.ping("b")
            socket = await a.open_udp_socket()
            for _ in range(10):
                await socket.send_to(bytes(1000), ("b", 9))
            assert link.counters["pfifo_full"] == 6  # one is being sent, three wait

    pystack.run(main)


@pytest.mark.parametrize(
    "asked", [Late, [partial(Late, by=0.5)], [{"name": Late, "by": 0.5}], lambda rng: Late(rng)]
)
def test_an_impairment(asked: object) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, a_to_b={"impairments": asked})
            await a.ping("b")
            assert await a.ping("b") == 0.5

    pystack.run(main)


def test_what_each_direction_needs_its_own_of_is_not_given_itself() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            with pytest.raises(ConfigError, match="each direction of a link needs its own"):
                net.link(a, b, rate="1mbit", qdisc=Short(Random(1)))
            with pytest.raises(ConfigError, match="each direction of a link needs its own"):
                net.link(a, b, impairments=[Late(Random(1))])

    pystack.run(main)


def test_an_observer_may_be_a_class_or_itself() -> None:
    async def main() -> None:
        made: list[Counting] = []

        def make(scene: object) -> Counting:
            made.append(Counting(scene))
            return made[-1]

        async with pystack.Network(seed=1) as net:
            own = Counting()
            net.observe(own)
            net.observe(make)
            net.observe(Counting)
            net.link(net.host("a"), net.host("b"))
            await net.hosts["a"].ping("b")
            assert made[0].is_made
            assert not own.is_made
            assert own.count == made[0].count > 0

    pystack.run(main)


def test_a_port_may_be_a_class_or_itself() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            own = LoopbackPort(net.driver.scheduler)
            net.attach(a, own)
            net.attach(b, lambda socket: LoopbackPort(socket.scheduler))
            names: list[str] = []

            def make(socket: PortContext) -> LoopbackPort:
                names.append(socket.name)
                return LoopbackPort(socket.scheduler)

            net.link(net.port("far", make), net.host("c"))
            await trio.sleep(1)
            assert names == ["far"]

    pystack.run(main)


@pytest.mark.parametrize(
    ("asked", "port"),
    [
        (Greeting, 99),
        (Greeting(), 99),
        (lambda options: Greeting(options), 99),
        ({"name": Greeting, "port": 79}, 79),
    ],
)
def test_a_service(asked: object, port: int) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server)
            served = await pystack.serve(server, asked, "echo")
            assert isinstance(served[0], Greeting)
            stream = await client.open_tcp_stream("server", port)
            assert await stream.receive_some() == b"hello"

    pystack.run(main)


def test_a_host_has_limits_beside_what_its_connections_are_given() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            limits = TcpLimits(syn_cookies=2, max_orphans=5)
            host = net.host("a", tcp=TcpConfig(ttl=9), tcp_limits=limits, congestion="bbr")
            assert (host.tcp.config.ttl, host.tcp.config.congestion) == (9, "bbr")
            assert host.tcp.limits is limits
            net.power_off(host)
            net.power_on(host)
            assert (host.tcp.config.ttl, host.tcp.limits) == (9, limits)
            for wrong in ({"tcp": {"ttl": 9}}, {"tcp_limits": TcpConfig()}, {"tcp": limits}):
                with pytest.raises(ConfigError, match=r"is a pystack\.Tcp"):
                    net.host("b", **wrong)  # type: ignore[arg-type]
            assert list(net.hosts) == ["a"]

    pystack.run(main)


def test_a_lab_says_a_control_by_name_or_in_a_table() -> None:
    spec = parse('[hosts.a]\ncongestion = {name = "fixed", segments = 9}\n')
    assert spec.nodes["a"].words["congestion"] == {"name": "fixed", "segments": 9}
