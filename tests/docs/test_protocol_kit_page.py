"""docs/protocol-kit.md: its control of twenty lines works, its tables name what there is."""

import dataclasses
import re
from pathlib import Path

import pytest
import trio

import pystack
from pystack import plugins
from pystack.plugins import CongestionControl

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocol-kit.md").read_text("utf-8")
BLOCKS = re.findall(r"```python[^\n]*\n(.*?)```", PAGE, re.DOTALL)


def test_the_control_is_short_and_shares_a_line_with_newreno() -> None:
    (text,) = [block for block in BLOCKS if "class Mine" in block]
    assert len([line for line in text.splitlines() if line.strip()]) <= 20
    names: dict[str, type] = {}
    exec(text, names)

    async def main() -> list[int]:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="10ms", rate="10mbit", limit=40)
            (listener,) = await b.open_tcp_listeners(9)
            streams = [
                await a.open_tcp_stream("b", 9, congestion=control)
                for control in (names["Mine"], "newreno")
            ]
            assert streams[0].info().congestion == "mine"
            got = [0, 0]

            async def read(number: int, stream: pystack.TcpStream) -> None:
                async for data in stream:
                    got[number] += len(data)

            async def send(stream: pystack.TcpStream) -> None:
                while True:
                    await stream.send_all(bytes(65536))

            async with trio.open_nursery() as nursery:
                for number, stream in enumerate(streams):
                    nursery.start_soon(read, number, await listener.accept())
                    nursery.start_soon(send, stream)
                await trio.sleep(15)
                nursery.cancel_scope.cancel()
            return got

    got = pystack.run(main)
    assert sum(got) * 8 / 15 > 9e6  # it fills the line,
    assert 0.4 < got[0] / sum(got) < 0.7  # and leaves the other its part


def test_the_fields_of_what_a_control_is_told_are_all_there() -> None:
    table = PAGE.partition("| What it is told | has |")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        _, name, fields, _ = row.split("|")
        told = getattr(plugins, name.strip(" `"))
        named = re.findall(r"`([a-z]\w+)`", re.sub(r"\([^)]*\)", "", fields))
        assert named == [field.name for field in dataclasses.fields(told)]


def test_the_samples_fields_are_all_there() -> None:
    table = PAGE.partition("| Field | Unit | |")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))
    assert tuple(named) == pystack.TcpSample._fields


def test_all_that_a_control_is_asked_and_told_is_there() -> None:
    named = set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE))
    flags = {*re.findall(r"`(\w+) = True`", PAGE), *re.findall(r"and `(ect)` is", PAGE)}
    there = {name for name in vars(CongestionControl) if not name.startswith("_")} - {"name"}
    assert there <= named | flags


def test_the_environment_of_the_page_works() -> None:
    pytest.importorskip("gymnasium", reason="the extra gym")
    (text,) = [block for block in BLOCKS if "gymnasium.make" in block]
    names: dict[str, object] = {}
    exec(text, names)
    assert names["terminated"] is False
