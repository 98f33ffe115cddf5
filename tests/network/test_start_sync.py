"""Blocking programs that are started: until they wait, or listen; how they fail and end."""

import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import pystack
from pystack.runtime.lab.program import Program

RUNS = pytest.mark.parametrize("run", [pystack.run, pystack.run_asyncio])


def serve(after_s: float = 0.0, port: int = 80, answer: bytes = b"hello") -> None:
    time.sleep(after_s)
    with socket.create_server(("", port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer)


def ask() -> bytes:
    with socket.create_connection(("shop", 80), timeout=5) as connection:
        return connection.recv(100)


def in_a_shop(
    program: Callable[[pystack.Network, pystack.Host], Awaitable[object]],
    run: Callable[..., Any] = pystack.run,
) -> object:
    async def main() -> object:
        async with pystack.Network(seed=1) as net:
            shop, phone = net.host("shop"), net.host("phone")
            net.link(shop, phone, delay="10ms")
            return await program(net, shop)

    return run(main)


@RUNS
def test_it_is_waited_for_until_it_listens(run: Callable[..., Any]) -> None:
    async def program(net: pystack.Network, shop: pystack.Host) -> tuple[object, ...]:
        started = await shop.start_sync(serve, 3000.0, port=80)
        at = net.now()
        return type(started), started.name, at, await net.hosts["phone"].run_sync(ask)

    assert in_a_shop(program, run) == (Program, "shop: serve", 3000.0, b"hello")


def test_a_thread_of_its_own_may_be_what_listens_and_udp_is_a_port_too() -> None:
    def main() -> None:
        threading.Thread(target=serve, args=(2.0,)).start()

    def hear() -> None:
        time.sleep(1.0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
            listening.bind(("", 53))
            listening.recv(100)

    async def program(net: pystack.Network, shop: pystack.Host) -> tuple[object, ...]:
        await shop.start_sync(main, port=80)
        at = net.now()
        await shop.start_sync(hear, port=53)
        return at, net.now(), await net.hosts["phone"].run_sync(ask)

    assert in_a_shop(program) == (2.0, 3.0, b"hello")


@RUNS
def test_without_a_port_it_has_come_to_where_it_waits_for_the_first_time(
    run: Callable[..., Any],
) -> None:
    seen: list[object] = []

    def main(word: str) -> None:
        worker = threading.Thread(target=lambda: (seen.append("thread"), time.sleep(5.0)))
        worker.start()
        seen.append(word)
        worker.join()
        seen.append("end")

    async def program(net: pystack.Network, shop: pystack.Host) -> tuple[object, ...]:
        await shop.start_sync(main, "main")
        before = (net.now(), sorted(map(str, seen)))
        await shop.run_sync(time.sleep, 6.0)
        return *before, seen[-1]

    seen.clear()
    assert in_a_shop(program, run) == (0.0, ["main", "thread"], "end")


def test_one_that_never_waits_has_started_when_it_has_ended() -> None:
    seen: list[int] = []

    async def program(net: pystack.Network, shop: pystack.Host) -> list[int]:
        await shop.start_sync(seen.append, 1)
        return list(seen)

    assert in_a_shop(program) == [1]


def raised(
    program: Callable[[pystack.Network, pystack.Host], Awaitable[object]],
    run: Callable[..., Any] = pystack.run,
) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - looked at by the caller
        in_a_shop(program, run)
    error = caught.value
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@RUNS
def test_what_fails_before_it_listens_fails_the_start(run: Callable[..., Any]) -> None:
    def main() -> None:
        time.sleep(1.0)
        raise KeyError("no such table")

    async def program(net: pystack.Network, shop: pystack.Host) -> object:
        with pytest.raises(KeyError, match="no such table"):
            await shop.start_sync(main, port=80)
        with pytest.raises(KeyError, match="at once"):
            await shop.start_sync({}.__getitem__, "at once")
        return net.now()

    assert in_a_shop(program, run) == 1.0


@RUNS
def test_what_fails_later_ends_the_network(run: Callable[..., Any]) -> None:
    def main() -> None:
        time.sleep(2.0)
        raise ZeroDivisionError

    async def program(net: pystack.Network, shop: pystack.Host) -> None:
        await shop.start_sync(main)
        await shop.run_sync(time.sleep, 100.0)

    assert isinstance(raised(program, run), ZeroDivisionError)


@RUNS
def test_a_wrong_port_is_named_with_those_that_are_heard(run: Callable[..., Any]) -> None:
    def main() -> None:
        with socket.create_server(("", 8000)):
            while True:
                time.sleep(10.0)

    def ends() -> None:
        time.sleep(1.0)

    async def late(net: pystack.Network, shop: pystack.Host) -> None:
        await shop.start_sync(main, port=80)

    async def over(net: pystack.Network, shop: pystack.Host) -> None:
        await shop.start_sync(ends, port=80)

    assert str(raised(late, run)).endswith(
        "main did not listen on port 80 within 3,600 s; shop listens on TCP port 8000"
    )
    assert str(raised(over, run)).endswith("ends has ended, and did not listen on port 80")


@RUNS
@pytest.mark.parametrize("crash", [False, True])
def test_a_host_without_power_ends_the_start_and_what_was_started(
    run: Callable[..., Any], crash: bool
) -> None:
    ended: list[str] = []

    def main(name: str) -> None:
        try:
            time.sleep(100.0)
        finally:
            ended.append(name)

    async def program(net: pystack.Network, shop: pystack.Host) -> tuple[object, ...]:
        await shop.start_sync(main, "started")
        net.at("2s", lambda: shop.power_off(crash=crash))
        with pytest.raises(trio.BrokenResourceError, match="shop was powered off"):
            await shop.start_sync(main, "starting", port=80)
        at = net.now()
        with pytest.raises(trio.BrokenResourceError, match="shop is powered off"):
            await shop.start_sync(main, "never")
        await net.hosts["phone"].run_sync(time.sleep, 1.0)
        return at, sorted(ended)

    assert in_a_shop(program, run) == (2.0, [] if crash else ["started", "starting"])


def test_who_is_cancelled_while_it_starts_takes_it_along_and_later_does_not() -> None:
    ended: list[tuple[str, float]] = []

    def main(name: str) -> None:
        try:
            time.sleep(100.0)
        finally:
            ended.append((name, time.monotonic()))

    async def program(net: pystack.Network, shop: pystack.Host) -> list[tuple[str, float]]:
        with trio.move_on_after(5.0):
            await shop.start_sync(main, "started")
            await shop.start_sync(main, "starting", port=80)
        before = list(ended)
        await trio.sleep(1.0)
        assert ended == before
        return before

    assert in_a_shop(program) == [("starting", 5.0)]
    assert ended[1:] == [("started", 6.0)]  # with the network


def test_one_that_was_started_can_be_cancelled_and_that_is_no_error() -> None:
    ended: list[float] = []

    def main() -> None:
        try:
            time.sleep(100.0)
        finally:
            ended.append(time.monotonic())

    async def program(net: pystack.Network, shop: pystack.Host) -> None:
        started = await shop.start_sync(main)
        net.at("2s", started.cancel)
        await trio.sleep(5.0)

    in_a_shop(program)
    assert ended == [2.0]


def test_what_is_no_blocking_program_is_named() -> None:
    async def coroutine() -> None: ...

    async def wrong(net: pystack.Network, shop: pystack.Host) -> None:
        await shop.start_sync(coroutine)

    async def called(net: pystack.Network, shop: pystack.Host) -> None:
        await shop.start_sync(ended(), port=80)

    def ended() -> Any:  # noqa: ANN401
        return None

    error = raised(wrong)
    assert isinstance(error, pystack.ConfigError)
    assert "`await host.start_asyncio(main, ...)` is for one of asyncio's" in str(error)
    assert "start_sync(main, 1), not as None" in str(raised(called))


def test_each_run_is_the_same() -> None:
    async def program(net: pystack.Network, shop: pystack.Host) -> object:
        await shop.start_sync(serve, 0.5, port=80)
        await net.hosts["phone"].run_sync(ask)
        return net.now(), dict(shop.counters)

    assert in_a_shop(program) == in_a_shop(program)
