"""Drawings of labs: all that is in the file is in them, nothing overlaps, and they never change."""

import itertools
from xml.etree import ElementTree

import pytest

from pystack.topology.building import build
from pystack.topology.drawing import Drawing, as_text, drawing_of
from pystack.topology.file import parse
from pystack.topology.layout import lay_out
from pystack.topology.svg import as_svg

TRAIN = """\
seed = 7
[hosts.client]
[routers.r1]
[switches.sw]
[hosts.server]
serve = ["http"]
[hosts.lonely]
[[links]]
between = ["client", "r1"]
delay = "20ms"
a_to_b = { rate = "1mbit" }
[[links]]
between = ["r1", "sw"]
[[links]]
between = ["server", "sw"]
preset = "dc"
b_to_a = { loss = "1%" }
[[timeline]]
at = "5s"
link = ["client", "r1"]
set = { loss = "30%", a_to_b = { rate = "2mbit" } }
[[timeline]]
at = 6
partition = [["client"], ["server", "sw"]]
[[timeline]]
at = 7
power_off = "server"
"""
RING = """\
[routers.r1]
[routers.r2]
[routers.r3]
[routers.r4]
[hosts.a]
[hosts.b]
[[links]]
between = ["r1", "r2"]
[[links]]
between = ["r2", "r3"]
[[links]]
between = ["r3", "r4"]
[[links]]
between = ["r4", "r1"]
delay = "3ms"
[[links]]
between = ["a", "r2"]
[[links]]
between = ["b", "r4"]
[[links]]
between = ["b", "r4"]
"""


def drawing(text: str) -> Drawing:
    spec = parse(text)
    return drawing_of(spec, build(spec))


def tree(hosts: int, switches: int) -> str:
    """Return a lab of switches in a row, each with as many hosts."""
    text = "".join(f"[switches.s{number}]\n" for number in range(switches))
    for number, host in itertools.product(range(switches), range(hosts)):
        text += f"[hosts.h{number}x{host}]\n"
    for number in range(1, switches):
        text += f'[[links]]\nbetween = ["s{number - 1}", "s{number}"]\ndelay = "1ms"\n'
    for number, host in itertools.product(range(switches), range(hosts)):
        text += f'[[links]]\nbetween = ["h{number}x{host}", "s{number}"]\ndelay = "1ms"\n'
    return text


def test_a_text_shows_nodes_links_and_timeline() -> None:
    assert as_text(drawing(TRAIN)) == [
        "lab.toml: 10.0.0.0/24, fd00::/64, seed 7",
        "",
        "router r1  10.0.0.2/24 fd00::2/64 10.0.1.1/24 fd00:0:0:1::1/64",
        "|-- host client  10.0.0.1/24 fd00::1/64   (delay 20ms  <- rate 1mbit)",
        "`-- switch sw",
        "    `-- host server  10.0.1.2/24 fd00:0:0:1::2/64  [http]   (preset dc  -> loss 1%)",
        "",
        "host lonely",
        "",
        "timeline",
        "  5 s: link client - r1: loss 30%, -> rate 2mbit",
        "  6 s: partition client | server, sw",
        "  7 s: power off server",
    ]


def test_links_that_close_a_ring_are_listed() -> None:
    lines = as_text(drawing(RING))
    assert lines[0] == "lab.toml: 10.0.0.0/24, fd00::/64, a new seed each time"
    assert lines[-3:] == ["and", "  r1 - r2", "  b - r4"]
    assert sum("router" in line for line in lines) == 4


@pytest.mark.parametrize(
    "text", [TRAIN, RING, tree(1, 1), tree(9, 1), tree(3, 4), tree(0, 5), "[hosts.a]"]
)
def test_no_box_lies_on_another(text: str) -> None:
    placed = lay_out(drawing(text))
    for (one_name, one), (other_name, other) in itertools.combinations(placed.items(), 2):
        apart_x = abs(one.x - other.x) - (one.width + other.width) / 2
        apart_y = abs(one.y - other.y) - (one.height + other.height) / 2
        assert max(apart_x, apart_y) >= 10, (one_name, other_name)
    assert min(box.x - box.width / 2 for box in placed.values()) == pytest.approx(0)
    assert min(box.y - box.height / 2 for box in placed.values()) == pytest.approx(0)


def test_a_chain_reads_from_left_to_right_on_one_line() -> None:
    placed = lay_out(drawing(TRAIN.replace("[hosts.lonely]\n", "")))
    row = [placed[name] for name in ("client", "r1", "sw", "server")]
    assert len({box.y for box in row}) == 1
    assert [box.x for box in row] == sorted(box.x for box in row)


def test_an_svg_has_all_of_it_and_needs_nothing_else() -> None:
    text = as_svg(drawing(TRAIN))
    root = ElementTree.fromstring(text)
    said = "\n".join(root.itertext())
    for word in (
        "host client", "10.0.0.1/24", "router r1", "switch sw", "http",
        "delay 20ms", "\u2192 rate 1mbit", "preset dc", "\u2192 loss 1%",
        "5 s: link client - r1: loss 30%, -> rate 2mbit",
    ):  # fmt: skip
        assert word in said, word
    assert "href" not in text
    assert "url(" not in text
    assert len(root.findall("{http://www.w3.org/2000/svg}line")) == 3


def test_words_of_the_file_stay_text_in_an_svg() -> None:
    text = as_svg(drawing('[hosts."<b>&x"]\n'))
    assert "&lt;b&gt;&amp;x" in text
    ElementTree.fromstring(text)


@pytest.mark.parametrize("text", [TRAIN, RING, tree(3, 4)])
def test_the_same_file_gives_the_same_drawing(text: str) -> None:
    assert as_svg(drawing(text)) == as_svg(drawing(text))


def test_a_service_is_shown_with_its_words_and_without_passwords() -> None:
    words = '{ name = "ftp", port = 2121, root = "files", writable = true, accounts = ["ann:pw"] }'
    spec = parse(f'[hosts.server]\nserve = ["http:8080", {words}]\n')
    notes = drawing_of(spec, build(spec)).boxes["server"].notes
    assert notes == ("http:8080", "ftp:2121 root files writable accounts")
