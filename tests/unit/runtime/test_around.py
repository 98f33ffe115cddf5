"""The network around a command: a line to one node, or a node's place in a lab."""

from pathlib import Path
from typing import Literal

import pytest

from pystack.core.addresses import format_ip
from pystack.core.errors import ConfigError
from pystack.runtime.lab.around import CLIENT, Line, beside, in_place_of, link_of
from pystack.topology.building import build
from pystack.topology.file import load_timeline, parse
from pystack.topology.spec import LabSpec, NodeSpec

SERVER = NodeSpec(name="server", kind="host", line=0)
OFFICE = """
seed = 3
[hosts.laptop]
address = "10.0.0.7/24"
[hosts.web]
serve = ["http"]
[routers.r1]
[[links]]
between = ["laptop", "r1"]
delay = "20ms"
[[links]]
between = ["r1", "web"]
[[timeline]]
at = "1s"
link = ["laptop", "r1"]
set = { loss = "10%" }
"""


def addresses(spec: LabSpec, name: str) -> list[str]:
    """Return what a node of it gets."""
    given = build(spec).nodes[name].given
    return [f"{format_ip(address)}/{prefix.length}" for address, prefix in given]


@pytest.mark.parametrize(
    ("version", "own", "far"),
    [
        (None, ["10.77.0.2/24", "fd77::2/64"], ["10.77.0.1/24", "fd77::1/64"]),
        (4, ["10.77.0.2/24"], ["10.77.0.1/24"]),
        (6, ["fd77::2/64"], ["fd77::1/64"]),
    ],
)
def test_a_command_and_what_is_beside_it_have_addresses_of_each_version(
    version: Literal[4, 6] | None, own: list[str], far: list[str]
) -> None:
    line = Line(words={"delay": "50ms"}, preset="lte", version=version)
    spec = beside(SERVER, line, {"offload": True}, seed=5)
    assert addresses(spec, CLIENT) == own
    assert addresses(spec, "server") == far
    assert line.gateways() == [text.partition("/")[0] for text in far]
    assert spec.nodes[CLIENT].words == {"offload": True}


@pytest.mark.parametrize(
    ("words", "said"),
    [({"delay": "1x"}, "'1x' is not a time"), ({"loss": "120%"}, "120%")],
)
def test_a_line_that_cannot_be_is_refused_at_once(words: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Line(words=words)


def test_a_host_of_a_lab_gives_its_place_to_the_command() -> None:
    office = parse(OFFICE)
    spec, node = in_place_of(office, "laptop", {"offload": True})
    assert node == "laptop"
    assert spec.nodes["laptop"].kind == "namespace"
    assert spec.nodes["laptop"].words == {"offload": True}
    assert addresses(spec, "laptop") == addresses(office, "laptop")
    assert addresses(spec, "laptop")[0] == "10.0.0.7/24"
    assert spec.timeline == office.timeline
    assert link_of(spec, "laptop") == ("laptop", "r1")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("lapto", "--as lapto: lab.toml has no such node; did you mean 'laptop'"),
        ("r1", "--as r1: it is a router; a command can be a host or a namespace"),
        (None, "say which node of lab.toml the command is: --as NODE"),
    ],
)
def test_what_cannot_be_the_commands_place_is_said(wanted: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        in_place_of(parse(OFFICE), wanted, {})


def test_a_host_with_two_links_or_none_is_no_place_for_a_command() -> None:
    two = OFFICE + '[[links]]\nbetween = ["laptop", "web"]\n'
    with pytest.raises(ConfigError, match="a command has one interface, and web has 2 links"):
        in_place_of(parse(two), "web", {})
    alone = parse("[hosts.a]\n")
    with pytest.raises(ConfigError, match="a has no links"):
        in_place_of(alone, "a", {})


@pytest.mark.parametrize("names", [["client", "other"], ["other"]])
def test_without_a_word_it_is_the_client_or_the_only_namespace(names: list[str]) -> None:
    lines = [f"[namespaces.{name}]\ndns = false\n" for name in names]
    links = [f'[[links]]\nbetween = ["{name}", "sw"]\n' for name in names]
    spec = parse("".join(["[switches.sw]\n[hosts.far]\n", *lines, *links]))
    assert in_place_of(spec, None, {})[1] == names[0]


def test_a_timeline_of_its_own_is_about_the_line_unless_it_says_otherwise(tmp_path: Path) -> None:
    spec = beside(SERVER, Line(), {}, seed=1)
    file = tmp_path / "worse.toml"
    file.write_text(
        '[[timeline]]\nat = "2s"\nset = { loss = "5%" }\n'
        '[[timeline]]\nat = "3s"\ndown = true\n'
        '[[timeline]]\nat = "4s"\nup = ["server", "client"]\n'
    )
    events = load_timeline(file, spec, (CLIENT, "server"))
    assert [(event.at_s, event.action, event.link) for event in events] == [
        (2.0, "set", ("client", "server")),
        (3.0, "down", ("client", "server")),
        (4.0, "up", ("server", "client")),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = 3\n", ":1: there is no word 'seed'"),
        ('[[timeline]]\nat = "2s"\nset = { los = "5%" }\n', ":3: "),
        ('[[timeline]]\nat = "2s"\npower_off = "client"\n', ":3: client has no power"),
        ('[[timeline]]\nset = { loss = "5%" }\n', ":1: "),
    ],
)
def test_what_is_wrong_with_a_timeline_is_said_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "worse.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_timeline(file, beside(SERVER, Line(), {}, seed=1), (CLIENT, "server"))


def test_a_timeline_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_timeline(tmp_path / "none", beside(SERVER, Line(), {}, seed=1), (CLIENT, "server"))
