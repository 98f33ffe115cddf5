"""Paths that take less than their ends: found out by ICMP, by what others found, or by trying."""

import pytest
import trio

import pystack
from pystack.tcp.config import TcpConfig
from pystack.topology.addressing import IpVersions

PORT = 9
SIZE = 300_000


async def upload(client: pystack.Host, server: pystack.Host) -> tuple[float, int]:
    """Send SIZE bytes; return how long it took, and the size of the segments at the end."""
    (listener,) = await server.open_tcp_listeners(PORT)
    began_at = trio.current_time()
    stream = await client.open_tcp_stream(server.name, PORT)
    other = await listener.accept()
    received = 0

    async def receive() -> None:
        nonlocal received
        async for data in other:
            received += len(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await stream.send_all(bytes(SIZE))
        await stream.send_eof()
    assert received == SIZE
    mss = stream.info().snd_mss_bytes
    for end in (stream, other):
        await end.aclose()
    await listener.aclose()
    return trio.current_time() - began_at, mss


@pytest.mark.parametrize(("ip", "mtu_bytes", "headers_bytes"), [("4", 1000, 40), ("6", 1300, 60)])
def test_a_second_connection_begins_with_what_the_first_found(
    ip: IpVersions, mtu_bytes: int, headers_bytes: int
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip=ip) as net:
            client, server = net.host("client"), net.host("server")
            router, other = net.router("r"), net.router("s")
            net.link(client, router, delay="5ms")
            net.link(router, other, delay="5ms", mtu_bytes=mtu_bytes)
            net.link(other, server, delay="5ms")
            lost = []
            for _ in range(2):
                before = router.counters["forward_needs_fragmentation"]
                _, mss = await upload(client, server)
                assert mss == mtu_bytes - headers_bytes - 12
                lost.append(router.counters["forward_needs_fragmentation"] - before)
            assert lost[0] > 0
            assert lost[1] == 0
            assert len(client.tcp.path_mtus) == 1

    pystack.run(main)


@pytest.mark.rfc("1191", "3")
@pytest.mark.parametrize("loss", ["0%", "5%"])
@pytest.mark.parametrize(
    ("mtu_bytes", "text"), [(563, 511), (552, 500), (500, 500), (296, 500), (128, 500)]
)
def test_paths_of_few_bytes_get_through_cut_by_the_routers_where_need_be(
    mtu_bytes: int, text: int, loss: str
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            router, other = net.router("r"), net.router("s")
            net.link(client, router, delay="5ms", loss=loss)
            net.link(router, other, delay="5ms", mtu_bytes=mtu_bytes)
            net.link(other, server, delay="5ms")
            took_s, mss = await upload(client, server)
            assert mss == text
            assert took_s < 120
            # Packets of 552 bytes go in pieces where the path takes less.
            assert (
                other.counters["ip_fragments_out"] + router.counters["ip_fragments_out"] > 0
            ) == (mtu_bytes < 552)

    pystack.run(main)


@pytest.mark.parametrize(
    ("ip", "largest"),
    [("4", 600), ("4", 1100), ("4", 1300), ("4", 1492), ("6", 1280), ("6", 1300), ("6", 1492)],
)
def test_a_link_that_swallows_large_packets_is_got_over(ip: IpVersions, largest: int) -> None:
    headers_bytes = 40 if ip == "4" else 60

    async def main() -> None:
        async with pystack.Network(seed=1, ip=ip) as net:
            client, server = net.host("client"), net.host("server")
            link = net.link(client, server, delay="10ms", mtu=str(largest))
            client.tcp.config = TcpConfig(mtu_probing=1)
            took_s, mss = await upload(client, server)
            assert mss <= largest - headers_bytes - 12
            assert mss > 0.8 * (largest - headers_bytes - 12)
            assert took_s < 20
            assert link.counters["link_mtu"] > 0

    pystack.run(main)
