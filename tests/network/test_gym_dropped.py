"""Environments, and loops, that nobody closes: their worlds end all the same, in order."""

import gc
import os
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from time import monotonic

import pytest
import trio

import pystack
from pystack.gym import CongestionEnv, Scene
from pystack.gym.scene import dumbbell
from pystack.gym.world import World
from pystack.runtime.driver import orphans

KILL = os.kill
WORDS: dict[str, float | str] = {"rate": "1mbit", "delay": "10ms", "limit": 30}


def told(ends: list[str], do: Callable[[], object] = lambda: None) -> CongestionEnv:
    """Return an environment whose network writes down that it has ended, and calls `do` a while."""

    async def network(net: pystack.Network, nursery: trio.Nursery) -> Scene:
        async def until_the_end() -> None:
            try:
                while True:
                    await trio.sleep(0.05)
                    do()
            finally:
                ends.append(threading.current_thread().name)

        nursery.start_soon(until_the_end)
        return await dumbbell(WORDS, (), "fixed:10")(net, nursery)

    return CongestionEnv(network=network)


def begun(ends: list[str], do: Callable[[], object] = lambda: None) -> CongestionEnv:
    env = told(ends, do)
    env.reset(seed=1)
    return env


def knot(env: CongestionEnv) -> None:
    """Have only the collector find it."""
    env.itself = env  # type: ignore[attr-defined]


def in_a_thread(do: Callable[[], object]) -> None:
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()


def test_one_that_is_dropped_ends_at_once_and_says_so() -> None:
    ends: list[str] = []
    env = begun(ends)
    assert os.kill is not KILL
    with pytest.warns(ResourceWarning, match="CongestionEnv.* was dropped without close"):
        del env
    assert ends == ["MainThread"]
    assert os.kill is KILL


def test_one_that_was_closed_or_is_over_says_nothing() -> None:
    env = begun([])
    env.close()
    del env
    other = begun([])
    other._left = 1
    assert other.step([0.0])[3]
    del other
    gc.collect()


def test_what_the_collector_finds_in_another_thread_ends_in_its_own() -> None:
    ends: list[str] = []
    gc.disable()
    try:
        knot(begun(ends))
        in_a_thread(gc.collect)
    finally:
        gc.enable()
    assert ends == []
    with pytest.warns(ResourceWarning):
        assert pystack.run(trio.sleep, 1) is None  # any turn in this thread
    assert ends == ["MainThread"]
    assert os.kill is KILL


def test_what_the_collector_finds_waits_for_a_turn() -> None:
    """Collected where CPython 3.11 makes a syntax tree, a traceback written then breaks that."""
    ends: list[str] = []
    gc.disable()
    try:
        knot(begun(ends))
        with warnings.catch_warnings(record=True) as said:
            gc.collect()
        assert (ends, said) == ([], [])
        env = told([])
        with pytest.warns(ResourceWarning, match="CongestionEnv.* was dropped without close"):
            env.reset(seed=1)
    finally:
        gc.enable()
    assert ends == ["MainThread"]
    env.close()
    assert os.kill is KILL


def test_where_warnings_are_errors_the_turn_that_ends_another_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: list[str] = []
    errors: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: errors.append(error.exc_type))
    knot(begun(ends))
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        pystack.run(trio.sleep, 1)
    assert (ends, errors) == (["MainThread"], [ResourceWarning])


def test_a_fork_leaves_its_parents_to_the_parent() -> None:
    ends: list[str] = []
    knot(begun(ends))
    gc.collect()  # noted down, and not ended yet
    pid = os.fork()
    if pid == 0:
        orphans.end_all_here()
        os._exit(len(ends))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with pytest.warns(ResourceWarning):
        orphans.end_all_here()
    assert ends == ["MainThread"]


def test_a_thread_that_is_gone_leaves_its_own_to_others() -> None:
    ends: list[str] = []
    left: list[CongestionEnv] = []
    in_a_thread(lambda: left.append(begun(ends)))
    with pytest.warns(ResourceWarning):
        left.clear()
    assert ends == ["MainThread"]
    assert os.kill is KILL


def test_in_the_middle_of_anothers_turn_it_waits_and_changes_nothing_there() -> None:
    def rows(*, with_garbage: bool) -> list[object]:
        ends: list[str] = []
        seen: list[int] = []

        def collect() -> None:
            if with_garbage and not seen:
                gc.collect()
                seen.append(len(ends))

        if with_garbage:
            knot(begun(ends))
        env = begun([], collect)
        try:
            steps = [env.step([0.1])[1] for _ in range(5)]
        finally:
            env.close()
        if with_garbage:
            assert seen == [0]
            assert ends == ["MainThread"]
        return list(steps)

    gc.disable()
    try:
        plain = rows(with_garbage=False)
        with pytest.warns(ResourceWarning):
            assert rows(with_garbage=True) == plain
    finally:
        gc.enable()
    assert os.kill is KILL


def test_a_program_that_refuses_to_end_is_left_when_time_is_up() -> None:
    refusing = True

    async def refuse() -> None:
        while refusing:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.001)

    world = World(refuse, seed=1)
    world.run_until(1.0)
    world.end(monotonic() + 0.05)
    refusing = False
    gone = weakref.ref(world)
    world.close()
    del world
    gc.collect()
    assert gone() is None


AT_EXIT = """
import asyncio, os, sys, time, trio, pystack
from pystack.gym import CongestionEnv, Scene
from pystack.gym.scene import dumbbell

async def network(net, nursery):
    async def told():
        try:
            await trio.sleep_forever()
        finally:
            print("episode ended at", trio.current_time(), flush=True)
    nursery.start_soon(told)
    return await dumbbell({"rate": "1mbit", "delay": "10ms"}, (), "cubic")(net, nursery)

async def program(real):
    try:
        async with pystack.Network(seed=1) as net:
            net.host("a")
            await asyncio.sleep(1e6)
    finally:
        print("loop ended", flush=True)

env = CongestionEnv(network=network)
env.reset(seed=1)
for real in (False, True):
    loop = pystack.EventLoop(real_time=real)
    loop.kept = loop.create_task(program(real))
    loop.run_until_complete(asyncio.sleep(0.01))
print("main is done", flush=True)
"""


def test_whoever_is_open_when_the_interpreter_ends_is_ended_in_order() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", AT_EXIT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, *ends = ran.stdout.splitlines()
    assert first == "main is done", ran.stderr
    assert sorted(ends) == ["episode ended at 0.141856", "loop ended", "loop ended"], ran.stderr
    assert (ran.returncode, "Exception ignored" in ran.stderr) == (0, False), ran.stderr
