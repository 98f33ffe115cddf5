"""What arrives at a port where nobody is plugged in, or not any more, is counted: at every port."""

from collections.abc import Callable

import pytest

from pystack.core.addresses import ZERO_MAC
from pystack.core.scheduler import Scheduler
from pystack.link.link import Link
from pystack.link.patch import SideDoor
from pystack.link.port import LoopbackPort, PortBase, WrappedPort
from pystack.link.replay import ReplayPort
from pystack.topology.nodes import Station
from pystack.wire.frame import Frame

FRAME = Frame(b"\xff" * 60)


class Inner(PortBase):
    """A port at which frames arrive by hand."""

    def send(self, frame: Frame, now: float) -> None:
        self.sink(frame, now)


def _station(inner: PortBase) -> PortBase:
    station = Station("s", ZERO_MAC)
    station.plug(Inner(1500))
    return station


MAKERS: dict[str, Callable[[PortBase], PortBase]] = {
    "base": lambda inner: inner,
    "wrapped": lambda inner: WrappedPort(inner),  # type: ignore[arg-type]
    "side door": lambda inner: SideDoor(inner, ZERO_MAC),  # type: ignore[arg-type]
    "beside": lambda inner: SideDoor(inner, ZERO_MAC).station,  # type: ignore[arg-type]
    "station": _station,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_what_arrives_for_nobody_is_counted(kind: str) -> None:
    port = MAKERS[kind](Inner(1500))
    port.sink(FRAME, 0.0)
    assert port.counters == {"port_unplugged": 1}
    heard: list[Frame] = []
    port.attach(lambda frame, now: heard.append(frame))
    port.sink(FRAME, 0.0)
    assert (heard, port.counters) == ([FRAME], {"port_unplugged": 1})
    port.close()
    port.attach(lambda frame, now: heard.append(frame))
    port.sink(FRAME, 0.0)
    assert (heard, port.counters) == ([FRAME], {"port_unplugged": 1, "port_closed": 1})


def test_a_loopback_counts_what_comes_back_for_nobody() -> None:
    scheduler = Scheduler()
    port = LoopbackPort(scheduler)
    port.send(FRAME, 0.0)
    scheduler.run_due(0.0)
    port.send(FRAME, 0.0)
    port.close()
    scheduler.run_due(0.0)
    assert port.counters == {"port_unplugged": 1, "port_closed": 1}


def test_a_replay_that_was_closed_does_not_begin() -> None:
    scheduler = Scheduler()
    port = ReplayPort(scheduler, [(0.0, b"a")])
    port.close()
    port.attach(lambda frame, now: pytest.fail("it was closed"))
    scheduler.run_due(1.0)


def test_an_end_of_a_link_counts_for_the_link() -> None:
    scheduler = Scheduler()
    link = Link(scheduler, 1, "l")
    link.a.send(FRAME, 0.0)
    scheduler.run_due(0.0)
    link.b.close()
    link.a.send(FRAME, 0.0)
    scheduler.run_due(0.0)
    assert link.own_counters == {"port_unplugged": 1, "port_closed": 1}
