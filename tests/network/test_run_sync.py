"""Blocking programs on hosts: threads of a world, of which one runs at a time."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import pytest
import trio
from threads_left import no_thread_is_left

import pystack
from pystack.runtime.blocking.turns import ProgramEnded, WorldThread, current_thread
from pystack.runtime.current import current_host


def here() -> WorldThread:
    thread = current_thread()
    assert thread is not None
    return thread


def sleep(seconds: float) -> None:
    driver = here().turns.driver
    here().park_until(deadline=driver.now() + seconds)


def in_a_world(program: Callable[[pystack.Network, pystack.Host], object]) -> object:
    async def main() -> object:
        async with pystack.Network(seed=1) as net:
            result = program(net, net.host("a"))
            return await result if hasattr(result, "__await__") else result

    return pystack.run(main)


def test_a_blocking_program_is_on_its_host_and_waits_in_virtual_time() -> None:
    def program(word: str) -> tuple[object, ...]:
        host = current_host.get()
        assert host is not None
        before = host.now()
        sleep(3600.0)
        return word, host.name, host.now() - before, here().wait(trio.sleep, 1.0), host.now()

    assert in_a_world(lambda net, a: a.run_sync(program, "x")) == ("x", "a", 3600.0, None, 3601.0)


def test_errors_come_out_as_they_are() -> None:
    def program() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        in_a_world(lambda net, a: a.run_sync(program))


def test_what_waits_for_nothing_runs_as_in_trios_thread_and_takes_no_turn() -> None:
    def program() -> tuple[object, ...]:
        before = here().turns.count
        seen = here().call(trio.current_time), here().call(current_thread)
        with pytest.raises(RuntimeError):
            trio.lowlevel.current_task()
        return *seen, here().turns.count - before

    assert in_a_world(lambda net, a: a.run_sync(program)) == (0.0, None, 0)


def test_two_programs_take_turns_in_the_order_of_their_deadlines_then_of_their_calls() -> None:
    async def main(seed: int) -> list[str]:
        order: list[str] = []

        def program(name: str, seconds: float) -> None:
            for _ in range(3):
                sleep(seconds)
                order.append(name)

        async with pystack.Network(seed=seed) as net, trio.open_nursery() as nursery:
            for name, seconds in (("a", 2.0), ("b", 1.0), ("c", 2.0)):
                nursery.start_soon(net.host(name).run_sync, program, name, seconds)
                await trio.testing.wait_all_tasks_blocked()
        return order

    orders = {"".join(pystack.run(main, seed)) for seed in range(20)}
    assert orders == {"bacbbacac"}


def test_a_cancelled_program_raises_in_its_call_again_and_again_and_cleans_up() -> None:
    seen: list[str] = []

    def program() -> None:
        try:
            sleep(100.0)
        finally:
            try:
                sleep(1.0)
            except ProgramEnded:
                seen.append("again")
            seen.append(f"{here().call(trio.current_time)}")

    async def main(net: pystack.Network, a: pystack.Host) -> bool:
        with trio.move_on_after(5.0) as scope:
            await a.run_sync(program)
        return scope.cancelled_caught

    assert in_a_world(main) is True
    assert seen == ["again", "5.0"]


def test_a_host_without_power_ends_its_programs() -> None:
    async def power_off(a: pystack.Host) -> None:
        await trio.sleep(2.0)
        a.power_off()

    async def main(net: pystack.Network, a: pystack.Host) -> float:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(power_off, a)
            with pytest.raises(trio.BrokenResourceError, match="a was powered off"):
                await a.run_sync(sleep, 100.0)
        return a.now()

    assert in_a_world(main) == 2.0


def test_who_waits_for_ever_is_named_with_his_place_and_for_what() -> None:
    def program() -> None:
        here().park_until(what="a bus")

    with pytest.raises(pystack.DeadlockError, match=r"thread a: .*program in .*, for a bus"):
        in_a_world(lambda net, a: a.run_sync(program))


def test_no_thread_is_left() -> None:
    with no_thread_is_left():
        in_a_world(lambda net, a: a.run_sync(sleep, 1.0))


def test_in_real_time_threads_take_turns_as_well() -> None:
    asked = threading.Event()

    def echo() -> None:
        with socket.create_server(("", 7)) as listener:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data)

    def program() -> tuple[object, ...]:
        queue: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=lambda: (time.sleep(0.01), queue.put("put"))).start()
        with socket.create_connection(("b", 7), timeout=20.0) as connection:
            connection.sendall(b"hello")
            return queue.get(), connection.recv(100), asked.wait(20.0)

    async def main() -> tuple[object, ...]:
        async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
            net.link(a := net.host("a"), b := net.host("b"))
            nursery.start_soon(b.run_sync, echo)
            await trio.testing.wait_all_tasks_blocked(0.01)
            asked.set()  # by Trio's thread
            return await a.run_sync(program)

    assert trio.run(main) == ("put", b"hello", True)


def test_ctrl_c_reaches_the_thread_that_runs_and_comes_out_of_it() -> None:
    cleaned: list[str] = []
    runs = threading.Event()

    def press() -> None:
        runs.wait()
        os.kill(os.getpid(), signal.SIGINT)

    def program() -> None:
        try:
            runs.set()
            while True:
                pass
        finally:
            cleaned.append("up")

    person = threading.Thread(target=press)  # one of the machine's
    person.start()
    with pytest.raises(KeyboardInterrupt):
        in_a_world(lambda net, a: a.run_sync(program))
    person.join()
    assert cleaned == ["up"]
