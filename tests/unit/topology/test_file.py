"""A lab's file: what it says becomes values, and a fault is told with its line and its word."""

from pathlib import Path

import pytest

from pystack.core.addresses import format_ip
from pystack.core.errors import ConfigError
from pystack.topology.building import build
from pystack.topology.file import load, parse

LAB = """\
seed = 7
subnet = "10.1.0.0/24"

[hosts.client]
programs = [{ run = "web:ask", args = ["server", 80] }]

[routers.r1]
address = ["10.1.0.254/24", "10.1.1.254/24"]

[switches.sw]
ageing = "60s"

[hosts.server]
serve = ["http", "echo:7000"]
routes = [{ destination = "10.9.0.0/16", via = "r1" }]

[[links]]
between = ["client", "r1"]
delay = "20ms"
loss = "1%"
a_to_b = { rate = "10mbit", limit = 50 }

[[links]]
between = ["r1", "sw"]
mtu_bytes = 1400

[[links]]
between = ["sw", "server"]
preset = "lte"

[[timeline]]
at = 5
link = ["client", "r1"]
set = { loss = "30%", b_to_a = { rate = "1mbit" } }

[[timeline]]
at = "8s"
partition = [["client"], ["server", "sw"]]

[[timeline]]
at = 9
heal = true

[[timeline]]
at = 10
down = ["r1", "client"]
direction = "a_to_b"

[[timeline]]
at = 11
power_off = "server"
"""


def test_the_words_of_a_file_become_values() -> None:
    spec = parse(LAB)
    assert (spec.seed, spec.subnets) == (7, {"subnet": "10.1.0.0/24"})
    assert [(node.kind, node.name) for node in spec.nodes.values()] == [
        ("host", "client"),
        ("router", "r1"),
        ("switch", "sw"),
        ("host", "server"),
    ]
    (program,) = spec.nodes["client"].programs
    assert (program.run, program.args, program.line) == ("web:ask", ("server", 80), 5)
    assert spec.nodes["server"].serve == ("http", "echo:7000")
    assert spec.nodes["server"].routes == (("10.9.0.0/16", "r1", 15),)
    assert spec.nodes["sw"].words == {"ageing": "60s"}
    first, second, third = spec.links
    assert (first.a, first.b, first.words) == ("client", "r1", {"delay": "20ms", "loss": "1%"})
    assert (first.a_to_b, first.b_to_a) == ({"rate": "10mbit", "limit": 50}, {})
    assert (second.words, third.words) == ({"mtu_bytes": 1400}, {"preset": "lte"})
    assert [(event.at_s, event.action) for event in spec.timeline] == [
        (5.0, "set"),
        (8.0, "partition"),
        (9.0, "heal"),
        (10.0, "down"),
        (11.0, "power_off"),
    ]
    assert spec.timeline[0].words == {"loss": "30%", "b_to_a": {"rate": "1mbit"}}
    assert spec.timeline[3].link == ("r1", "client")
    assert spec.timeline[3].direction == "a_to_b"


def test_a_file_that_is_right_can_be_built() -> None:
    topology = build(parse(LAB))
    assert {
        node.name: [format_ip(address) for address, _prefix in node.given]
        for node in topology.nodes.values()
    } == {
        "client": ["10.1.0.1", "fd00::1"],
        "r1": ["10.1.0.254", "fd00::2", "10.1.1.254", "fd00:0:0:1::1"],
        "sw": [],
        "server": ["10.1.1.1", "fd00:0:0:1::2"],
    }


def test_a_file_says_which_ip_versions_there_are() -> None:
    text = LAB.replace('subnet = "10.1.0.0/24"', 'ip = "both"\nsubnet6 = "fd01::/64"').replace(
        "[hosts.server]", '[hosts.server]\naddress6 = "fd77::1/64"'
    )
    spec = parse(text)
    assert spec.subnets == {"ip": "both", "subnet6": "fd01::/64"}
    assert spec.nodes["server"].addresses == {"address6": "fd77::1/64"}
    given = build(spec).node("server").given
    assert [format_ip(address) for address, _ in given] == ["10.1.1.1", "fd77::1"]


@pytest.mark.parametrize(
    ("right", "wrong", "line", "sentence"),
    [
        ('"10.1.0.0/24"', "'fd00::/64'", 2, "subnet is of IPv4; fd00::/64 belongs to subnet6"),
        ('subnet = "10.1.0.0/24"', "ip = '7'", 2, "ip is one of both, 4, 6, and not '7'"),
        ('subnet = "10.1.0.0/24"', "ip = 6", 2, "ip must be a text in quotes"),
        (
            'subnet = "10.1.0.0/24"',
            "ip = '6'\nsubnet6 = 'fd00::1/64'",
            3,
            "bits set below its mask",
        ),
        ("10.1.1.254/24", "fd00::1/64", 8, "say it by address6"),
        ("[hosts.server]", "[hosts.server]\nadvertise = true", 14, "no word 'advertise'"),
        ("[hosts.server]", "[hosts.server]\nautoconfigure = 1", 14, "must be true or false"),
        (
            'subnet = "10.1.0.0/24"',
            "ip = '4'\n[hosts.x]\nautoconfigure = true",
            4,
            "autoconfigure is about IPv6, and the network has IPv4 alone",
        ),
    ],
)
def test_the_line_of_a_wrong_version_is_told(
    right: str, wrong: str, line: int, sentence: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(LAB.replace(right, wrong))
    assert str(raised.value).startswith(f"lab.toml:{line}: ")
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "sentence"),
    [
        ("seed = 7", "sed = 7", 1, "no word 'sed'; did you mean 'seed'?"),
        ("seed = 7", "seed = '7'", 1, "seed must be a whole number, not a text ('7')"),
        ("seed = 7", "seed = true", 1, "not true"),
        ("10.1.0.0/24", "10.1.0.1/24", 2, "bits set below its mask"),
        ("10.1.0.0/24", "127.0.0.0/8", 2, "no host can have an address of the subnet 127.0.0.0/8"),
        ('ageing = "60s"', "table_entries = 'x'", 11, "must be a whole number, not a text ('x')"),
        ('"lte"', "4", 29, "links #3.preset must be a text in quotes, not a whole number (4)"),
        ("[switches.sw]", "[switchs.sw]", 10, "no word 'switchs'; did you mean 'switches'?"),
        ("[switches.sw]", "[switches.client]", 10, "client is a host already"),
        ('ageing = "60s"', "ageing = 'soon'", 11, "'soon' is not a time"),
        ('ageing = "60s"', "aging = 3", 11, "in switches.sw; did you mean 'ageing'?"),
        ('serve = ["http"', 'restart = 1\nserve = ["http"', 14, "true or false, not a whole"),
        ("web:ask", "web", 5, "'web' is not a function, like 'module:function'"),
        ("run =", "rum =", 5, "in hosts.client.programs #1; did you mean 'run'?"),
        ('"10.1.1.254/24"', '"10.1.1.255/24"', 8, "its broadcast address"),
        ('via = "r1"', 'via = "r2"', 15, "r2"),
        ('["http", "echo:7000"]', '"http"', 14, "must be a list in [ ], not a text ('http')"),
        ("delay =", "dely =", 19, "no word 'dely' in links #1; did you mean 'delay'?"),
        ("between", "betwen", 18, "no word 'betwen' in links #1; did you mean 'between'?"),
        ('loss = "1%"', 'loss = "101%"', 20, "loss = '101%' is not possible"),
        ('"10mbit"', '"10mbut"', 21, "'10mbut' is not a rate"),
        ("limit", "limmit", 21, "in links #1.a_to_b; did you mean 'limit'?"),
        ('["r1", "sw"]', '["r1", "sv"]', 24, "no node 'sv'; did you mean 'sw'?"),
        ('["r1", "sw"]', '["r1"]', 24, "a link has two ends, not 1"),
        ('["r1", "sw"]', '["r1", "r1"]', 23, "not r1 with itself"),
        ('"20ms"', '"20mz"', 19, "'20mz' is not a time; did you mean '20ms'?"),
        ('"20ms"', '"-20ms"', 19, "'-20ms' is not a time: it must be 0 or more"),
        ('"10mbit"', '"10mbits"', 21, "'10mbits' is not a rate; did you mean '10mbit'?"),
        ('"1%"', '"gemodl 1%"', 20, "no loss model 'gemodl'; did you mean 'gemodel'?"),
        ("limit = 50", "limit = 'many'", 21, "it takes a whole number, not 'many'"),
        ('via = "r1"', 'via = "r11"', 15, "neither a node nor an address; did you mean 'r1'?"),
        ('["http", "echo:7000"]', '[]\naddress = ["10.1.1.9/24", "10.1.2.9/24"]', 15, "2 add"),
        ("mtu_bytes = 1400", '[[links]]\nbetween = ["sw", "r1"]', 25, "two links into one segment"),
        ("mtu_bytes = 1400", "mtu_bytes = '1400'", 25, "must be a whole number"),
        ('"lte"', '"lta"', 29, "did you mean 'lte'?"),
        ('preset = "lte"', 'gap = 3', 29, "give reorder"),
        ("at = 5", "", 31, "this timeline entry has no 'at'"),
        ("at = 5", "at = '5x'", 32, "'5x' is not a time"),
        ("at = 5", "at = [5]", 32, "at must be a time like \"5s\", not a list"),
        ('link = ["client", "r1"]', "", 31, "no 'link'"),
        ('link = ["client", "r1"]', 'link = ["client", "sw"]', 34, "no link between client and sw"),
        ('loss = "30%"', 'los = "30%"', 34, "in timeline #1.set; did you mean 'loss'?"),
        ('loss = "30%"', 'gap = 2', 34, "give reorder"),
        ("heal = true", "heal = false", 42, "heal can only be true, not false"),
        ("heal = true", "", 40, "has nothing to do"),
        ("heal = true", 'heal = true\npower_on = "sw"', 40, "both heal and power_on"),
        ("heal = true", 'heal = true\ndirection = "a_to_b"', 43, "belongs to down and up"),
        ("heal = true", 'heal = true\nanswer = "reject"', 43, "answer belongs to partition"),
        ('"sw"]]', '"sw"]]\nanswer = "rejct"', 38, "no answer 'rejct'; did you mean 'reject'?"),
        ('"sw"]]', '"sw"]]\nspare_established = 1', 39, "must be true or false"),
        ('off = "server"', 'off = "server"\ncrash = 1', 52, "must be true or false"),
        ('["server", "sw"]]', '["client"]]', 38, "client is in two groups"),
        ('direction = "a_to_b"', 'direction = "ab"', 47, "'ab' is not a direction"),
        ('power_off = "server"', 'power_off = "serve"', 51, "did you mean 'server'?"),
        ("[hosts.client]", "[hosts.client", 4, "this is not TOML: Expected ']'"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_line_and_word(
    right: str, wrong: str, line: int, sentence: str
) -> None:
    assert right in LAB
    with pytest.raises(ConfigError) as caught:
        parse(LAB.replace(right, wrong, 1), "my.toml")
    assert str(caught.value).startswith(f"my.toml:{line}: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_only_does_not_go_together_is_told_where_the_link_is() -> None:
    words = 'loss = "gemodel 1% 10%"\nloss_correlation = "25%"'
    with pytest.raises(ConfigError, match=r"^my\.toml:17: client - r1: loss_correlation is a word"):
        parse(LAB.replace('delay = "20ms"\nloss = "1%"', words), "my.toml")


def test_a_lab_needs_a_node() -> None:
    with pytest.raises(ConfigError, match=r"my\.toml:1: a lab needs a \[hosts\.NAME\]"):
        parse("seed = 1", "my.toml")


def test_a_tap_has_no_power_to_switch() -> None:
    text = '[hosts.a]\n[taps.tap0]\n[[links]]\nbetween = ["a", "tap0"]\n'
    with pytest.raises(ConfigError, match=r"my\.toml:7: tap0 has no power to switch"):
        parse(f'{text}[[timeline]]\nat = 1\npower_off = "tap0"\n', "my.toml")


def test_a_namespace_runs_commands_and_hosts_run_functions() -> None:
    text = "[namespaces.ns]\nprograms = [{ %s }]\n"
    (program,) = parse(text % 'command = ["curl", "x"]').nodes["ns"].programs
    assert program.command == ("curl", "x")
    with pytest.raises(ConfigError, match=r"no word 'run' in namespaces\.ns\.programs #1"):
        parse(text % 'run = "a:b"')
    with pytest.raises(ConfigError, match="needs a word at least"):
        parse(text % "command = []")


def test_an_argument_of_a_command_may_be_empty_but_not_its_program() -> None:
    text = "[namespaces.ns]\nprograms = [{ command = %s }]\n"
    (program,) = parse(text % '["redis-server", "--save", ""]').nodes["ns"].programs
    assert program.command == ("redis-server", "--save", "")
    with pytest.raises(ConfigError, match=r"command #1 must not be empty"):
        parse(text % '["", "x"]')


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot read .*none.toml: No such file"):
        load(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not text in UTF-8"):
        load(binary)


def test_a_trace_is_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "train.trace").write_text("1\n5\n9\n")
    lab = tmp_path / "lab.toml"
    lab.write_text('[hosts.a]\n[hosts.b]\n[[links]]\nbetween = ["a", "b"]\ntrace = "train.trace"\n')
    (link,) = load(lab).links
    assert link.words == {"trace": str(tmp_path / "train.trace")}
