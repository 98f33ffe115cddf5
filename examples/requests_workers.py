"""Eight workers with requests, a pool of connections, and a server that loses power for a second.

Run it with `python examples/requests_workers.py`. It is blocking code as it is: a thread pool, a
session with urllib3's retries. Threads take turns in virtual time, so the same run comes again.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import requests
import trio
from requests.adapters import HTTPAdapter
from urllib3 import Retry

import pystack

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def serve(stream: trio.SocketStream) -> None:
    """Answer each request after 100 ms of work."""
    while await stream.receive_some():
        await trio.sleep(0.1)
        await stream.send_all(ANSWER)


def work(retries: Retry) -> None:
    """Fetch forty things, eight at a time, and say how it went."""
    failed = 0
    with requests.Session() as session, ThreadPoolExecutor(8) as pool:
        session.mount("http://", HTTPAdapter(pool_maxsize=8, max_retries=retries))

        def fetch(number: int) -> None:
            nonlocal failed
            try:
                session.get(f"http://server/{number}", timeout=1)
            except requests.RequestException:
                failed += 1

        list(pool.map(fetch, range(40)))
    print(f"{retries.total} retries: {40 - failed} of 40 after {time.monotonic():.2f} s")


async def main(retries: Retry) -> None:
    """Let the server lose its power while the workers ask."""
    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="10ms")
        await server.start(trio.serve_tcp, serve, 80)
        net.at(0.3, server.power_off)
        net.at(1.3, server.power_on)
        net.at(1.3, lambda: server.start_soon(trio.serve_tcp, serve, 80))
        await client.run_sync(work, retries)


if __name__ == "__main__":
    for total in (0, 3):
        pystack.run(main, Retry(total, backoff_factor=0.2))
