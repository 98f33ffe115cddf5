"""Time that stands still, and goes on event by event: in virtual and in real time."""

import hashlib
import queue
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
import scenario
import trio
import trio.testing

import pystack
from pystack.core.errors import ConfigError
from pystack.runtime.driver import gate
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.driver.stepping import Stepped
from pystack.runtime.driver.virtual import DeadlockError, VirtualDriver


async def joined(net: pystack.Network) -> list[pystack.Host]:
    hosts = [net.host("a"), net.host("b")]
    net.link(*hosts, delay="10ms")
    return hosts


@contextmanager
def elsewhere(driver: VirtualDriver, work: Callable[["Caller"], None]) -> Iterator[None]:
    """Do something in another thread meanwhile, with calls into the world's."""
    call = Caller(driver)
    errors: list[BaseException] = []

    def do() -> None:
        try:
            work(call)
        except _OverError:
            pass
        except BaseException as error:
            errors.append(error)

    driver.attend(attended=True)
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    try:
        yield
    finally:
        driver.attend(attended=False)
        call.answers.put(_OverError)
        thread.join(60)
    assert errors == []
    assert not thread.is_alive()


class _OverError(Exception):
    """The world has ended: nobody answers any more."""


class Caller:
    """Has functions called in the world's thread, and waits for what they return."""

    def __init__(self, driver: VirtualDriver) -> None:
        self.driver = driver
        self.answers: SimpleQueue[object] = SimpleQueue()

    def __call__(self, function: Callable[[], object]) -> object:
        self.driver.post(lambda: self.answers.put(function()))
        answer = self.answers.get(timeout=60)
        if answer is _OverError:
            raise _OverError
        return answer


def run_of_scenario(path: Path, work: Callable[[Caller], None] | None) -> tuple[str, str]:
    """Return the digests of the capture and the log of a run, with somebody else at work."""
    lines: list[str] = []

    async def main() -> None:
        driver = trio.lowlevel.current_clock().driver  # type: ignore[attr-defined]
        if work is None:
            await scenario.main(3, path, lines)
            return
        driver.pause()
        with elsewhere(driver, work):
            await scenario.main(3, path, lines)

    pystack.run(main, seed=3)
    assert sum("got" in line for line in lines) == 25
    return digests(path, lines)


def digests(path: Path, lines: list[str]) -> tuple[str, str]:
    capture = hashlib.sha256(path.read_bytes()).hexdigest()
    return capture, hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_a_run_in_steps_is_the_same_to_the_byte(tmp_path: Path) -> None:
    steps: list[Stepped] = []

    def step_on(call: Caller) -> None:
        while True:
            step = call(call.driver.step)
            assert isinstance(step, Stepped)
            steps.append(step)
            if len(steps) == 450:
                call(call.driver.resume)
                return

    plain = run_of_scenario(tmp_path / "plain.pcap", None)
    assert run_of_scenario(tmp_path / "steps.pcap", step_on) == plain
    assert len(steps) == 450
    assert [step.at for step in steps] == sorted(step.at for step in steps)


def test_looking_and_pausing_now_and_then_changes_no_byte(tmp_path: Path) -> None:
    def look(call: Caller) -> None:
        try:
            for _ in range(200):
                call(call.driver.pause)
                for _ in range(5):
                    call(call.driver.step)
                call(call.driver.resume)
        except Exception:  # the run has ended
            return

    plain = run_of_scenario(tmp_path / "plain.pcap", None)
    assert run_of_scenario(tmp_path / "looked.pcap", look) == plain


def test_a_call_that_comes_before_a_task_is_woken_waits_for_that_task(tmp_path: Path) -> None:
    """Always one more is wanted, as by a thread that is quicker than this one at each moment."""
    steps: list[Stepped] = []

    async def main() -> None:
        driver = trio.lowlevel.current_clock().driver  # type: ignore[attr-defined]

        def step() -> None:
            driver.post(step if len(steps) < 449 else driver.resume)
            steps.append(driver.step())

        driver.pause()
        driver.attend(attended=True)
        driver.post(step)
        await scenario.main(3, tmp_path / "steps.pcap", lines)
        driver.attend(attended=False)

    plain, lines = run_of_scenario(tmp_path / "plain.pcap", None), list[str]()
    pystack.run(main, seed=3)
    assert digests(tmp_path / "steps.pcap", lines) == plain
    assert len(steps) == 450


@pytest.mark.parametrize("of", ["tasks", "threads"])
def test_who_wants_something_is_heard_where_programs_wake_each_other_for_ever(
    monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    """No event is ever next there, and time never passes."""
    monkeypatch.setattr(gate, "_MOST_PASSES", 50)
    turns: list[int] = []
    heard: list[int] = []

    def ask(driver: VirtualDriver) -> None:
        def hear() -> None:
            heard.append(len(turns))
            if len(heard) == 3:
                raise _OverError
            driver.post(hear)  # is not heard at once, or no task would ever go on again

        driver.post(hear)

    def took_a_turn() -> None:
        turns.append(1)
        assert len(turns) < 5_000, "nobody is heard"

    async def tasks(_host: pystack.Host, driver: VirtualDriver) -> None:
        waiters = [Waiter(driver), Waiter(driver)]

        async def wake_the_other(number: int) -> None:
            while True:
                took_a_turn()
                waiters[1 - number].wake()
                await waiters[number].wait()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wake_the_other, 0)
            nursery.start_soon(wake_the_other, 1)

    def threads() -> None:
        there, back = queue.Queue[int](), queue.Queue[int]()

        def answer() -> None:
            while True:
                back.put(there.get())

        threading.Thread(target=answer, daemon=True).start()
        while True:
            took_a_turn()
            there.put(1)
            back.get()

    async def main() -> None:
        driver = trio.lowlevel.current_clock().driver  # type: ignore[attr-defined]
        async with pystack.Network(seed=1) as net:
            ask(driver)
            host = net.host("a")
            await (tasks(host, driver) if of == "tasks" else host.run_sync(threads))

    with pytest.raises(_OverError):
        pystack.run(main)
    assert len(heard) == 3
    assert 0 < heard[1] - heard[0] <= 60
    assert 0 < heard[2] - heard[1] <= 60


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("error", [queue.Empty, ValueError, KeyboardInterrupt])
def test_an_error_of_a_call_ends_the_run_and_the_next_call_is_still_made(
    error: type[BaseException], *, paused: bool
) -> None:
    made: list[float] = []

    def fail() -> None:
        driver.resume()  # the program is to clean up
        raise error

    async def main() -> None:
        nonlocal driver
        driver = trio.lowlevel.current_clock().driver  # type: ignore[attr-defined]
        driver.attend(attended=True)
        if paused:
            driver.pause()
        try:
            driver.post(fail)
            driver.post(lambda: made.append(driver.now()))
            await trio.sleep(1)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
            driver.attend(attended=False)

    driver: VirtualDriver
    with pytest.raises(error):
        pystack.run(main)
    assert made == [0.0]


def test_a_signal_is_seen_to_while_time_stands_still() -> None:
    async def main() -> None:
        driver = trio.lowlevel.current_clock().driver  # type: ignore[attr-defined]
        async with pystack.Network(seed=1) as net:
            await joined(net)
            driver.pause()
            driver.attend(attended=True)
            driver.post(lambda: signal.raise_signal(signal.SIGINT))
            try:
                await trio.sleep(1)
            finally:
                driver.attend(attended=False)
                driver.resume()

    with pytest.raises(KeyboardInterrupt):
        pystack.run(main)


async def crowd(log: list[str]) -> None:
    """Let frames arrive at the instants at which programs wake, several of each."""
    async with pystack.Network(seed=1) as net:
        a, b = await joined(net)
        await a.ping("b")
        start = net.now()

        async def sleep(number: int) -> None:
            for count in range(5):
                await trio.sleep_until(start + 0.01 * (count + 1))
                log.append(f"{net.now():.3f} sleeper {number}")
                sender.send_to_nowait(b"%d" % number, ("b", 9))

        async def receive() -> None:
            while True:
                data, _ = await socket.receive_from()
                log.append(f"{net.now():.3f} got {data!r}")

        socket = await b.open_udp_socket(9)
        sender = await a.open_udp_socket()
        for count in range(5):  # what nobody waits for, at those instants too
            net.at(start + 0.01 * (count + 1), lambda: log.append(f"{net.now():.3f} event"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            async with trio.open_nursery() as sleepers:
                for number in range(3):
                    sleepers.start_soon(sleep, number)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(5))
def test_what_happens_at_one_instant_keeps_its_order_in_steps(seed: int) -> None:
    def step_on(call: Caller) -> None:
        kinds = set()
        for _ in range(15):
            step = call(call.driver.step)
            assert isinstance(step, Stepped)
            kinds.add(step.kind)
        assert {"frame", "timer"} <= kinds
        call(call.driver.resume)

    async def in_steps() -> None:
        driver = trio.lowlevel.current_clock().driver  # type: ignore[attr-defined]
        driver.pause()
        with elsewhere(driver, step_on):
            await crowd(stepped)

    plain: list[str] = []
    stepped: list[str] = []
    pystack.run(crowd, plain, seed=seed)
    pystack.run(in_steps, seed=seed)
    assert len(plain) > 25
    assert stepped == plain


def test_while_time_stands_still_nothing_happens() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = await joined(net)
            socket = await b.open_udp_socket(9)
            sender = await a.open_udp_socket()
            await sender.send_to(b"x", ("b", 9))
            net.pause()
            assert net.paused
            await trio.lowlevel.checkpoint()
            first = net.step()  # the question who has the address
            assert (first.kind, first.at) == ("frame", 0.01)
            assert "ARP" in first.what
            assert net.now() == 0.01
            assert [net.step().kind, net.step().at] == ["frame", 0.03]
            net.resume()
            assert (await socket.receive_from())[0] == b"x"
            assert net.now() == 0.03

    pystack.run(main)


def test_a_step_may_be_a_programs_own_time() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await joined(net)
            slept: list[float] = []

            async def sleep() -> None:
                await trio.sleep(0.5)
                slept.append(net.now())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(sleep)
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
                net.pause()
                while (step := net.step()).kind != "deadline":
                    assert step.at < 0.5
                net.resume()
            assert step.at == 0.5
            assert slept == [0.5]

    pystack.run(main)


def test_a_pause_that_nobody_can_end_is_told() -> None:
    async def main() -> None:
        async with pystack.Network() as net:
            await joined(net)
            net.pause()
            await trio.sleep(1)

    with pytest.raises(DeadlockError, match="time was paused"):
        pystack.run(main)


def test_a_pause_by_the_timeline_holds_at_once() -> None:
    async def main() -> None:
        async with pystack.Network() as net:
            a, _b = await joined(net)
            net.at("5ms", net.pause)
            await a.ping("b")

    with pytest.raises(DeadlockError, match="time was paused"):
        pystack.run(main)


def test_a_step_without_a_pause_is_refused() -> None:
    async def main() -> None:
        async with pystack.Network() as net:
            with pytest.raises(ConfigError, match="pause first"):
                net.step()

    pystack.run(main)
    trio.run(main)


def test_when_all_has_happened_a_step_says_so() -> None:
    async def main() -> None:
        async with pystack.Network() as net:
            net.pause()
            assert net.step().kind == "nothing"
            net.resume()

    pystack.run(main)


def in_real_time(main: Callable[[], Awaitable[None]]) -> None:
    """Run it with the driver of real time, by a clock that no busy machine can hold up."""
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_real_time_stands_still_and_goes_on_where_it_stood() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = await joined(net)
            await a.ping("b")
            net.pause()
            stands_at = net.now()
            socket = await b.open_udp_socket(9)
            sender = await a.open_udp_socket()
            await sender.send_to(b"x", ("b", 9))
            await trio.sleep(0.05)  # five times what the link takes
            assert net.now() == stands_at
            with pytest.raises(trio.TooSlowError), trio.fail_after(0.05):
                await socket.receive_from()
            step = net.step()
            while step.kind != "frame":
                step = net.step()
            assert step.at == pytest.approx(stands_at + 0.01)
            assert net.now() == step.at
            assert (await socket.receive_from())[0] == b"x"
            net.resume()
            assert await a.ping("b") == pytest.approx(0.02)
            assert net.now() < trio.current_time() - 0.05

    in_real_time(main)


def test_a_timer_that_was_set_before_a_pause_goes_off_after_it() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            rung, began_at = trio.Event(), net.now()
            net.at(began_at + 0.05, rung.set)
            await trio.sleep(0.01)
            net.pause()
            await trio.sleep(0.1)
            assert not rung.is_set()
            net.resume()
            with trio.fail_after(5):
                await rung.wait()
            assert net.now() == pytest.approx(began_at + 0.05)

    in_real_time(main)


def test_the_text_of_a_step() -> None:
    assert str(Stepped(1.5, "timer", "a timer of a TCP connection")) == (
        "1.500000 timer: a timer of a TCP connection"
    )
