"""Clients of a control socket, in a thread beside what is controlled."""

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

import pystack
from pystack.runtime.control.control import Control
from pystack.runtime.control.server import offered

Work = Callable[[Path], None]


def beside(
    work: Work, path: Path | None = None, *, may_change: bool = True, others: int = 0
) -> Mapping[str, int]:
    """Run something in a thread beside a network in real time that is offered on a socket.

    Returns what the socket has counted.
    """
    counted: dict[str, int] = {}

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.link(net.host("a"), net.host("b"), delay="1ms")
            for number in range(others):
                net.host(f"other{number}")
            control = Control(net, may_change=may_change)
            with offered(control, "test", path) as at, trio.fail_after(300):
                await trio.to_thread.run_sync(work, at)
            counted.update(control.counters)

    trio.run(main)
    return counted


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.settimeout(60)
        yield client


def flood(client: socket.socket) -> None:
    for _ in range(1 << 14):  # 1 GB, if somebody took it
        client.sendall(bytes(1 << 16))


def lines_of(client: socket.socket) -> Iterator[Any]:
    with client.makefile("rb") as file:
        for line in file:
            yield json.loads(line)
