"""Labs on several machines, and with links to others: what is read, refused, shown and the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio

import pystack
from pystack.apps.hosting import start_services
from pystack.runtime.lab.construct import construct
from pystack.runtime.lab.lab import LabOptions, run_lab
from pystack.topology.building import build
from pystack.topology.drawing import as_text, drawing_of
from pystack.topology.file import parse

LAB: Final = """
seed = 7
[machines.left]
address = "192.0.2.1"
nodes = ["a", "r"]
[machines.right]
address = "[2001:db8::2]:5000"
nodes = ["b"]
[hosts.a]
[routers.r]
address = ["10.0.0.1/24", "10.0.1.1/24", "10.9.0.1/24"]
[hosts.b]
[[links]]
between = ["a", "r"]
[[links]]
between = ["r", "b"]
key = "a secret of ours"
[[links]]
between = ["r", "udp://192.0.2.3"]
vni = 9
"""


def test_a_lab_shows_what_is_where_and_no_secret() -> None:
    spec = parse(LAB)
    shown = "\n".join(as_text(drawing_of(spec, build(spec))))
    assert "host a  10.0.0.2/24 fd00::1/64  [on left]" in shown
    assert "host b  10.0.1.2/24 fd00:0:0:1::2/64  [on right]   (with a key)" in shown
    assert "machine udp://192.0.2.3   (vni 9)" in shown
    assert "a secret" not in shown + repr(spec)


@pytest.mark.parametrize(
    ("was", "now", "sentence"),
    [
        ('nodes = ["b"]', 'nodes = ["b", "a"]', "lab.toml:8: a is on left already"),
        ('nodes = ["b"]', "nodes = []", "b is on no machine"),
        ('nodes = ["b"]', 'nodes = ["c"]', "lab.toml:8: there is no node 'c'"),
        ('address = "192.0.2.1"', "", "this machine has no 'address'"),
        ('"[2001:db8::2]:5000"', '"2001:db8::2"', "lab.toml:7: .* stands in brackets"),
        ('key = "a secret', 'listen = ":5"\nkey = "a secret', r"said in \[machines\]"),
        ('between = ["a", "r"]', 'between = ["a", "r"]\nvni = 5', "lab.toml:15: vni belongs to"),
        ("vni = 9", "vni = 9\nvnii = 3", "there is no word 'vnii'"),
        ("vni = 9", "vni = -1", "a vni is a whole number"),
        ('"r", "udp://192.0.2.3"', '"udp://192.0.2.4", "udp://192.0.2.3"', "a link has one end"),
        (', "10.9.0.1/24"]', "]", "r needs an address by hand"),
    ],
)
def test_what_is_wrong_in_a_lab_is_one_sentence(was: str, now: str, sentence: str) -> None:
    with pytest.raises(pystack.ConfigError, match=sentence):
        parse(LAB.replace(was, now))


def test_a_lab_on_machines_asks_for_what_it_needs(tmp_path: Path) -> None:
    spec = parse(LAB, str(tmp_path / "lab.toml"))
    for options, sentence in (
        (LabOptions(machine="lef"), "has no machine 'lef'; did you mean 'left'"),
        (LabOptions(machine="left", virtual=True), "the link between r and udp://192.0.2.3 leaves"),
    ):
        with pytest.raises(pystack.ConfigError, match=sentence):
            run_lab(spec, options, start_services, print)
    without = parse(LAB.replace("seed = 7", ""))
    with pytest.raises(pystack.ConfigError, match="all machines need the same"):
        run_lab(without, LabOptions(machine="left"), start_services, print)


def test_all_machines_have_the_same_addresses_and_macs_for_all_nodes() -> None:
    text = LAB.replace("192.0.2.1", "127.0.0.1:%d").replace("[2001:db8::2]:5000", "127.0.0.1:%d")
    spec = parse(text % (14789, 14790))
    spec = replace(spec, links=spec.links[:2])
    seen = []

    async def look(machine: str | None) -> None:
        async with pystack.Network(seed=7) as net:
            construct(net, spec, machine)
            net.settle()
            seen.append(
                {
                    (name, end.name): (end.given, end.interface and end.interface.mac)
                    for name, node in net.topology.nodes.items()
                    for end in node.ends
                }
            )

    for machine in ("left", "right", None):
        trio.run(look, machine)
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 4
