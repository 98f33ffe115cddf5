"""Threads that blocking programs start, and what they wait for each other with: virtual time."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Queue, SimpleQueue
from typing import TypeVar

import pytest
import trio
from threads_left import no_thread_is_left

import pystack
from pystack.core.schedules import Schedule
from pystack.runtime.blocking.turns import ProgramEnded, current_thread
from pystack.runtime.borrowed.clock import BlockedWorldError

T = TypeVar("T")

MADE_BEFORE = threading.RLock()


def now() -> float:
    thread = current_thread()
    assert thread is not None
    return thread.now()


def on_a_host(program: Callable[[], T], seed: int = 1) -> T:
    async def main() -> T:
        async with pystack.Network(seed=seed) as net:
            return await net.host("a").run_sync(program)

    return pystack.run(main, seed=seed)


def started(*calls: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def test_time_sleep_and_joins_take_virtual_time() -> None:
    def program() -> list[object]:
        order: list[object] = []

        def sleeper(seconds: int) -> None:
            time.sleep(seconds)
            order.append(seconds)

        threads = started(*(lambda n=n: sleeper(n) for n in (3, 1, 2)))
        threads[0].join(timeout=0.5)
        order.append((threads[0].is_alive(), now()))
        for thread in threads:
            thread.join()
        return [*order, threads[0].is_alive(), now()]

    assert on_a_host(program) == [(True, 0.5), 1, 2, 3, False, 3.0]


def test_a_negative_sleep_is_refused_as_ever() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        on_a_host(lambda: time.sleep(-1))


def test_an_event_is_set_by_a_timer() -> None:
    def program() -> tuple[object, ...]:
        event = threading.Event()
        threading.Timer(10.0, event.set).start()
        return event.wait(4.0), now(), event.wait(40.0), now()

    assert on_a_host(program) == (False, 4.0, True, 10.0)


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock, lambda: MADE_BEFORE])
def test_a_lock_is_waited_for_until_it_is_free_or_the_time_is_over(
    make: Callable[[], object],
) -> None:
    def program() -> tuple[object, ...]:
        lock = make()

        def hold() -> None:
            with lock:  # type: ignore[attr-defined]
                time.sleep(5.0)

        started(hold)
        first = lock.acquire(timeout=2.0), now()  # type: ignore[attr-defined]
        second = lock.acquire(blocking=False), now()  # type: ignore[attr-defined]
        with lock:  # type: ignore[attr-defined]
            return first, second, now()

    assert on_a_host(program) == ((False, 2.0), (False, 2.0), 5.0)


@pytest.mark.parametrize(
    ("words", "error"),
    [((True, -2), ValueError), ((False, 1), ValueError), ((True, 1e20), OverflowError)],
)
def test_a_lock_refuses_what_it_always_does(
    words: tuple[bool, float], error: type[Exception]
) -> None:
    for make in (threading.Lock, threading.RLock):
        with pytest.raises(error):
            on_a_host(lambda make=make: make().acquire(*words))


def test_conditions_semaphores_and_barriers() -> None:
    def program() -> tuple[object, ...]:
        condition, semaphore = threading.Condition(), threading.Semaphore(2)
        barrier, passed = threading.Barrier(3), []

        def notify() -> None:
            with condition:
                time.sleep(1.0)
                condition.notify_all()

        with condition:
            started(notify)
            first = condition.wait(), now(), condition.wait(2.0), now()

        def use() -> None:
            with semaphore:
                time.sleep(1.0)

        def meet(number: int) -> None:
            time.sleep(number)
            barrier.wait()
            passed.append((number, now()))

        for thread in started(use, use, use, use):
            thread.join()
        second = now()
        for thread in started(*(lambda n=n: meet(n) for n in (2, 0, 1))):
            thread.join()
        return first, second, sorted(passed)

    assert on_a_host(program) == (
        (True, 1.0, False, 3.0),
        5.0,
        [(0, 7.0), (1, 7.0), (2, 7.0)],
    )


def test_a_pool_of_threads_works_and_keeps_the_order_of_its_results() -> None:
    def program() -> tuple[object, ...]:
        with ThreadPoolExecutor(3) as pool:
            results = list(pool.map(lambda n: (time.sleep(n), n)[1], (3, 1, 2, 5, 4)))
        return results, now()

    assert on_a_host(program) == ([3, 1, 2, 5, 4], 6.0)


def test_queues_hand_on_in_order_and_wait_where_they_are_full() -> None:
    def program() -> tuple[object, ...]:
        queue: Queue[int] = Queue(2)
        simple: SimpleQueue[float] = SimpleQueue()

        def produce() -> None:
            for number in range(6):
                queue.put(number)
                simple.put(now())

        started(produce)
        got = []
        for _ in range(6):
            time.sleep(1.0)
            got.append(queue.get())
        puts = [simple.get() for _ in range(6)]
        with pytest.raises(Empty):
            simple.get(timeout=3.0)
        return got, puts, now()

    assert on_a_host(program) == ([0, 1, 2, 3, 4, 5], [0.0, 0.0, 1.0, 2.0, 3.0, 4.0], 9.0)


def test_a_program_waits_for_its_threads_but_not_for_daemons_and_idle_pools() -> None:
    done: list[float] = []

    def work() -> None:
        time.sleep(3.0)
        done.append(now())

    def program() -> threading.Thread:
        pool = ThreadPoolExecutor(2)
        pool.submit(work)
        started(work)
        threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
        program.pool = pool  # type: ignore[attr-defined]  # it is not shut down
        return threading.current_thread()

    async def main() -> float:
        async with pystack.Network(seed=1) as net:
            await net.host("a").run_sync(program)
            return trio.current_time()

    assert pystack.run(main) == 3.0
    assert done == [3.0, 3.0]


def test_a_pool_that_outlives_the_world_works_again(caplog: pytest.LogCaptureFixture) -> None:
    pool = ThreadPoolExecutor(2)

    def program() -> int:
        return pool.submit(lambda: (time.sleep(1.0), 7)[1]).result(timeout=5.0)

    assert [on_a_host(program), on_a_host(program)] == [7, 7]
    assert pool.submit(lambda: 8).result(timeout=5.0) == 8
    pool.shutdown()
    assert caplog.records == []


def test_an_error_ends_the_threads_with_the_program() -> None:
    cleaned: list[float] = []

    def wait_long() -> None:
        try:
            time.sleep(1e6)
        finally:
            cleaned.append(now())

    def program() -> None:
        started(wait_long)
        time.sleep(1.0)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        on_a_host(program)
    assert cleaned == [1.0]


@pytest.mark.parametrize("how", ["the network's end", "power"])
def test_a_thread_that_waits_on_a_socket_ends_as_any_other(
    how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ends: list[BaseException] = []

    def answer(connection: socket.socket) -> None:
        try:
            connection.recv(1)
        except BaseException as error:
            ends.append(error)
            raise

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()

    def ask() -> None:
        with socket.create_connection(("server", 7)):
            time.sleep(100)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="10ms")
            server.start_soon(server.run_sync, serve)
            await trio.sleep(1)
            client.start_soon(client.run_sync, ask)
            await trio.sleep(1)
            if how == "power":
                server.power_off()
                await trio.sleep(1)

    pystack.run(main)
    assert [type(end) for end in ends] == [ProgramEnded]
    assert capsys.readouterr().err == ""


def test_nothing_is_left_of_threads_that_had_to_end() -> None:
    def program() -> None:
        lock = threading.Condition()

        def wait_for_ever() -> None:
            with lock:
                lock.wait()

        started(wait_for_ever, wait_for_ever)
        lock.acquire()
        with lock:
            lock.wait()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with trio.move_on_after(5.0):
                await net.host("a").run_sync(program)

    with no_thread_is_left():
        pystack.run(main)
    locked = threading.Lock()
    assert type(locked).acquire.__class__.__name__ == "method_descriptor"


def test_a_trio_task_starts_threads_of_the_world_but_may_not_wait_for_them() -> None:
    async def program() -> list[object]:
        seen: list[object] = []
        thread = threading.Thread(target=lambda: (time.sleep(2.0), seen.append(now())))
        thread.start()
        with pytest.raises(BlockedWorldError, match=r"waiting for .* would stop the world of"):
            thread.join()
        with pytest.raises(BlockedWorldError, match=r"await trio\.sleep"):
            time.sleep(1.0)  # noqa: ASYNC251
        await trio.sleep(3.0)
        thread.join()
        return seen

    async def main() -> list[object]:
        async with pystack.Network(seed=1) as net:
            return await net.host("a").run(program)

    assert pystack.run(main) == [2.0]


def test_trio_waits_for_a_lock_that_a_thread_can_give_up_at_once() -> None:
    async def program() -> bool:
        lock, event = threading.Lock(), threading.Event()

        def hold() -> None:
            with lock:
                event.wait()  # a turn ends here, with the lock held

        threading.Thread(target=hold).start()
        event.set()
        with lock:
            return event.is_set()

    async def main() -> bool:
        async with pystack.Network(seed=1) as net:
            return await net.host("a").run(program)

    assert pystack.run(main)


def test_an_error_in_a_thread_is_told_of_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []

    def program() -> None:
        def fail() -> None:
            raise KeyError("mine")

        before, threading.excepthook = threading.excepthook, lambda args: told.append(str(args[1]))
        for thread in started(fail):
            thread.join()
        threading.excepthook = before

    on_a_host(program)
    assert told == ["'mine'"]


def test_loggers_locks_are_shared_by_all(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("pystack.tests.threads")

    def program() -> None:
        started(*[lambda: [log.warning("thread") for _ in range(3)]] * 3)
        log.warning("main")

    async def main() -> None:
        async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
            nursery.start_soon(net.host("a").run_sync, program)
            nursery.start_soon(net.host("b").run_sync, program)
            log.warning("trio")

    pystack.run(main)
    assert len(caplog.records) == 21


def test_who_waits_for_ever_is_named_with_what_for() -> None:
    def program() -> None:
        lock = threading.Lock()
        with lock:
            started(lock.acquire)
            SimpleQueue().get()

    with pytest.raises(pystack.DeadlockError) as caught:
        on_a_host(program)
    assert "thread a: Thread-" in str(caught.value)
    assert "for a lock" in str(caught.value)
    assert "program (test_threads.py:" in str(caught.value)
    assert "for an item of a queue" in str(caught.value)


def _orders(schedule: Schedule, seeds: range) -> list[str]:
    def program() -> str:
        order: list[str] = []

        def run(name: str) -> None:
            for _ in range(3):
                order.append(name)
                time.sleep(1.0)

        for thread in started(*(lambda name=name: run(name) for name in "abcd")):
            thread.join()
        return "".join(order)

    async def main(seed: int) -> str:
        async with pystack.Network(seed=seed, schedule=schedule) as net:
            return await net.host("a").run_sync(program)

    return [pystack.run(main, seed, seed=seed) for seed in seeds]


def test_a_random_schedule_draws_the_order_of_threads_from_the_seed() -> None:
    assert set(_orders("fifo", range(20))) == {"abcd" * 3}
    orders = _orders("random", range(20))
    assert orders == _orders("random", range(20))
    assert len(set(orders)) > 15
    assert all(sorted(order[4:8]) == list("abcd") for order in orders)


def test_a_random_schedule_finds_what_rests_on_the_order() -> None:
    def program() -> int:
        total, lock = [0], threading.Lock()

        def add() -> None:
            with lock:
                read = total[0]
            time.sleep(0)  # between reading and writing
            with lock:
                total[0] = read + 1

        for thread in started(*[add] * 3):
            thread.join()
        return total[0]

    async def main(seed: int) -> int:
        async with pystack.Network(seed=seed, schedule="random") as net:
            return await net.host("a").run_sync(program)

    assert len({pystack.run(main, seed) for seed in range(20)}) > 1


def test_there_are_two_schedules() -> None:
    with pytest.raises(pystack.ConfigError, match="schedule is 'fifo' or 'random', not 'lifo'"):
        pystack.Network(schedule="lifo")  # type: ignore[arg-type]
