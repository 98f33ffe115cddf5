"""A small run of everything, for comparing: prints the SHA-256 of its capture and of its log."""

import hashlib
import sys
from pathlib import Path

import trio

import pystack


async def serve(host: pystack.Host, log: list[str]) -> None:
    (listener,) = await host.open_tcp_listeners(80)
    async with trio.open_nursery() as nursery:
        while True:
            nursery.start_soon(answer, await listener.accept(), log)


async def answer(stream: pystack.TcpStream, log: list[str]) -> None:
    async with stream:
        request = await stream.receive_some()
        log.append(f"{trio.current_time()} request {request!r} from {stream.remote_address}")
        await stream.send_all(request * 2000)


async def ask(host: pystack.Host, number: int, log: list[str]) -> None:
    stream = await host.open_tcp_stream("server", 80)
    async with stream:
        await stream.send_all(b"%d" % number)
        size = 0
        while data := await stream.receive_some():
            size += len(data)
    log.append(f"{trio.current_time()} client {number} on {host.name} got {size}")


async def main(seed: int, path: Path, log: list[str]) -> None:
    async with pystack.Network(seed=seed) as net:
        names = {f"client{number}" for number in range(5)}  # a set: its order is the process's
        hosts = [net.host("server"), *(net.host(name) for name in sorted(names))]
        switch = net.switch("switch")
        for host in hosts:
            net.link(host, switch, delay="1500us")
        net.capture(path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, hosts[0], log)
            with trio.move_on_after(20):
                async with trio.open_nursery() as clients:
                    for number in range(25):
                        clients.start_soon(ask, hosts[1 + number % 5], number, log)
                    clients.start_soon(hosts[1].ping, "client3")
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    lines: list[str] = []
    capture = Path(sys.argv[2])
    pystack.run(main, int(sys.argv[1]), capture, lines, seed=int(sys.argv[1]))
    assert sum("got" in line for line in lines) == 25, lines
    print(hashlib.sha256(capture.read_bytes()).hexdigest())
    print(hashlib.sha256("\n".join(lines).encode()).hexdigest())
