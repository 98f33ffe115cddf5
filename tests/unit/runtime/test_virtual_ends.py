"""How a run in virtual time ends: dead, out of time, interrupted, or as an event wants it."""

import gc
import signal
import socket
import sys
from collections.abc import Callable

import pytest
import trio

import pystack
from pystack.observe.observer import Event
from pystack.wire.frame import Frame

# Where Trio itself gives up, its tasks are left as they stand, and complain when they go.
GIVEN_UP = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


async def joined(net: pystack.Network, serve: object) -> pystack.TcpStream:
    """Return a stream from a to b, where `serve` handles it; the link takes 10 ms each way."""
    a, b = net.host("a"), net.host("b")
    net.link(a, b, delay="10ms")
    await b.start(trio.serve_tcp, serve, 80)
    return await a.open_tcp_stream("b", 80)


async def read_for_ever(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


# upkeep


def test_both_send_and_nobody_reads_is_a_deadlock_though_probes_go_on() -> None:
    async def send(stream: trio.abc.SendStream) -> None:
        await stream.send_all(bytes(20_000_000))

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await send(await joined(net, send))

    with pytest.raises(pystack.DeadlockError) as caught:
        pystack.run(main)
    text = str(caught.value)
    assert text.startswith("nothing can ever happen again: since ")
    assert " s there have been only window probes; waiting for ever: " in text
    assert "send (test_virtual_ends.py:" in text


def test_a_user_timeout_ends_probes_that_are_answered_and_no_deadlock() -> None:
    async def main() -> float:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="10ms")
            await b.start(trio.serve_tcp, idle, 80)
            sock = await a.run(connected)
            with pytest.raises(TimeoutError):
                await fill(sock)
            return trio.current_time()

    async def idle(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def fill(sock: trio.socket.SocketType) -> None:
        while True:
            await sock.send(bytes(100_000))

    async def connected() -> trio.socket.SocketType:
        sock = trio.socket.socket()
        await sock.connect(("b", 80))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3_600_000)
        return sock

    assert 3600 < pystack.run(main) < 3601


def test_an_idle_connection_kept_alive_is_a_deadlock_where_both_wait() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            stream = await joined(net, read_for_ever)
            stream.set_keepalive(idle_s=10, interval_s=1)
            await stream.receive_some()

    with pytest.raises(pystack.DeadlockError, match=r"only keep-alives; waiting for ever: .*read_"):
        pystack.run(main)


def test_a_lost_window_update_is_found_by_a_probe_and_no_deadlock() -> None:
    async def main() -> tuple[int, float]:
        async with pystack.Network(seed=1) as net:
            got = 0

            async def count(stream: trio.SocketStream) -> None:
                nonlocal got
                await trio.sleep(300)
                link_ = net.links[0]
                link_.black_hole(lambda _packet: True, "b_to_a")
                while got < 50_000:  # what it says of its window is lost
                    got += len(await stream.receive_some())
                net.at(net.now() + 0.5, lambda: link_.black_hole(None, "b_to_a"))
                while data := await stream.receive_some():
                    got += len(data)
                await stream.send_all(b"all")

            stream = await joined(net, count)
            await stream.send_all(bytes(1_500_000))
            await stream.send_eof()
            assert await stream.receive_some() == b"all"
            return got, trio.current_time()

    got, at = pystack.run(main)
    assert got == 1_500_000
    assert 300 < at < 500


@pytest.mark.parametrize("idle_s", [10, 7200])
def test_a_peer_that_is_gone_is_told_and_no_deadlock(idle_s: float) -> None:
    async def main() -> float:
        async with pystack.Network(seed=1) as net:
            stream = await joined(net, read_for_ever)
            stream.set_keepalive(idle_s=idle_s, interval_s=75)
            await trio.sleep(1)
            net.links[0].down()
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            return trio.current_time()

    assert idle_s + 600 < pystack.run(main) < idle_s + 700


async def answer(stream: trio.SocketStream) -> None:
    while data := await stream.receive_some():
        await stream.send_all(data)


def test_an_event_that_is_to_come_makes_it_no_deadlock() -> None:
    async def main() -> float:
        async with pystack.Network(seed=1) as net:
            stream = await joined(net, answer)
            stream.set_keepalive(idle_s=10, interval_s=1)

            def later() -> None:
                if net.now() < 3 * 3600:
                    net.at(net.now() + 60, later)
                else:
                    net.hosts["a"].start_soon(stream.send_all, b"x")

            later()
            assert await stream.receive_some() == b"x"
            return trio.current_time()

    assert pystack.run(main) == pytest.approx(3 * 3600, abs=0.1)


def test_what_an_observer_plans_while_it_sees_upkeep_is_no_upkeep() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            stream = await joined(net, answer)
            stream.set_keepalive(idle_s=10, interval_s=1)
            await trio.sleep(12)
            planned: list[float] = []

            class Planner:
                def on_event(self, _event: Event) -> None:
                    if not planned:
                        planned.append(net.now() + 86_400)
                        net.at(planned[0], send)

            def send() -> None:
                net.hosts["a"].start_soon(stream.send_all, b"x")

            net.observe(Planner())
            assert await stream.receive_some() == b"x"
            assert trio.current_time() == pytest.approx(planned[0], abs=0.1)

    pystack.run(main)


# its time


def test_a_run_may_last_until_then_and_not_longer() -> None:
    async def main(nap_s: float) -> float:
        await trio.sleep(nap_s)
        return trio.current_time()

    assert pystack.run(main, 5.0, until="5s") == 5.0
    with pytest.raises(pystack.VirtualTimeoutError) as caught:
        pystack.run(main, 5.1, until=5)
    text = str(caught.value)
    assert text.startswith("the run did not end within 5 s of virtual time; these wait: ")
    assert "main (test_virtual_ends.py:" in text
    assert isinstance(caught.value, TimeoutError)


def test_events_are_kept_up_to_the_end_and_none_after_it() -> None:
    seen: list[float] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.timeline([(at, lambda: seen.append(net.now())) for at in (1, 5, 5.000001, 9)])
            await trio.sleep_forever()

    with pytest.raises(pystack.VirtualTimeoutError):
        pystack.run(main, until=5)
    assert seen == [1, 5]


def test_out_of_time_with_only_upkeep_says_since_when() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            stream = await joined(net, read_for_ever)
            stream.set_keepalive(idle_s=10, interval_s=1)
            await stream.receive_some()

    with pytest.raises(
        pystack.VirtualTimeoutError, match=r"since .* s there have been only keep-alives;"
    ):
        pystack.run(main, until=12)


@pytest.mark.parametrize("until", [0, -1, float("nan"), "soon", True])
def test_a_run_with_no_time_is_refused(until: float) -> None:
    with pytest.raises(pystack.ConfigError):
        pystack.run(trio.sleep_forever, until=until)


@pytest.mark.parametrize("until", [None, 3])
def test_a_program_that_is_ended_may_take_time_to_clean_up(until: float | None) -> None:
    cleaned: list[float] = []

    async def main() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)
            cleaned.append(trio.current_time())

    with pytest.raises((pystack.DeadlockError, pystack.VirtualTimeoutError)):
        pystack.run(main, until=until)
    # Where nothing is left to happen, that is told at once, and not at the end of the time.
    assert cleaned == [2.0]


@GIVEN_UP
def test_a_clean_up_that_waits_for_ever_ends_the_run_all_the_same() -> None:
    async def main() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()

    with pytest.raises(pystack.DeadlockError):
        pystack.run(main)
    gc.collect()


# by force


def in_an_event(act: Callable[[], object]) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.host("a")
            net.at(1, act)
            await trio.sleep(5)

    pystack.run(main)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda: pytest.fail("seen"), pytest.fail.Exception),
        (lambda: pytest.skip("not today"), pytest.skip.Exception),
        (lambda: sys.exit(3), SystemExit),
        (lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt),
        (lambda: [][0], IndexError),
    ],
    ids=["fail", "skip", "exit", "interrupt", "error"],
)
def test_what_an_event_raises_ends_the_run_as_itself(
    act: Callable[[], object], kind: type[BaseException]
) -> None:
    with pytest.raises(kind):
        in_an_event(act)


def test_what_an_observer_or_an_impairment_raises_ends_the_run_as_itself() -> None:
    class Watcher:
        def on_event(self, _event: Event) -> None:
            pytest.fail("seen what must not be")

    class Breaker:
        def apply(self, _frame: Frame, _now: float) -> object:
            sys.exit("broken")

    async def main(watched: bool) -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            words = {} if watched else {"impairments": [lambda _: Breaker()]}
            net.link(a, b, delay="1ms", **words)
            if watched:
                net.at(2, lambda: net.observe(Watcher()))
            here, there = await a.open_udp_socket(), await b.open_udp_socket(9)
            net.at(3, lambda: here.send_to_nowait(b"x", ("b", 9)))
            await there.receive_from()

    with pytest.raises(pytest.fail.Exception, match="seen what must not be"):
        pystack.run(main, True)
    with pytest.raises(SystemExit, match="broken"):
        pystack.run(main, False)


def test_ctrl_c_ends_a_run_in_which_nobody_can_run_but_events_go_on() -> None:
    ticks: list[float] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:

            def again() -> None:
                ticks.append(net.now())
                if len(ticks) == 1000:
                    signal.raise_signal(signal.SIGINT)
                net.at(net.now() + 0.001, again)

            again()
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        pystack.run(main)
    assert len(ticks) == 1000


def test_a_call_from_a_foreign_thread_is_seen_while_events_go_on() -> None:
    # As a signal's handler does it, in the thread of the run: nobody sleeps for the test.
    async def main() -> int:
        async with pystack.Network(seed=1) as net:
            token, event = trio.lowlevel.current_trio_token(), trio.Event()
            ticks = 0

            def again() -> None:
                nonlocal ticks
                ticks += 1
                if ticks == 10:
                    token.run_sync_soon(event.set)
                net.at(net.now() + 0.001, again)

            again()
            await event.wait()
            return ticks

    assert pystack.run(main) == 10


@GIVEN_UP
def test_a_signal_handler_that_raises_inside_trio_ends_the_run_as_itself() -> None:
    async def main() -> None:
        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            pytest.fail("the alarm")  # as pytest-timeout's, in the middle of Trio's own code

        with trio.move_on_after(1):
            await trio.lowlevel.wait_task_rescheduled(abort)

    with pytest.raises(pytest.fail.Exception, match="the alarm"):
        pystack.run(main)
    gc.collect()
