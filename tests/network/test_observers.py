"""Observers by their names: from Python, from a lab's file, and from the command line."""

from pathlib import Path

import dpkt
import pytest
from lab_runs import Run

import pystack
from pystack.observe.observer import Event, FrameSeen

LAB = """\
observe = [%s]
[hosts.a]
programs = [{ run = "lab_programs_for_tests:pings", args = ["b", 1] }]
[hosts.b]
[[links]]
between = ["a", "b"]
delay = "20ms"
"""
LADDER = [
    "time         a             b",
    "0.040000     |------------>|  a > b: ICMP echo request, id 1, seq 1, length 64",
    "0.060000     |<------------|  b > a: ICMP echo reply, id 1, seq 1, length 64",
]


async def pinged(*observers: str | dict[str, object]) -> list[str]:
    """Return what observers say of a ping."""
    said: list[str] = []
    async with pystack.Network(seed=1) as net:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay="20ms")
        for observer in observers:
            net.observe(observer, say=said.append)
        await a.ping("b")
    return said


def test_a_ladder_is_drawn_in_the_end() -> None:
    assert pystack.run(pinged, "ladder rungs 2") == LADDER
    assert pystack.run(pinged, {"name": "ladder", "rungs": 2}) == LADDER
    assert len(pystack.run(pinged, "ladder")) == 1 + 4


def test_a_log_has_a_line_for_each_event_and_if_wanted_for_each_packet() -> None:
    events = pystack.run(pinged, "log")
    assert events[0] == "00:00:00.000000 a name b known: 10.0.0.2, fd00::2"
    ways = [line for line in events if " route to " in line]
    assert [line.split()[1] for line in ways] == ["a", "b"]
    arp = [line for line in events if " neighbor " in line]
    assert len(arp) == len(events) - 3
    assert arp[0].startswith("00:00:00.020000 b eth0 neighbor 10.0.0.1 ")
    lines = pystack.run(pinged, "log packets")
    assert len(lines) == len(events) + 8  # two frames of ARP, two of ICMP, each seen twice
    request = "10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 1, length 64"
    assert f"00:00:00.040000 a eth0  Out IP {request}" in lines


def test_a_capture_may_be_of_one_host(tmp_path: Path) -> None:
    path = tmp_path / "run.pcap"
    pystack.run(pinged, f"pcap file '{path}' host b")
    with path.open("rb") as file:
        assert len(list(dpkt.pcap.Reader(file))) == 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lader", "there is no observer 'lader'; did you mean 'ladder'?"),
        ("ladder rung 3", "observer ladder has no word 'rung'; did you mean 'rungs'?"),
        ("ladder rungs no", "observer ladder: rungs 'no' is not possible: a whole number from 1"),
        ("ladder rungs 0", "observer ladder: rungs '0' is not possible: a whole number from 1"),
        ("pcap", "observer pcap needs the word 'file'"),
    ],
)
def test_a_mistake_is_told_when_the_observer_is_asked_for(text: str, sentence: str) -> None:
    with pytest.raises(pystack.ConfigError) as caught:
        pystack.run(pinged, text)
    assert str(caught.value).startswith(sentence)


def test_an_observer_of_ones_own_is_taken_as_it_is() -> None:
    class Counts:
        frames = 0

        def on_event(self, event: Event) -> None:
            self.frames += isinstance(event, FrameSeen)

    async def main() -> int:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b)
            counts = Counts()
            net.observe(counts)
            await a.ping("b")
        return counts.frames

    assert pystack.run(main) == 8


def test_a_labs_file_and_the_command_line_name_observers(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.pcap"
    words = f'"ladder rungs 2", {{ name = "pcap", file = "{path}" }}'
    lines = run(LAB % words, observe=("ladder rungs 1",))
    assert lines[-5:] == [*LADDER, LADDER[0], LADDER[2]]
    assert path.stat().st_size > 24


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ('"log", "lader"', "1: there is no observer 'lader'; did you mean 'ladder'?"),
        ("7", "1: observe #1 must be a text in quotes, not a whole number (7)"),
        ('{ rungs = 3 }', "1: an observer needs its 'name', not None"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_has_its_line(run: Run, words: str, sentence: str) -> None:
    with pytest.raises(pystack.ConfigError) as caught:
        run(LAB % words)
    assert str(caught.value).endswith(f"lab.toml:{sentence}")
