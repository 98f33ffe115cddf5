"""httpx, unmodified, against the service https over a lossy link in virtual time."""

import ssl
from pathlib import Path

import httpx
import pytest
import trio
from worlds import Pair, in_virtual_time, pair

import pystack

SEEDS = 200
LINK = {"delay": "15ms", "jitter": "5ms", "loss": "5%", "reorder": "10%", "duplicate": "2%"}
PATTERN = bytes(range(251)) * 400  # 100,400 bytes
# What a program has to reckon with on a bad line
CLEAN = (httpx.TimeoutException, httpx.NetworkError, httpx.ProtocolError)


async def trusting(world: Pair, folder: Path) -> ssl.SSLContext:
    """Serve https on the server, and return a context that trusts it."""
    ca = folder / "ca.pem"
    await pystack.serve(world.server, "https", ca=str(ca))
    return ssl.create_default_context(cafile=str(ca))


@pytest.mark.parametrize("http2", [False, True])
def test_requests_of_each_kind(tmp_path: Path, http2: bool) -> None:
    async def talk(world: Pair, context: ssl.SSLContext) -> None:
        version = "HTTP/2" if http2 else "HTTP/1.1"
        async with httpx.AsyncClient(verify=context, http2=http2, timeout=60) as client:
            page = await client.get("https://server/")
            assert page.http_version == version
            told = (await client.get("https://server/connection.json")).json()
            assert told["application"]["protocol"] == version
            assert told["application"]["number_on_connection"] == 2
            assert told["security"] == {
                "protocol": "TLSv1.3",
                "cipher": "TLS_AES_256_GCM_SHA384",
                "alpn": "h2" if http2 else "http/1.1",
                "server_name": "server",
                "resumed": False,
            }
            for words in ("TLSv1.3", "Name asked for", "nobody on the way"):
                assert words in page.text
            part = await client.get("https://server/bytes/1000", headers={"Range": "bytes=5-9"})
            assert (part.status_code, part.content) == (206, PATTERN[5:10])
            head = await client.head("https://server/bytes/1000")
            assert (head.headers["content-length"], head.content) == ("1000", b"")
            sent = await client.post("https://server/upload", content=PATTERN * 10)
            assert sent.json()["bytes"] == len(PATTERN) * 10
            assert (await client.get("https://server/nothing")).status_code == 404
        # By its address, whose certificate it is too
        async with httpx.AsyncClient(verify=context, http2=http2, timeout=60) as client:
            place = world.server.addresses[0]
            assert (await client.get(f"https://{place}/bytes/3")).content == PATTERN[:3]

    async def main() -> None:
        async with pair() as world:
            await world.client.run(talk, world, await trusting(world, tmp_path))
            assert world.server.counters["tls_handshakes"] == 2

    in_virtual_time(main)


def test_hosts_that_name_one_file_have_one_authority(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"

    async def talk() -> None:
        context = ssl.create_default_context(cafile=str(ca))
        async with httpx.AsyncClient(verify=context, timeout=60) as client:
            for place in ("one", "two", "two:8443"):
                assert (await client.get(f"https://{place}/bytes/3")).content == PATTERN[:3]

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            one, two, client = net.host("one"), net.host("two"), net.host("client")
            switch = net.switch("switch")
            for node in (one, two, client):
                net.link(node, switch, delay="1ms")
            for host, names in ((one, ["https"]), (two, ["https", "https:8443"])):
                await pystack.serve(host, *names, ca=str(ca))
            await client.run(talk)

    in_virtual_time(main)


def test_a_hundred_requests_at_once_on_one_connection(tmp_path: Path) -> None:
    async def talk(world: Pair, context: ssl.SSLContext) -> None:
        async with httpx.AsyncClient(verify=context, http2=True, timeout=120) as client:
            await client.get("https://server/bytes/1")

            async def fetch(count: int) -> None:
                reply = await client.get(f"https://server/bytes/{count}")
                assert reply.content == (PATTERN * 2)[:count]

            async with trio.open_nursery() as nursery:
                for number in range(100):
                    nursery.start_soon(fetch, 1000 * number)

    async def main() -> None:
        async with pair() as world:
            await world.client.run(talk, world, await trusting(world, tmp_path))
            assert world.server.counters["tls_handshakes"] == 1

    in_virtual_time(main)


@pytest.mark.parametrize("http2", [False, True])
def test_every_transfer_is_whole_or_a_clean_error_on_a_bad_line(
    tmp_path: Path, http2: bool
) -> None:
    outcomes: list[str] = []

    async def talk(context: ssl.SSLContext) -> None:
        try:
            async with httpx.AsyncClient(verify=context, http2=http2, timeout=30) as client:
                reply = await client.get(f"https://server/bytes/{len(PATTERN)}")
                assert reply.content == PATTERN
                sent = await client.post("https://server/upload", content=PATTERN[:20_000])
                assert sent.json()["bytes"] == 20_000
                outcomes.append("whole")
        except CLEAN as error:
            outcomes.append(type(error).__name__)

    async def main() -> None:
        for seed in range(SEEDS // 2):
            async with pair(seed, seal=False, **LINK) as world:
                await world.client.run(talk, await trusting(world, tmp_path / str(seed)))

    for seed in range(SEEDS // 2):
        (tmp_path / str(seed)).mkdir()
    in_virtual_time(main)
    assert len(outcomes) == SEEDS // 2
    assert outcomes.count("whole") >= 0.98 * len(outcomes)


@pytest.mark.parametrize("http2", [False, True])
def test_a_line_that_is_cut_is_no_end(tmp_path: Path, http2: bool) -> None:
    """What has come by then is not to be taken for the whole."""

    async def read_until_the_cut(world: Pair, client: httpx.AsyncClient) -> None:
        received = 0
        async with client.stream("GET", "https://server/bytes/100000000") as reply:
            async for part in reply.aiter_raw():
                received += len(part)
                if received > 100_000:
                    world.link.down()

    async def talk(world: Pair, context: ssl.SSLContext) -> None:
        async with httpx.AsyncClient(verify=context, http2=http2, timeout=30) as client:
            with pytest.raises(CLEAN):
                await read_until_the_cut(world, client)

    async def main() -> None:
        async with pair(delay="5ms") as world:
            await world.client.run(talk, world, await trusting(world, tmp_path))

    in_virtual_time(main)
