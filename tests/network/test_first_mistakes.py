"""What those do who begin: a wrong call, a wrong port, a program that was left on no host."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import pystack

Scene = Callable[[pystack.Host], Awaitable[object]]


def raised_by(scene: Scene, *, run: Callable[..., Any] = pystack.run) -> BaseException:
    """Return what a scene with a host raises in a sealed network."""

    async def main() -> None:
        async with pystack.Network(seed=1, seal=True) as net:
            host = net.host("shop")
            net.link(host, net.host("phone"))
            await scene(host)

    with pytest.raises(Exception) as caught:  # noqa: PT011
        run(main)
    return caught.value


async def sleeps() -> None:
    await trio.sleep(1)


# What is started, and how


@pytest.mark.parametrize("call", ["run", "start", "start_soon"])
def test_a_program_that_was_called_is_wanted_as_a_function(call: str) -> None:
    async def scene(host: pystack.Host) -> None:
        waits: Awaitable[object] | None = getattr(host, call)(sleeps())
        if waits is not None:
            await waits

    error = raised_by(scene)
    assert isinstance(error, pystack.ConfigError)
    assert "is given as its function and arguments" in str(error)


def test_so_is_that_of_a_run() -> None:
    with pytest.raises(pystack.ConfigError, match=r"run\(main, 1\), not as <coroutine"):
        pystack.run(sleeps())  # type: ignore[arg-type]


def test_a_coroutine_function_in_run_sync_is_told_where_it_belongs() -> None:
    error = raised_by(lambda host: host.run_sync(sleeps))
    assert isinstance(error, pystack.ConfigError)
    assert "sleeps is a coroutine function: `await host.run_asyncio" in str(error)


def test_a_program_that_does_not_report_is_told_how_to_be_started() -> None:
    error = raised_by(lambda host: host.start(sleeps))
    assert isinstance(error, TypeError)
    assert "`host.start_soon` starts any" in error.__notes__[0]


def test_a_blocking_server_is_heard_by_who_comes_after_it_without_a_pause() -> None:
    def serve() -> None:
        with socket.create_server(("", 80)) as listener:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"hello")

    def ask() -> bytes:
        with socket.create_connection(("shop", 80), timeout=5) as connection:
            return connection.recv(100)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            shop, phone = net.host("shop"), net.host("phone")
            net.link(shop, phone)
            shop.start_soon(shop.run_sync, serve)
            assert await phone.run_sync(ask) == b"hello"

    pystack.run(main)


# A server on another port than it is said to have

RUNS = pytest.mark.parametrize("run", [pystack.run, pystack.run_asyncio])


async def serves_8000() -> None:
    await asyncio.start_server(lambda *_: None, port=8000)
    for _ in range(1000):
        await asyncio.sleep(10)  # as uvicorn, which looks at its clock again and again


@RUNS
def test_who_waits_for_the_wrong_port_is_told_of_the_right_one(run: Callable[..., Any]) -> None:
    error = raised_by(lambda host: host.start_asyncio(serves_8000, port=80), run=run)
    assert isinstance(error, RuntimeError)
    assert str(error) == (
        "shop: serves_8000 did not listen on port 80 within 3,600 s; shop listens on TCP port 8000"
    )


async def only_waits() -> None:
    server = await asyncio.start_server(lambda *_: None, port=8000)
    await server.serve_forever()


def only_blocks() -> None:
    with socket.create_server(("", 8000)) as listener:
        listener.accept()


@RUNS
def test_so_is_who_waits_for_a_server_that_only_waits_itself(run: Callable[..., Any]) -> None:
    for start in (
        lambda host: host.start_asyncio(only_waits, port=80),
        lambda host: host.start_sync(only_blocks, port=80),
    ):
        error = raised_by(start, run=run)
        assert isinstance(error, RuntimeError)
        assert str(error).endswith("within 3,600 s; shop listens on TCP port 8000")


@RUNS
def test_a_server_whose_start_waits_for_others_is_waited_for(run: Callable[..., Any]) -> None:
    async def late() -> None:
        await asyncio.sleep(3000)
        await serves_8000()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await net.host("shop").start_asyncio(late, port=8000)
            assert net.now() == 3000

    run(main)


@RUNS
def test_a_server_that_ends_without_it_is_named(run: Callable[..., Any]) -> None:
    async def ends() -> None:
        await asyncio.sleep(1)

    error = raised_by(lambda host: host.start_asyncio(ends, port=80), run=run)
    assert str(error).endswith("ends has ended, and did not listen on port 80")


# Where there is no network, or no host


def test_under_asyncio_s_own_loop_a_network_says_what_runs_it() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1):
            raise AssertionError

    with pytest.raises(pystack.ConfigError, match=r"pystack\.run_asyncio\(main\), or another"):
        asyncio.run(main())


def test_a_network_that_is_built_too_early_says_when() -> None:
    with pytest.raises(pystack.ConfigError, match="fixture `net` opens when its test begins"):
        pystack.Network().host("shop")


@RUNS
def test_a_look_up_on_no_host_says_how_programs_get_on_one(run: Callable[..., Any]) -> None:
    async def look_up(_host: pystack.Host) -> None:
        if run is pystack.run:
            await trio.socket.getaddrinfo("shop", 80)
        else:
            await asyncio.get_running_loop().getaddrinfo("shop", 80)

    error = raised_by(look_up, run=run)
    assert isinstance(error, pystack.SealedError)
    assert "a real look-up of 'shop' in virtual time, on no host, would" in str(error)
    assert "`await host.run_asyncio(main, ...)` for asyncio" in str(error)


@pytest.mark.parametrize(
    ("word", "meant"), [("latency", "delay"), ("bandwidth", "rate"), ("packet_loss", "loss")]
)
def test_words_of_others_lead_to_netem_s(word: str, meant: str) -> None:
    words: Any = {word: "1ms"}

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.link(net.host("a"), net.host("b"), **words)

    with pytest.raises(pystack.ConfigError) as caught:
        pystack.run(main)
    assert f"does not know the word {word!r}; did you mean {meant!r}?" in str(caught.value)
