"""Links, pipes, loopbacks and wrappers: what frames travel on."""

import pytest
from stack_bench import FakePort

from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link, LinkPort
from pystack.link.port import LoopbackPort, Port, WrappedPort
from pystack.observe.passage import UNDER_WAY, Passage
from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame


class Sink:
    """What arrives, and when."""

    def __init__(self, port: Port) -> None:
        self.got: list[tuple[float, bytes]] = []
        port.attach(lambda frame, now: self.got.append((now, frame.data)))


class Watcher:
    """Sees frames as they are put on a link."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def on_passage(self, passage: Passage) -> None:
        if passage.end == UNDER_WAY:
            self.sizes.append(len(passage.frame) - 54)


def joined(scheduler: Scheduler, delay_s: float = 0.0) -> tuple[LinkPort, LinkPort]:
    both = PipeConfig(delay_s=delay_s)
    return Link(scheduler, 1, "link", both, both).ports


def super_frame(payload: bytes) -> Frame:
    segment = tcp.Segment(1, 2, 3, 4, tcp.ACK, 5, b"", payload)
    body = tcp.pack_header(segment, 1, 2, partial=True) + payload
    packet = ipv4.pack_header(1, 2, ipv4.TCP, len(body)) + body
    return Frame(ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, packet), CHECKSUM_PARTIAL, 1000)


def test_a_frame_arrives_at_the_other_end_after_the_delay() -> None:
    scheduler = Scheduler()
    a, b = joined(scheduler, 0.25)
    at_a, at_b = Sink(a), Sink(b)
    a.send(Frame(b"there"), 1.0)
    b.send(Frame(b"back"), 1.5)
    scheduler.run_due(10.0)
    assert at_b.got == [(1.25, b"there")]
    assert at_a.got == [(1.75, b"back")]


def test_frames_of_one_instant_arrive_in_the_order_of_sending() -> None:
    scheduler = Scheduler()
    a, b = joined(scheduler)
    at_b = Sink(b)
    for number in range(100):
        a.send(Frame(bytes([number])), 0.0)
    assert at_b.got == []  # never from inside the sender
    scheduler.run_due(0.0)
    assert [data[0] for _, data in at_b.got] == list(range(100))


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        ({"delay": 0.1}, [3000]),
        ({"delay": 0.1, "jitter": 0.01}, [1000] * 3),
        ({"delay": 0.1, "reorder": 0.5}, [1000] * 3),
        ({"loss": 1e-9}, [1000] * 3),
        ({"duplicate": 1e-9}, [1000] * 3),
        ({"corrupt": 1e-9}, [1000] * 3),
        ({"rate": 1e9}, [1000] * 3),
        ({"mtu": 1500}, [1000] * 3),
        ({"slot": "1ms"}, [1000] * 3),
    ],
)
def test_a_link_with_offload_carries_whole_what_it_treats_alike(
    words: dict[str, float | str], sizes: list[int]
) -> None:
    scheduler = Scheduler()
    link = Link(scheduler, 1, "link", offload=True)
    got: list[int] = []
    link.b.attach(lambda frame, now: got.append(len(frame) - 54))
    link.a.send(super_frame(bytes(3000)), 0.0)
    link.set(**words)  # type: ignore[arg-type]
    link.a.send(super_frame(bytes(3000)), 0.0)
    scheduler.run_due(1.0)
    assert sorted(got) == sorted([3000, *sizes])
    assert link.a.gso_max_bytes == link.b.gso_max_bytes == 524_288


def test_a_link_with_offload_that_is_watched_or_down_has_no_super_frames() -> None:
    scheduler = Scheduler()
    link = Link(scheduler, 1, "link", offload=True)
    got: list[int] = []
    link.b.attach(lambda frame, now: got.append(len(frame) - 54))
    link.down()
    link.a.send(super_frame(bytes(3000)), 0.0)
    assert link.counters == {"link_down": 3}
    link.up()
    watcher = Watcher()
    link.watch(watcher)
    link.a.send(super_frame(bytes(3000)), 0.0)
    link.unwatch(watcher)
    link.a.send(super_frame(bytes(3000)), 0.0)
    scheduler.run_due(1.0)
    assert got == [1000, 1000, 1000, 3000]
    assert watcher.sizes == [1000] * 3


def test_what_arrives_together_on_a_link_with_offload_is_one_event_and_keeps_its_order() -> None:
    scheduler = Scheduler()
    link = Link(scheduler, 1, "link", PipeConfig(delay_s=0.1), offload=True)
    events: list[list[int]] = []

    def arrived(frame: Frame, now: float) -> None:
        if not events or not in_burst:
            events.append([])
            in_burst.append(now)
            scheduler.call_soon(lambda now: in_burst.clear())
        events[-1].append(len(frame))

    in_burst: list[float] = []
    link.b.attach(arrived)
    for size in (1, 2):
        link.a.send(Frame(bytes(size)), 0.0)
    link.a.send(super_frame(bytes(3000)), 0.0)
    link.a.send(Frame(bytes(4)), 0.05)
    assert len(scheduler) == 2
    link.set(loss=1e-9)  # from here on each for itself, behind what is on its way
    for size in (5, 6):
        link.a.send(Frame(bytes(size)), 0.05)
    link.set(loss=None)
    link.a.send(Frame(bytes(7)), 0.05)
    scheduler.run_due(1.0)
    assert events == [[1, 2, 3054], [4], [5], [6], [7]]


def test_a_burst_that_is_on_its_way_is_lost_with_the_link() -> None:
    scheduler = Scheduler()
    link = Link(scheduler, 1, "link", PipeConfig(delay_s=0.1), offload=True)
    at_b = Sink(link.b)
    for _ in range(3):
        link.a.send(Frame(b"lost"), 0.0)
    link.down()
    link.a.send(Frame(b"lost"), 0.0)
    link.up()
    link.a.send(Frame(b"there"), 0.0)
    scheduler.run_due(1.0)
    assert at_b.got == [(0.1, b"there")]
    assert link.counters == {"link_down": 4}


def test_a_super_frame_is_cut_on_the_link() -> None:
    scheduler = Scheduler()
    a, b = joined(scheduler)
    at_b = Sink(b)
    a.send(super_frame(bytes(2500)), 0.0)
    scheduler.run_due(0.0)
    assert [len(data) - 54 for _, data in at_b.got] == [1000, 1000, 500]


def test_an_unplugged_end_neither_sends_nor_delivers() -> None:
    scheduler = Scheduler()
    a, b = joined(scheduler, 1.0)
    at_a, at_b = Sink(a), Sink(b)
    b.send(Frame(b"on its way"), 0.0)
    a.close()
    a.close()
    a.send(Frame(b"never"), 0.0)
    scheduler.run_due(5.0)
    assert at_a.got == at_b.got == []


def test_an_end_where_nobody_is_plugged_in_loses_what_arrives() -> None:
    scheduler = Scheduler()
    a, _ = joined(scheduler)
    a.send(Frame(b"nobody"), 0.0)
    scheduler.run_due(1.0)


@pytest.mark.parametrize("delay_s", [-0.001, float("inf"), float("nan")])
def test_an_impossible_delay_is_refused(delay_s: float) -> None:
    with pytest.raises(ConfigError, match="delay"):
        PipeConfig.parse(delay=delay_s)


def test_the_loopback_brings_a_frame_back_at_the_same_instant_but_later() -> None:
    scheduler = Scheduler()
    port = LoopbackPort(scheduler)
    sink = Sink(port)
    port.send(Frame(b"1"), 2.0)
    port.send(Frame(b"2"), 2.0)
    assert sink.got == []
    scheduler.run_due(2.0)
    assert sink.got == [(2.0, b"1"), (2.0, b"2")]
    port.send(Frame(b"3"), 2.0)
    port.close()
    port.close()
    scheduler.run_due(2.0)
    assert len(sink.got) == 2


def test_a_wrapper_is_a_port_that_passes_everything_on() -> None:
    inner = FakePort(mtu_bytes=999)
    outer = WrappedPort(WrappedPort(inner))
    inner.sink(Frame(b"too early"), 0.0)  # nobody is plugged in: nothing happens
    sink = Sink(outer)
    assert (outer.mtu_bytes, outer.gso_max_bytes, outer.fills_checksums) == (999, 0, False)
    outer.send(Frame(b"out"), 1.0)
    inner.sink(Frame(b"in"), 2.0)
    outer.close()
    assert [(at, frame.data) for at, frame in inner.sent] == [(1.0, b"out")]
    assert sink.got == [(2.0, b"in")]
    assert inner.closed


def test_all_of_them_are_ports() -> None:
    scheduler = Scheduler()
    ports: list[Port] = [*joined(scheduler), LoopbackPort(scheduler), WrappedPort(FakePort())]
    for port in ports:
        assert port.mtu_bytes >= 1500
        assert port.gso_max_bytes == 0
