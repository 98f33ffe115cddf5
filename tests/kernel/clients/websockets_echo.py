"""Says a hundred things to an echo, `URL CAFILE-or-minus`; prints how many came back."""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect


async def main() -> None:
    url, ca = sys.argv[1:]
    context = None if ca == "-" else ssl.create_default_context(cafile=ca)
    count = 0
    async with connect(url, ssl=context) as socket:
        for number in range(100):
            await socket.send(str(number) * 100)
            count += await socket.recv() == str(number) * 100
    print(count)


if __name__ == "__main__":
    asyncio.run(main())
