"""`receive_each`: a loop over `receive_some` for which no task is woken."""

from contextlib import suppress
from contextvars import ContextVar

import pytest
import trio

import pystack

PORT = 9


class WrongError(Exception):
    """What a receiver raises."""


async def joined(net: pystack.Network, **line: object) -> tuple[pystack.TcpStream, ...]:
    """Return the two ends of a connection between hosts a and b."""
    a, b = net.host("a"), net.host("b")
    net.link(a, b, **line)  # type: ignore[arg-type]
    (listener,) = await b.open_tcp_listeners(PORT)
    sender = await a.open_tcp_stream("b", PORT)
    return sender, await listener.accept()


async def send_and_close(stream: pystack.TcpStream, size: int) -> None:
    await stream.send_all(bytes(range(256)) * (size // 256))
    await stream.send_eof()


def pieces(*, each: bool, until_s: float = 60.0) -> list[tuple[float, bytes]]:
    """Return what came over a line with losses, and when, read in one of both ways."""
    came: list[tuple[float, bytes]] = []

    async def main() -> None:
        async with pystack.Network(seed=3) as net, trio.open_nursery() as nursery:
            line = {"rate": "5mbit", "delay": "10ms", "loss": "3%"}
            sender, receiver = await joined(net, **line)
            nursery.start_soon(send_and_close, sender, 256 * 1000)
            with trio.move_on_at(until_s):
                if each:
                    await receiver.receive_each(
                        lambda data: came.append((net.now(), data)), max_bytes=5000
                    )
                else:
                    while data := await receiver.receive_some(5000):
                        came.append((net.now(), data))
            nursery.cancel_scope.cancel()

    pystack.run(main)
    return came


def test_the_same_pieces_come_at_the_same_instants_as_by_receive_some() -> None:
    came = pieces(each=True)
    assert b"".join(data for _, data in came) == bytes(range(256)) * 1000
    assert came == pieces(each=False)
    assert max(len(data) for _, data in came) == 5000  # behind a gap there is more than a segment


def test_what_comes_at_the_instant_of_a_deadline_is_not_taken() -> None:
    came = pieces(each=False)
    last_at = came[100][0]
    before = [piece for piece in came if piece[0] < last_at]
    assert pieces(each=True, until_s=last_at) == before == pieces(each=False, until_s=last_at)


def test_no_task_is_woken_for_a_segment() -> None:
    class Steps(trio.abc.Instrument):
        count = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.count += 1

    steps = Steps()

    async def main() -> int:
        size = 0

        def take(data: bytes) -> None:
            nonlocal size
            size += len(data)

        async with pystack.Network(seed=3) as net, trio.open_nursery() as nursery:
            sender, receiver = await joined(net, rate="5mbit", delay="10ms")
            nursery.start_soon(send_and_close, sender, 256 * 1000)
            trio.lowlevel.add_instrument(steps)
            await receiver.receive_each(take)
            trio.lowlevel.remove_instrument(steps)
        return size

    assert pystack.run(main) == 256 * 1000
    assert steps.count < 10  # of 177 segments


def test_what_take_raises_is_raised_in_the_task_and_the_stream_goes_on() -> None:
    async def main() -> int:
        came: list[bytes] = []

        def take(data: bytes) -> None:
            came.append(data)
            if len(came) == 3:
                raise WrongError

        async with pystack.Network(seed=3) as net, trio.open_nursery() as nursery:
            sender, receiver = await joined(net, rate="5mbit", delay="10ms")
            nursery.start_soon(send_and_close, sender, 256 * 100)
            with pytest.raises(WrongError):
                await receiver.receive_each(take)
            while data := await receiver.receive_some():
                came.append(data)
        return sum(map(len, came))

    assert pystack.run(main) == 256 * 100


def test_only_one_task_receives() -> None:
    async def main() -> None:
        async with pystack.Network(seed=3) as net, trio.open_nursery() as nursery:
            _, receiver = await joined(net, delay="10ms")
            nursery.start_soon(receiver.receive_each, bytes)
            await trio.sleep(0.1)
            with pytest.raises(trio.BusyResourceError):
                await receiver.receive_some()
            with pytest.raises(trio.BusyResourceError):
                await receiver.receive_each(bytes)
            nursery.cancel_scope.cancel()

    pystack.run(main)


def test_a_reset_is_raised() -> None:
    async def main() -> None:
        async with pystack.Network(seed=3) as net:
            sender, receiver = await joined(net, delay="10ms")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.send_all, b"text")
                await trio.sleep(0.1)
                sender.abort()
                with pytest.raises(trio.BrokenResourceError, match="reset"):
                    await receiver.receive_each(bytes)

    pystack.run(main)


def test_a_stream_that_is_closed_meanwhile_is_told_of() -> None:
    async def main() -> None:
        async with pystack.Network(seed=3) as net, trio.open_nursery() as nursery:
            _, receiver = await joined(net, delay="10ms")

            async def receive() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await receiver.receive_each(bytes)

            nursery.start_soon(receive)
            await trio.sleep(0.1)
            receiver.close()

    pystack.run(main)


@pytest.mark.parametrize("each", [True, False])
@pytest.mark.parametrize("ends", ["raises", "closes", "cancels"])
def test_take_is_called_no_more_when_it_has_ended_it(ends: str, each: bool) -> None:
    """As in a loop over `receive_some`, though more has come at the same instant."""
    came: list[bytes] = []

    async def main() -> None:
        def take(data: bytes) -> None:
            came.append(data)
            if ends == "raises":
                raise WrongError
            if ends == "closes":
                receiver.close()
            scope.cancel()

        async with pystack.Network(seed=3) as net, trio.open_nursery() as nursery:
            sender, receiver = await joined(net, delay="10ms")
            nursery.start_soon(send_and_close, sender, 256 * 100)
            with trio.CancelScope() as scope, suppress(WrongError, trio.ClosedResourceError):
                if each:
                    await receiver.receive_each(take, max_bytes=100)
                while data := await receiver.receive_some(100):
                    take(data)
            nursery.cancel_scope.cancel()

    pystack.run(main)
    assert [len(data) for data in came] == [100]


def test_take_has_the_variables_of_its_task() -> None:
    """Of which one says whose program it is."""
    own: ContextVar[str] = ContextVar("own", default="nobody's")
    seen: list[str] = []

    def take(_data: bytes) -> None:
        seen.append(own.get())
        own.set("the task's, changed")

    async def main() -> str:
        async with pystack.Network(seed=3) as net, trio.open_nursery() as nursery:
            sender, receiver = await joined(net, rate="5mbit", delay="10ms")
            own.set("the task's")
            nursery.start_soon(send_and_close, sender, 256 * 20)
            await receiver.receive_each(take)
        return own.get()

    assert pystack.run(main) == "the task's, changed"
    assert seen == ["the task's", *["the task's, changed"] * (len(seen) - 1)]
    assert len(seen) > 2
