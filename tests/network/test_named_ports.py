"""Ports by their names: as a node of a network, and under a host."""

from pathlib import Path

import pytest
import trio
from lab_runs import Run

import pystack

LAB = """\
seed = 3
subnet = "10.5.0.0/24"
[hosts.a]
programs = [{ run = "lab_programs_for_tests:pings", args = ["c", 1] }]
[hosts.c]
[switches.sw]
[ports.past]
port = "replay file '%s'"
[[links]]
between = ["a", "sw"]
[[links]]
between = ["c", "sw"]
delay = "10ms"
[[links]]
between = ["past", "sw"]
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Return a capture of one ping, of what host `a` sends and gets."""
    path = tmp_path / "ping.pcap"

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="10ms")
            a.capture(path)
            await a.ping("b")

    pystack.run(main)
    return path


def test_a_recording_is_a_node_whose_frames_come_in_by_its_link(recording: Path) -> None:
    async def main() -> list[str]:
        said: list[str] = []
        async with pystack.Network(seed=2) as net:
            past, b = net.port("past", f"replay file '{recording}'"), net.host("b")
            assert past.name == "past"
            net.link(past, b, delay="5ms")
            net.observe("log packets", say=said.append)
            await trio.sleep(1)
            assert past.address == "10.0.0.1"  # of whoever is on the far side
            assert b.counters["eth_for_others"] == 3  # the recording's other frames
        return said

    # The ping began with ARP, to everybody, and took 20 ms for it; what arrives is 5 ms later.
    first, *others = pystack.run(main)
    assert first.startswith("00:00:00.005000 b eth0  In  ARP, Request who-has 10.0.0.2 tell 10.0")
    assert [line[:15] for line in others if "  In  " in line] == [
        "00:00:00.025000",
        "00:00:00.025000",
        "00:00:00.045000",
    ]


def test_under_a_host_a_port_is_an_interface(recording: Path) -> None:
    async def main() -> int:
        async with pystack.Network(seed=2) as net:
            host = net.host("host", address="10.0.0.9/24")
            net.attach(host, {"name": "replay", "file": str(recording)})
            net.settle()
            await trio.sleep(1)
            return host.counters["eth_for_others"]

    assert pystack.run(main) == 3


def test_what_is_sent_into_a_loopback_comes_back() -> None:
    async def main() -> int:
        async with pystack.Network(seed=2) as net:
            mirror, a = net.port("mirror", "loopback"), net.host("a")
            net.link(mirror, a, delay="5ms")
            with pytest.raises(TimeoutError):
                await a.ping("mirror", timeout_s=0.5)
            return a.counters["arp_address_conflict"] + a.counters["eth_bad_source"]

    assert pystack.run(main) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("replya file x", "there is no port 'replya'; did you mean 'replay'?"),
        ("replay flie x", "port replay has no word 'flie'; did you mean 'file'?"),
        ("replay", "port replay needs the word 'file'"),
        ("tap", "the port tap lives in real time, and this network in virtual time: run the"),
    ],
)
def test_a_mistake_is_told_when_the_port_is_asked_for(text: str, sentence: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=2) as net:
            net.port("x", text)

    with pytest.raises(pystack.ConfigError) as caught:
        pystack.run(main)
    assert str(caught.value).startswith(sentence)


def test_under_a_host_a_tap_is_refused_in_virtual_time() -> None:
    async def main() -> None:
        async with pystack.Network(seed=2) as net:
            net.attach(net.host("host"), "tap device tap0")

    with pytest.raises(pystack.ConfigError, match="the port tap lives in real time"):
        pystack.run(main)


def test_a_file_that_is_not_there_ends_the_network() -> None:
    async def main() -> None:
        async with pystack.Network(seed=2) as net:
            net.link(net.port("past", "replay file /none.pcap"), net.host("b"))
            await trio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        pystack.run(main)
    assert "port replay: cannot read the capture /none.pcap" in str(caught.value.exceptions[0])


def test_a_labs_file_has_ports(run: Run, recording: Path) -> None:
    assert run(LAB % recording)[-1] == "0.000 40 ms"  # with ARP


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("port =", "prt =", "8: there is no word 'prt' in ports.past; did you mean 'port'?"),
        ("port =", "address = '10.0.0.7/24'  #", "7: this ports entry has no 'port', and needs it"),
        ("replay", "replya", "7: past: there is no port 'replya'; did you mean 'replay'?"),
        ("replay file", "tap device", "7: the port past lives in real time; run the lab without"),
        ("\"replay file '%s'\"", "7", "7: past: port must be a text or a table, not a whole"),
    ],
)
def test_a_mistake_in_a_file_has_its_line(run: Run, right: str, wrong: str, sentence: str) -> None:
    text = LAB.replace(right, wrong)
    with pytest.raises(pystack.ConfigError) as caught:
        run(text % "x" if "%s" in text else text)
    assert f"lab.toml:{sentence}" in str(caught.value)
