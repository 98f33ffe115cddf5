"""Link: two directions that know nothing of each other, live changes, and its ports."""

from pathlib import Path

import pytest
from pipe_bench import numbered, tcp_frame

from pystack import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.link.patch import Patch
from pystack.link.port import FrameSink, Port
from pystack.link.replay import ReplayPort, read_pcap
from pystack.observe.captures.pcap import PcapWriter
from pystack.observe.observer import Dropped, Event
from pystack.wire import tcp
from pystack.wire.frame import Frame


class Ends:
    """A link, and what came out at each end of it: (instant, bytes)."""

    def __init__(self, scheduler: Scheduler, link: Link) -> None:
        self.at_a: list[tuple[float, bytes]] = []
        self.at_b: list[tuple[float, bytes]] = []
        link.a.attach(lambda frame, now: self.at_a.append((round(now, 9), frame.data)))
        link.b.attach(lambda frame, now: self.at_b.append((round(now, 9), frame.data)))


def make(seed: int = 7, name: str = "x", **words: object) -> tuple[Scheduler, Link, Ends]:
    scheduler = Scheduler()
    config = PipeConfig.parse(**words)
    link = Link(scheduler, seed, name, config, config)
    return scheduler, link, Ends(scheduler, link)


def test_each_direction_has_its_own_configuration() -> None:
    scheduler = Scheduler()
    link = Link(scheduler, 7, "x", PipeConfig(delay_s=0.01), PipeConfig(delay_s=0.03))
    ends = Ends(scheduler, link)
    link.a.send(numbered(1), 0.0)
    link.b.send(numbered(2), 0.0)
    scheduler.run_due(1.0)
    assert [at for at, _ in ends.at_b] == [0.01]
    assert [at for at, _ in ends.at_a] == [0.03]


def test_a_link_s_ends_are_ports() -> None:
    port: Port = make()[1].a
    assert (port.mtu_bytes, port.gso_max_bytes, port.fills_checksums) == (1500, 0, True)


def losses(traffic_back: bool, *, seed: int = 7, name: str = "x") -> list[bytes]:
    scheduler, link, ends = make(seed, name, loss="20%", delay="5ms", jitter="4ms")
    for number in range(300):
        link.a.send(numbered(number), 0.0)
        if traffic_back:
            link.b.send(numbered(number), 0.0)
    scheduler.run_due(1.0)
    return [data for _, data in ends.at_b]


def test_what_goes_from_b_to_a_changes_nothing_from_a_to_b() -> None:
    assert losses(traffic_back=False) == losses(traffic_back=True)


def test_chance_is_of_the_seed_and_of_the_link_s_name() -> None:
    assert losses(traffic_back=False) == losses(traffic_back=False)
    assert losses(traffic_back=False) != losses(traffic_back=False, seed=8)
    assert losses(traffic_back=False) != losses(traffic_back=False, name="y")


def test_the_two_directions_do_not_draw_the_same_numbers() -> None:
    scheduler, link, ends = make(loss="20%")
    for number in range(100):
        link.a.send(numbered(number), 0.0)
        link.b.send(numbered(number), 0.0)
    scheduler.run_due(1.0)
    assert ends.at_a != ends.at_b


def test_set_changes_both_directions_or_one() -> None:
    scheduler, link, ends = make(delay="10ms")
    link.set(delay="20ms", b_to_a={"delay": "30ms"})
    link.a.send(numbered(1), 0.0)
    link.b.send(numbered(2), 0.0)
    link.set(a_to_b={"loss": "100%"})
    link.a.send(numbered(3), 0.0)
    scheduler.run_due(1.0)
    assert [at for at, _ in ends.at_b] == [0.02]
    assert [at for at, _ in ends.at_a] == [0.03]
    assert link.counters == {"loss": 1}


def test_a_wrong_word_for_one_direction_changes_neither() -> None:
    _, link, _ = make(delay="10ms")
    with pytest.raises(ConfigError, match="did you mean 'delay'"):
        link.set(loss="5%", b_to_a={"delai": "1ms"})
    assert link.a_to_b.config == PipeConfig.parse(delay="10ms")


def test_to_set_the_loss_does_not_change_the_numbers_of_the_jitter() -> None:
    def times(loss: str) -> list[float]:
        scheduler, link, ends = make(delay="50ms", jitter="40ms", reorder_by_jitter=True)
        link.set(loss=loss)
        for number in range(50):
            link.a.send(numbered(number), 0.0)
        scheduler.run_due(1.0)
        return [at for at, _ in ends.at_b]

    without, with_loss = times("0%"), times("0.0000001%")
    assert without == with_loss


def test_one_way_down_leaves_the_other_way_up() -> None:
    scheduler, link, ends = make()
    link.down("a_to_b")
    link.a.send(numbered(1), 0.0)
    link.b.send(numbered(2), 0.0)
    scheduler.run_due(1.0)
    assert (len(ends.at_a), len(ends.at_b)) == (1, 0)
    link.up()
    link.a.send(numbered(1), 1.0)
    scheduler.run_due(2.0)
    assert len(ends.at_b) == 1
    assert link.counters == link.a_to_b.counters == {"link_down": 1}


def test_a_direction_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'a_to_b'"):
        make()[1].down("a_to_c")


def test_a_black_hole_in_one_direction() -> None:
    scheduler, link, ends = make()
    link.black_hole(lambda packet: True, "b_to_a")
    link.a.send(numbered(1), 0.0)
    link.b.send(numbered(2), 0.0)
    scheduler.run_due(1.0)
    assert (len(ends.at_a), len(ends.at_b)) == (0, 1)


def test_the_mtu_of_a_direction_may_be_less_than_the_ports_say() -> None:
    scheduler, link, ends = make(mtu=1000)
    assert link.a.mtu_bytes == 1500
    link.a.send(numbered(1, 1514), 0.0)
    link.a.send(numbered(1, 1014), 0.0)
    scheduler.run_due(1.0)
    assert [len(data) for _, data in ends.at_b] == [1014]
    assert link.counters == {"link_mtu": 1}


def test_a_port_with_nobody_plugged_in_and_a_closed_one_count_what_they_refuse() -> None:
    scheduler = Scheduler()
    link = Link(scheduler, 7, "x", PipeConfig(delay_s=0.01))
    link.a.send(numbered(1), 0.0)
    scheduler.run_due(0.1)
    link.a.send(numbered(2), 0.1)
    link.b.close()
    link.b.close()
    link.b.attach(lambda frame, now: None)
    link.b.send(numbered(3), 0.1)
    scheduler.run_due(1.0)
    assert link.counters == {"port_unplugged": 1, "port_closed": 2}


class Watcher:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)


def test_every_drop_is_an_event_and_what_goes_on_is_none() -> None:
    scheduler, link, _ = make(name="wan", duplicate="100%", corrupt="100%", drop=[2])
    watcher = Watcher()
    link.observers.append(watcher)
    link.a.send(numbered(1), 0.25)
    second = numbered(2)
    link.a.send(second, 0.5)
    scheduler.run_due(1.0)
    assert watcher.events == [Dropped(0.5, "wan", "a_to_b", "drop", second.data, second)]


class PlainPort:
    """A port that wants whole frames, and remembers them."""

    mtu_bytes = 1280
    gso_max_bytes = 65536
    fills_checksums = False

    def __init__(self) -> None:
        self.sent: list[tuple[float, Frame]] = []
        self.closed = False
        self.sink: FrameSink = lambda frame, now: None

    def attach(self, sink: FrameSink) -> None:
        self.sink = sink

    def send(self, frame: Frame, now: float) -> None:
        self.sent.append((now, frame))

    def close(self) -> None:
        self.closed = True


def test_a_link_before_a_port_delays_both_ways_and_fills_checksums_in() -> None:
    scheduler, inner = Scheduler(), PlainPort()
    config = PipeConfig(delay_s=0.05)
    link = Link(scheduler, 7, "tap0", config, config)
    Patch(inner, link.b)
    port = link.a
    arrived: list[float] = []
    port.attach(lambda frame, now: arrived.append(now))
    port.send(tcp_frame(payload=b"hello", partial=True), 0.0)
    inner.sink(tcp_frame(), 0.0)
    scheduler.run_due(1.0)
    assert arrived == [0.05]
    ((at, frame),) = inner.sent
    assert (at, frame.data) == (0.05, tcp_frame(payload=b"hello").data)


def test_what_a_capture_holds_arrives_again_at_its_instants(tmp_path: Path) -> None:
    file = tmp_path / "run.pcap"
    with file.open("wb") as stream:
        writer = PcapWriter(stream, 1_700_000_000.0)
        writer.write(tcp_frame(tcp.SYN), 10.0)
        writer.write(tcp_frame(payload=b"x", partial=True), 10.25)
    recording = read_pcap(file)
    scheduler = Scheduler(100.0)
    port = ReplayPort(scheduler, recording)
    arrived: list[tuple[float, bytes]] = []
    port.attach(lambda frame, now: arrived.append((now, frame.data)))
    port.send(numbered(1), 100.0)
    scheduler.run_due(200.0)
    assert arrived == [
        (100.0, tcp_frame(tcp.SYN).data),
        (100.25, tcp_frame(payload=b"x").data),
    ]
    assert port.counters == {"replay_not_listening": 1}


def test_a_replay_that_is_closed_says_no_more() -> None:
    scheduler = Scheduler()
    port = ReplayPort(scheduler, [(0.0, b"a"), (1.0, b"b")])
    arrived: list[bytes] = []
    port.attach(lambda frame, now: arrived.append(frame.data))
    scheduler.run_due(0.5)
    port.close()
    scheduler.run_due(5.0)
    assert arrived == [b"a"]


@pytest.mark.parametrize("data", [b"", b"\x0a\x0d\x0d\x0a" + bytes(40), b"\xd4\xc3\xb2\xa1"])
def test_what_is_no_pcap_file_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "run.pcap"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r"is not a capture|is empty: no capture"):
        read_pcap(file)
