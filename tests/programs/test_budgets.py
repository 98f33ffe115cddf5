"""Budgets and pauses of programs are counted by the world's clock: tenacity, of each kind."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
import tenacity
import trio

import pystack
from pystack.runtime.host import Host

Program = Callable[[Host, list[float]], Awaitable[None]]
WORDS = {"stop": tenacity.stop_after_delay(3), "wait": tenacity.wait_fixed(0.5)}


async def blocking(host: Host, instants: list[float]) -> None:
    def attempt() -> None:
        instants.append(time.monotonic())
        raise ConnectionError

    await host.run_sync(tenacity.Retrying(**WORDS), attempt)


async def on_asyncio(host: Host, instants: list[float]) -> None:
    async def attempt() -> None:
        instants.append(asyncio.get_running_loop().time())
        raise ConnectionError

    await host.run_asyncio(tenacity.AsyncRetrying(**WORDS), attempt)


async def on_trio(host: Host, instants: list[float]) -> None:
    async def attempt() -> None:
        instants.append(trio.current_time())
        raise ConnectionError

    await host.run(tenacity.AsyncRetrying(**WORDS, sleep=trio.sleep), attempt)


@pytest.mark.parametrize("program", [blocking, on_asyncio, on_trio])
def test_a_budget_of_three_seconds_ends_at_three_seconds(program: Program) -> None:
    instants: list[float] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("host")
            with pytest.raises(tenacity.RetryError):
                await program(host, instants)
            assert net.now() == 3.0

    pystack.run(main)
    assert instants == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]


def test_pauses_at_random_are_the_seeds() -> None:
    async def main(seed: int) -> list[float]:
        instants: list[float] = []

        def attempt() -> None:
            instants.append(time.monotonic())
            raise ConnectionError

        retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_random_exponential()
        )
        async with pystack.Network(seed=seed) as net:
            with pytest.raises(tenacity.RetryError):
                await net.host("host").run_sync(retry, attempt)
        return instants

    first = pystack.run(main, 1)
    assert pystack.run(main, 1) == first
    assert pystack.run(main, 2) != first
