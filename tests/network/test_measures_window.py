"""The meter's window, and the flows that begin and end in it or outside of it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

import pytest
import trio

import pystack
from pystack.experiments.measures.flows import Chosen, FlowBook
from pystack.experiments.measures.meter import Meter

Main = Callable[[], Awaitable[object]]


def measured(
    main: Main, words: Iterable[str], **asked: float
) -> Mapping[str, bool | int | float | str | None]:
    meter = Meter(words, **asked)  # type: ignore[arg-type]
    with meter:
        pystack.run(main)
    return meter.result()[0]


def bulk(*flows: tuple[float, int], until: float) -> Main:
    """Send so much from a to b at each instant, over 8 Mbit/s."""

    async def send(a: pystack.Host, port: int, at: float, size: int) -> None:
        await trio.sleep(at)
        async with await a.open_tcp_stream("b", port) as stream:
            await stream.send_all(bytes(size))
            await stream.send_eof()
            await stream.receive_some(1)

    async def serve(listener: pystack.TcpListener) -> None:
        async with await listener.accept() as stream:
            while await stream.receive_some(1 << 16):
                pass

    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, rate="8mbit", delay="10ms", limit=20)
            async with trio.open_nursery() as nursery:
                for port, flow in enumerate(flows, 80):
                    (listener,) = await b.open_tcp_listeners(port)
                    nursery.start_soon(serve, listener)
                    nursery.start_soon(send, a, port, *flow)
                await trio.sleep(until)
                nursery.cancel_scope.cancel()

    return main


def test_nothing_is_in_a_window_that_would_begin_after_the_end() -> None:
    words = ["goodput", "goodput max", "retransmits", "retransmits rate", "loss", "flows"]
    found = measured(bulk((0, 500_000), until=1), words, after_s=3.0)
    assert dict(found) == {
        "goodput_bps": None,
        "goodput_max_bps": None,
        "retransmits": 0,
        "retransmits_rate": None,
        "loss_frames": 0,
        "flows_opened": 1,
    }


def test_flows_that_are_never_there_together_are_not_compared() -> None:
    found = measured(bulk((0, 50_000), (1, 50_000), until=3), ["fairness"])
    assert found["fairness"] is None


def test_who_ended_before_the_window_or_without_a_byte_is_not_compared() -> None:
    two = bulk((0, 2_000_000), (0, 2_000_000), until=3)
    four = bulk((0, 2_000_000), (0, 2_000_000), (0, 5_000), (2, 0), until=3)
    alone = measured(two, ["fairness"], after_s=1.0)
    among = measured(four, ["fairness"], after_s=1.0)
    assert alone["fairness"] > 0.9  # type: ignore[operator]
    assert among["fairness"] == pytest.approx(alone["fairness"], abs=0.1)


def test_who_starves_until_the_end_is_compared() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, rate="8mbit", delay="10ms")
            listeners = await b.open_tcp_listeners(80)
            one, _ = await a.open_tcp_stream("b", 80), await a.open_tcp_stream("b", 80)
            other = await listeners[0].accept()
            await one.send_all(bytes(10_000))
            await other.receive_some(1 << 16)
            await trio.sleep(1)

    found = measured(main, ["fairness"])
    assert found["fairness"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("begins_s", "before"),
    [(0.5, 3_000), (1.5, 10_000)],  # the FIN is acknowledged after 1 s: in the window, before it
)
def test_the_fin_is_no_byte_of_a_flow_whose_receiver_is_not_of_the_network(
    begins_s: float, before: int
) -> None:
    async def main() -> tuple[int, int]:
        async with pystack.Network(seed=1, ip="4") as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, rate="8mbit", delay="10ms")
            # Hears of a alone: of what b receives it knows by a's acknowledgments
            book = FlowBook(Chosen(None), net.now, str, on_state=lambda *_: None, compares=False)
            book.host_added(a.stack)
            net.at(begins_s, book.begin)
            listeners = await b.open_tcp_listeners(80)
            stream = await a.open_tcp_stream("b", 80)
            other = await listeners[0].accept()
            await stream.send_all(bytes(3_000))
            await trio.sleep_until(1)
            await stream.send_all(bytes(7_000))
            await stream.send_eof()
            while await other.receive_some(1 << 16):
                pass
            await trio.sleep_until(2)
            (way,) = (flow.way() for flow in book.flows)
            assert way.receiver is None
            return way.delivered_before(), way.delivered()

    assert pystack.run(main) == (before, 10_000)
