"""httpx as it is, on its Trio backend, between two hosts in virtual time."""

from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from h11_server import Counts, converse, serve
from worlds import DELAY_S, SEED, Certificates, Pair, Status, digest, in_virtual_time, pair

ROUND_TRIP_S = 2 * DELAY_S
BODY = bytes(range(256)) * 400


def test_one_connection_serves_request_after_request_over_a_lossy_link() -> None:
    counts = Counts()

    async def fetch() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            for number in range(20):
                reply = await client.post(f"http://server/{number}", content=BODY)
                assert reply.status_code == 200
                assert reply.content == b"POST /%d %d\n" % (number, len(BODY)) + BODY

    async def main() -> None:
        async with pair() as world:
            await world.server.start(serve, 80, counts)
            await world.client.run(fetch)
            assert world.server.counters["tcp_segments_in"] > 20 * len(BODY) // 1460

    in_virtual_time(main)
    assert (counts.connections, counts.requests) == (1, 20)


def test_requests_at_the_same_time_take_a_connection_each() -> None:
    counts = Counts()
    replies: list[str] = []

    async def fetch() -> None:
        async with httpx.AsyncClient(timeout=60) as client, trio.open_nursery() as nursery:

            async def get(path: str) -> None:
                replies.append((await client.get(f"http://server{path}")).text)

            for number in range(5):
                nursery.start_soon(get, f"/{number}")

    async def main() -> None:
        async with pair() as world:
            await world.server.start(serve, 80, counts)
            await world.client.run(fetch)

    in_virtual_time(main)
    assert sorted(replies) == [f"GET /{number} 0\n" for number in range(5)]
    assert counts.connections == 5


def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    counts = Counts()

    async def fetch() -> None:
        async with httpx.AsyncClient() as client:
            assert (await client.get("http://server/first")).status_code == 200
            await trio.sleep(3)  # the server gives up after two seconds
            assert (await client.get("http://server/second")).status_code == 200

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.server.start(partial(serve, idle_s=2.0), 80, counts)
            await world.client.run(fetch)

    in_virtual_time(main)
    assert counts.connections == 2


def test_a_request_takes_its_round_trips_and_no_time_of_its_own() -> None:
    took_s: list[float] = []

    async def fetch() -> None:
        async with httpx.AsyncClient() as client:
            for _ in range(3):
                began = trio.current_time()
                await client.get("http://server/")
                took_s.append(trio.current_time() - began)

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.server.start(serve, 80, Counts())
            await world.client.run(fetch)

    in_virtual_time(main)
    # ARP, handshake, request; then requests alone.
    assert took_s == pytest.approx([3 * ROUND_TRIP_S, ROUND_TRIP_S, ROUND_TRIP_S])


def test_https_with_certificates_of_trustme(certificates: Certificates) -> None:
    counts = Counts()

    async def serve_tls(*, task_status: Status) -> None:
        await trio.serve_ssl_over_tcp(
            partial(converse, counts=counts),
            443,
            certificates.server,
            https_compatible=True,
            task_status=task_status,
        )

    async def fetch() -> None:
        async with httpx.AsyncClient(verify=certificates.client, timeout=60) as client:
            for _ in range(3):
                reply = await client.post("https://server/secret", content=BODY)
                assert reply.content.endswith(BODY)

    async def main() -> None:
        async with pair() as world:
            await world.server.start(serve_tls)
            await world.client.run(fetch)

    in_virtual_time(main)
    assert (counts.connections, counts.requests) == (1, 3)


def test_a_port_where_nobody_listens_is_a_connect_error() -> None:
    async def fetch() -> None:
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://server:81/")
            with pytest.raises(httpx.ConnectError):
                await client.get("http://nobody/")

    async def main() -> None:
        async with pair() as world:
            await world.client.run(fetch)

    in_virtual_time(main)


def test_a_link_that_is_down_is_a_timeout_after_exactly_the_time() -> None:
    async def fetch(world: Pair) -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(5.0, read=2.5)) as client:
            await client.get("http://server/")
            world.link.down()
            began = trio.current_time()
            with pytest.raises(httpx.ReadTimeout):
                await client.get("http://server/")
            assert trio.current_time() - began == pytest.approx(2.5)
            with pytest.raises((httpx.ConnectTimeout, httpx.ConnectError)):
                await client.get("http://server/")
            world.link.up()
            assert (await client.get("http://server/")).status_code == 200

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.server.start(serve, 80, Counts())
            await world.client.run(fetch, world)

    in_virtual_time(main)


def run_with(seed: int, path: Path) -> str:
    """Run a small scenario and return the digest of all its packets."""

    async def fetch(number: int) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            for _ in range(3):
                await client.post(f"http://server/{number}", content=BODY)

    async def main() -> None:
        async with pair(seed) as world, trio.open_nursery() as nursery:
            world.net.capture(path)
            await world.server.start(serve, 80, Counts())
            for number in range(4):
                nursery.start_soon(world.client.run, fetch, number)

    in_virtual_time(main)
    return digest(path)


def test_one_seed_gives_one_run_to_the_byte_and_another_gives_another(tmp_path: Path) -> None:
    first = run_with(SEED, tmp_path / "first.pcap")
    assert run_with(SEED, tmp_path / "again.pcap") == first
    assert run_with(SEED + 1, tmp_path / "other.pcap") != first
