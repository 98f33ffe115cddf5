"""What a network costs to build and to settle grows with its size, and not faster."""

import sys

import pytest

from pystack.core.addresses import parse_prefix
from pystack.core.scheduler import Scheduler
from pystack.link.link import Link
from pystack.topology.switch import Switch
from pystack.topology.topology import Topology


def calls(shape: str, hosts: int) -> int:
    """Return how many functions are called to build and settle; generators each time they go on."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    net = Topology(Scheduler(), 7, parse_prefix("10.0.0.0/8"), parse_prefix("fd00::/64"))
    sys.setprofile(note)
    try:
        centre = ["c0"]
        if shape == "switch":
            net.switch(Switch("c0"))
        else:
            net.router("c0")
        if shape == "tree":
            for number in range(1, 8):
                net.router(f"c{number}")
                net.link(f"c{number}", f"c{(number - 1) // 2}", make=Link)
            centre = [f"c{number}" for number in range(4, 8)]
        if shape == "ring":
            net.switch(Switch("s0"))
            for number in range(1, hosts):
                net.switch(Switch(f"s{number}"))
                net.link(f"s{number}", f"s{number - 1}", make=Link)
            net.link("s0", f"s{hosts - 1}", make=Link)
        for number in range(hosts):
            net.host(f"h{number}")
            net.link(f"h{number}", centre[number % len(centre)], make=Link)
        net.settle()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("shape", ["router", "switch", "tree", "ring"])
def test_four_times_the_hosts_take_four_times_the_work(shape: str) -> None:
    assert calls(shape, 400) < 5 * calls(shape, 100)


def test_what_is_built_later_and_apart_takes_no_longer_where_there_is_much() -> None:
    net = Topology(Scheduler(), 7, parse_prefix("10.0.0.0/8"), parse_prefix("fd00::/64"))
    counts: list[int] = []

    def note(_frame: object, event: str, _argument: object) -> None:
        counts[-1] += event == "call"

    for number in range(200):
        counts.append(0)
        sys.setprofile(note)
        try:
            names = f"a{number}", f"b{number}"
            for last, name in enumerate(names, 1):
                net.host(name, f"10.1.{number}.{last}/24", f"fd00:{number}::{last}/64")
            net.link(*names, make=Link)
            net.settle()
        finally:
            sys.setprofile(None)
    assert counts[199] <= 1.1 * counts[5]
