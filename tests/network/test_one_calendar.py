"""What shows a date in virtual time shows that of the world's calendar."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

import pystack
from pystack.core.errors import ConfigError
from pystack.observe.captures.capture_file import CaptureFile
from pystack.topology import file

EPOCH = 1903860000  # 2030-05-01T10:00:00Z


async def ping(net: pystack.Network) -> None:
    a, b = net.host("a"), net.host("b")
    net.link(a, b, delay="10ms")
    await trio.sleep(5)
    await a.ping("b")


@pytest.mark.parametrize("name", ["run.pcapng", "run.pcap"])
def test_captures(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, epoch=EPOCH) as net:
            net.capture(tmp_path / name)
            await ping(net)

    pystack.run(main)
    frames = list(CaptureFile(tmp_path / name))
    assert frames[0].at_ns == (EPOCH + 5) * 10**9


def test_the_log_for_programs() -> None:
    lines: list[str] = []

    async def main() -> None:
        async with pystack.Network(seed=1, epoch="2030-05-01T10:00:00Z") as net:
            net.observe("json packets", say=lines.append)
            await ping(net)

    pystack.run(main)
    frames = [line for line in map(json.loads, lines) if line["event"] == "FrameSeen"]
    assert frames[0]["time"] == "2030-05-01T10:00:05+00:00"


def test_the_log_for_people_shows_how_long_it_is_since_the_start() -> None:
    lines: list[str] = []

    async def main() -> None:
        async with pystack.Network(seed=1, epoch="2030-05-01T10:00:00Z") as net:
            net.observe("log packets", say=lines.append)
            await ping(net)

    pystack.run(main)
    assert any(line.startswith("00:00:05.000000 ") for line in lines)


LAB = """
seed = 1
epoch = 2030-05-01T10:00:00Z

[hosts.a]
clock_offset = "-2s"
clock_drift = "50ppm"
[hosts.b]

[[links]]
between = ["a", "b"]
"""


def test_a_lab_has_the_same_words() -> None:
    spec = file.parse(LAB, "lab.toml")
    assert spec.epoch == EPOCH == datetime(2030, 5, 1, 10, tzinfo=UTC).timestamp()
    assert spec.nodes["a"].words == {"clock_offset": -2.0, "clock_drift": pytest.approx(50e-6)}
    assert spec.nodes["b"].words == {}


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [('"-2s"', '"soon"', 6), ('"50ppm"', '"fast"', 7), ("2030-05-01T10:00:00Z", '"x"', 3)],
)
def test_what_is_wrong_in_a_lab_is_told_with_its_place(before: str, after: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"lab.toml:{line}"):
        file.parse(LAB.replace(before, after), "lab.toml")
