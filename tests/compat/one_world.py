"""One world: a service on FastAPI and uvicorn, its store behind it, its clients of three kinds.

`shop` answers on FastAPI, uvicorn and asyncio, and keeps what is ordered in `store`, a small server
of Redis' protocol, by redis-py's asyncio side. `phone` orders with httpx on asyncio; `office` with
requests, and looks into the store with redis-py, in blocking code. The way between all of them
loses 5 % of the packets. As a script it prints the digest of all that was seen: the same in each
process, for each hash seed, on each Python.
"""

import json
import random
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import fastapi
import httpx
import redis
import redis.asyncio
import requests
import trio
import uvicorn

import pystack

SEED = 14
AS_IT_IS = {"http": "h11", "ws": "none", "lifespan": "off"}  # "auto" is by what is installed
# What the libraries say of themselves and of others that are installed is not the program's
PLAIN = {"user-agent": "shopping", "accept-encoding": "identity"}
UNNAMED = {"driver_info": None}
ORDERS = 8
LOSSY = {"delay": "15ms 5ms", "loss": "5%"}


async def store(stream: trio.SocketStream, kept: dict[bytes, bytes]) -> None:
    """Serve one client of Redis' protocol: as much of it as the shop needs."""
    buffer = b""

    async def line() -> bytes:
        nonlocal buffer
        while b"\r\n" not in buffer:
            data = await stream.receive_some()
            if not data:
                raise EOFError
            buffer += data
        first, _, buffer = buffer.partition(b"\r\n")
        return first

    try:
        while True:
            words = []
            for _ in range(int((await line())[1:])):
                await line()  # how long the next one is: none of ours has a line's end in it
                words.append(await line())
            await stream.send_all(answer(words, kept))
    except EOFError:
        await stream.aclose()


def answer(words: list[bytes], kept: dict[bytes, bytes]) -> bytes:
    command, *args = words
    if command.upper() == b"SET":
        kept[args[0]] = args[1]
        return b"+OK\r\n"
    if command.upper() == b"GET":
        value = kept.get(args[0])
        return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)
    if command.upper() == b"INCRBY":
        kept[args[0]] = b"%d" % (int(kept.get(args[0], b"0")) + int(args[1]))
        return b":%b\r\n" % kept[args[0]]
    if command.upper() == b"PING":
        return b"+PONG\r\n"
    if command.upper() in (b"CLIENT", b"SELECT"):
        return b"+OK\r\n"
    return b"-ERR unknown command\r\n"


def shop() -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    db = redis.asyncio.Redis(host="store", protocol=2, socket_timeout=20, **UNNAMED)

    @app.post("/orders")
    async def order(request: fastapi.Request) -> dict[str, object]:
        number = await db.incr("orders")
        wanted = {**(await request.json()), "id": str(uuid.uuid4())}
        wanted["at"] = datetime.now(UTC).isoformat()
        await db.set(f"order:{number}", json.dumps(wanted))
        return {"number": number, **wanted}

    @app.get("/orders/{number}")
    def look(number: int) -> object:  # blocking: FastAPI calls it in a thread
        with redis.Redis(host="store", protocol=2, socket_timeout=20, **UNNAMED) as own:
            found = own.get(f"order:{number}")
        if found is None:
            raise fastapi.HTTPException(404)
        return json.loads(found)

    return app


async def serve() -> None:
    config = uvicorn.Config(shop(), host="0.0.0.0", port=80, log_config=None, **AS_IT_IS)
    await uvicorn.Server(config).serve()


async def by_phone(log: list[str]) -> None:
    """Order with httpx, in asyncio; two in three over one connection."""
    async with httpx.AsyncClient(base_url="http://shop", headers=PLAIN, timeout=30) as client:
        for number in range(ORDERS):
            goods = random.choice(["kettle", "teapot", "cup"])
            reply = await client.post("/orders", json={"goods": goods, "for": "phone"})
            assert reply.status_code == 200
            log.append(f"{time.time():.6f} phone {number} {reply.text}")
            if number % 3 == 2:
                async with httpx.AsyncClient(headers=PLAIN, timeout=30) as another:
                    again = await another.get(f"http://shop/orders/{reply.json()['number']}")
                    log.append(f"{time.monotonic():.6f} phone {again.headers['date']}")


def by_office(log: list[str]) -> None:
    """Order with requests, and look into the store, in blocking code, with some threads."""
    db = redis.Redis(host="store", protocol=2, socket_timeout=20, **UNNAMED)
    with requests.Session() as session:
        session.headers.update(PLAIN)
        for number in range(ORDERS):
            body = {"goods": "desk", "for": "office", "ref": random.randrange(10**6)}
            reply = session.post("http://shop/orders", json=body, timeout=30)
            assert reply.status_code == 200
            kept = db.get(f"order:{reply.json()['number']}")
            assert json.loads(kept)["ref"] == body["ref"]
            log.append(f"{time.time():.6f} office {number} {reply.text}")
            time.sleep(random.uniform(0.01, 0.5))
    with ThreadPoolExecutor(max_workers=3) as pool:
        for number, status in zip((1, 2, 999), pool.map(look_at, (1, 2, 999)), strict=True):
            log.append(f"{time.time():.6f} office {number} {status}")
    db.close()


def look_at(number: int) -> int:
    return requests.get(f"http://shop/orders/{number}", headers=PLAIN, timeout=30).status_code


async def main(log: list[str]) -> str:
    """Run all of it; return the digest of what was seen on the way."""
    async with pystack.Network(seed=SEED, seal=True) as net:
        seen = net.digest()
        switch = net.switch("switch")
        hosts = {name: net.host(name) for name in ("store", "shop", "phone", "office")}
        for host in hosts.values():
            net.link(host, switch, **LOSSY)
        kept: dict[bytes, bytes] = {}
        await hosts["store"].start(partial(trio.serve_tcp, partial(store, kept=kept)), 6379)
        await hosts["shop"].start_asyncio(serve, port=80)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hosts["phone"].run_asyncio, by_phone, log)
            nursery.start_soon(hosts["office"].run_sync, by_office, log)
        assert kept[b"orders"] == b"%d" % (2 * ORDERS)
        return seen.hexdigest()


if __name__ == "__main__":
    said: list[str] = []
    print(pystack.run(main, said, seed=SEED))
    if "-v" in sys.argv:
        print(*said, sep="\n")
