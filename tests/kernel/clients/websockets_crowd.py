"""Opens many WebSockets to /ws/echo, says so, and counts by which codes they end."""

import asyncio
import sys
from collections import Counter

from websockets.asyncio.client import ClientConnection, connect


async def ended(socket: ClientConnection) -> int | None:
    await socket.wait_closed()
    return socket.close_code


async def main() -> None:
    count = int(sys.argv[1])
    sockets = [await connect("ws://10.77.0.2/ws/echo") for _ in range(count)]
    for number, socket in enumerate(sockets):
        await socket.send(str(number))
    for number, socket in enumerate(sockets):
        assert await socket.recv() == str(number)
    print("open", flush=True)
    codes = Counter(await asyncio.gather(*map(ended, sockets)))
    print(", ".join(f"{code}: {number}" for code, number in codes.items()))


if __name__ == "__main__":
    asyncio.run(main())
