"""Python's `websockets`, asyncio and blocking, against a server's /ws/: `URL CAFILE-or-minus`.

Prints one JSON object of what it saw.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator

import websockets
from websockets.asyncio.client import connect as open_asyncio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as open_blocking

BIG = "κόσμε " * 100_000


def context(ca: str) -> ssl.SSLContext | None:
    return None if ca == "-" else ssl.create_default_context(cafile=ca)


async def with_asyncio(url: str, ca: str) -> dict[str, object]:
    saw: dict[str, object] = {}
    async with open_asyncio(f"{url}/echo", ssl=context(ca), max_size=None) as socket:
        saw["extensions"] = socket.response.headers["Sec-WebSocket-Extensions"]
        await socket.send("Hello")
        saw["text"] = await socket.recv()
        await socket.send(bytes(range(256)))
        saw["bytes"] = list(await socket.recv()) == list(range(256))
        await socket.send(BIG)
        saw["big"] = await socket.recv() == BIG

        async def fragments() -> AsyncIterator[str]:
            for part in ("one ", "two ", "three"):
                yield part

        await socket.send(fragments())
        saw["fragments"] = await socket.recv()
        saw["pong"] = await (await socket.ping()) >= 0
        await asyncio.gather(*(socket.send(str(number)) for number in range(200)))
        saw["many"] = [await socket.recv() for _ in range(200)] == [str(n) for n in range(200)]
    saw["close"] = (socket.close_code, socket.close_reason)
    async with open_asyncio(f"{url}/time?every=0.05", ssl=context(ca)) as socket:
        times = [await socket.recv() for _ in range(4)]
        saw["times"] = len(times) == 4 and times == sorted(times) and times[0].endswith("Z")
        await socket.send("and?")
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as error:
            saw["time takes nothing"] = error.rcvd.code
    try:
        async with open_asyncio(f"{url}/time?every=0", ssl=context(ca)):
            pass
    except InvalidStatus as error:
        saw["refused"] = error.response.status_code
    return saw


def blocking(url: str, ca: str) -> dict[str, object]:
    with open_blocking(f"{url}/echo", ssl=context(ca), compression=None, max_size=None) as socket:
        socket.send(BIG)
        big = socket.recv() == BIG
        socket.send(b"x" * (17 << 20))
        code = 0
        try:
            while True:
                socket.recv()
        except ConnectionClosed as error:
            code = error.rcvd.code
    return {"big": big, "too big": code}


def main() -> None:
    url, ca = sys.argv[1:]
    saw = {"asyncio": asyncio.run(with_asyncio(url, ca)), "blocking": blocking(url, ca)}
    print(json.dumps({"version": websockets.__version__, **saw}))


if __name__ == "__main__":
    main()
