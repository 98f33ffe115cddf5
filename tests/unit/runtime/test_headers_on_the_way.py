"""What a router knows of a frame's headers, the next station need not read."""

from functools import partial

import pytest

import pystack
from pystack.core.addresses import Mac
from pystack.experiments.scenes import dumbbell
from pystack.observe.observer import Event, FrameSeen
from pystack.runtime.onlookers import onlookers
from pystack.stack.host import Host
from pystack.topology.addressing import IpVersions
from pystack.topology.nodes import Node
from pystack.wire import headers
from pystack.wire.frame import Frame


class Arrivals:
    """What arrives at all hosts."""

    def __init__(self) -> None:
        self.frames: dict[str, list[Frame]] = {}

    def opened(self, network: pystack.Network) -> None:
        network.topology.watching.builders.append(self)

    def node_added(self, node: Node) -> None:
        if isinstance(node.device, Host):
            node.device.observers.append(self)

    def link_added(self, _link: pystack.Link) -> None:
        pass

    def on_event(self, event: Event) -> None:
        if isinstance(event, FrameSeen) and not event.sent:
            self.frames.setdefault(event.host, []).append(event.frame)


@pytest.mark.parametrize("ip", ["4", "6"])
def test_what_a_frame_says_of_its_headers_is_what_is_read_in_it(ip: IpVersions) -> None:
    arrivals = Arrivals()
    token = onlookers.set((arrivals.opened,))
    try:
        pystack.run(partial(dumbbell, ip=ip, qdisc="codel ecn", ecn="request", duration="1s"))
    finally:
        onlookers.reset(token)
    known = 0
    for frames in arrivals.frames.values():
        for frame in frames:
            if frame.headers is not None:
                known += 1
                assert frame.headers == headers.read(Frame(frame.data), Mac(frame.data[:6]))
    to_routers = arrivals.frames["r1"] + arrivals.frames["r2"]
    assert known > 0.45 * len(to_routers)  # all that has passed one
    marked = [frame for frame in arrivals.frames["right1"] if is_marked(frame)]
    assert marked, "CoDel has marked none"
    assert all(frame.headers is None or frame.headers[2] & 3 == 3 for frame in marked)


def is_marked(frame: Frame) -> bool:
    plain = headers.read(Frame(frame.data), Mac(frame.data[:6]))
    return plain is not None and plain[2] & 3 == 3
