"""Data arrives whole and in order, whatever the wire does to the segments: hundreds of seeds."""

from functools import partial
from random import Random

import pytest
import trio
from wires import Pair, Trouble, connected, in_network, pair, read_to_end

import pystack
from pystack.runtime.streams import TcpStream
from pystack.tcp.config import TcpConfig
from pystack.tcp.info import TcpInfo
from pystack.tcp.states import TcpState
from pystack.topology.addressing import IpVersions

SEEDS_IN_A_CHUNK = 24
# Where three of ten frames are lost, ARP's too, fifteen tries in a row can fail: no giving up here.
PATIENT = TcpConfig(syn_retries=60, syn_ack_retries=60, retries=60)
TINY = TcpConfig(
    syn_retries=20, syn_ack_retries=20, send_buffer_bytes=3000, receive_buffer_bytes=2000
)

WIRES = {
    "perfect": Trouble(),
    "late": Trouble(late=0.3),
    "twice": Trouble(duplicate=0.2, late=0.2),
    "loss-1": Trouble(loss=0.01),
    "loss-5": Trouble(loss=0.05, late=0.1),
    "loss-15": Trouble(loss=0.15, duplicate=0.05, late=0.1),
    "loss-30": Trouble(loss=0.30, late=0.1),
}


async def send(stream: TcpStream, data: bytes, rng: Random) -> None:
    at = 0
    while at < len(data):
        size = rng.choice((1, 100, 1460, 5000, 20_000))
        await stream.send_all(data[at : at + size])
        at += size
    await stream.send_eof()


async def receive(stream: TcpStream, data: bytes, *, slow: bool) -> None:
    got = b""
    while part := await stream.receive_some(700 if slow else None):
        got += part
        if slow:
            await trio.sleep(0.02)
    assert got == data


async def both_ways(wire: Pair, rng: Random, *, size: int, slow: bool) -> None:
    client, server = await connected(wire)
    up, down = rng.randbytes(size), rng.randbytes(size)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, client, up, rng)
        nursery.start_soon(send, server, down, rng)
        nursery.start_soon(lambda: receive(client, down, slow=False))
        nursery.start_soon(lambda: receive(server, up, slow=slow))
    await client.aclose()
    await server.aclose()


def connections(wire: Pair) -> list[TcpInfo]:
    return [*wire.client.connections(), *wire.server.connections()]


def one_seed(
    seed: int,
    trouble: Trouble,
    config: TcpConfig,
    *,
    size: int,
    mtu_bytes: int,
    slow: bool,
    ip: IpVersions = "4",
) -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, trouble, seed=seed, delay_s=0.01, mtu_bytes=mtu_bytes)
        wire.configure(config)
        await both_ways(wire, Random(seed), size=size, slow=slow)
        wire.to_server.trouble = wire.to_client.trouble = Trouble()
        for _ in range(120):  # whatever the last FIN's timer has backed off to
            await trio.sleep(1)
            if all(info.state is TcpState.TIME_WAIT for info in connections(wire)):
                break
        else:
            pytest.fail(f"still open: {connections(wire)}")
        await trio.sleep(62)  # 2 MSL, and what is left of the neighbours' timers
        assert len(wire.client.tcp) == len(wire.server.tcp) == 0
        assert len(net.driver.scheduler) == 0

    try:
        in_network(program, seed=seed, ip=ip)
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


@pytest.mark.parametrize("chunk", range(3))
@pytest.mark.parametrize(("ip", "mtu_bytes"), [("4", 576), ("4", 1500), ("6", 1280)])
@pytest.mark.parametrize("wire", WIRES)
def test_data_arrives_whole_in_both_directions_at_once(
    wire: str, ip: IpVersions, mtu_bytes: int, chunk: int
) -> None:
    for seed in range(SEEDS_IN_A_CHUNK * chunk, SEEDS_IN_A_CHUNK * (chunk + 1)):
        one_seed(seed, WIRES[wire], PATIENT, size=25_000, mtu_bytes=mtu_bytes, slow=False, ip=ip)


@pytest.mark.parametrize("ip", ["4", "6"])
@pytest.mark.parametrize("wire", ["perfect", "twice", "loss-5", "loss-15"])
def test_with_tiny_buffers_and_a_slow_reader_too(wire: str, ip: IpVersions) -> None:
    for seed in range(SEEDS_IN_A_CHUNK):
        one_seed(seed, WIRES[wire], TINY, size=12_000, mtu_bytes=1500, slow=True, ip=ip)


@pytest.mark.parametrize("congestion", ["cubic", "newreno", "bbr", "dctcp", "fixed", "fixed:1"])
def test_with_every_congestion_control(congestion: str) -> None:
    config = TcpConfig(congestion=congestion, syn_retries=20, syn_ack_retries=20)
    for seed in range(4):
        one_seed(seed, WIRES["loss-5"], config, size=60_000, mtu_bytes=1500, slow=False)


def test_a_peer_that_reads_nothing_for_an_hour_gets_it_all_after_that() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.01)
        wire.configure(TcpConfig(send_buffer_bytes=5000, receive_buffer_bytes=4000))
        client, server = await connected(wire)
        data = Random(1).randbytes(50_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, client, data, Random(2))
            await trio.sleep(3600)
            assert client.info().snd_wnd_bytes == 0
            assert await read_to_end(server) == data

    in_network(program)


@pytest.mark.parametrize(
    ("words", "most"),
    [
        ({"delay": "20ms", "reorder": "1%", "rate": "50mbit"}, 20),  # of 690 segments
        ({"delay": "20ms", "jitter": "15ms", "reorder_by_jitter": True, "rate": "50mbit"}, 30),
    ],
)
def test_where_packets_overtake_each_other_little_is_sent_again(
    words: dict[str, str], most: int
) -> None:
    async def main() -> int:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, **words)  # type: ignore[arg-type]
            (listener,) = await server.open_tcp_listeners(9)
            stream = await client.open_tcp_stream("server", 9)
            other = await listener.accept()
            data = bytes(1_000_000)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, stream, data, Random(1))
                nursery.start_soon(partial(receive, other, data, slow=False))
            return stream.info().retransmits

    assert pystack.run(main) <= most
