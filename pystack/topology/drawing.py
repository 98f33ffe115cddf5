"""A lab as a text: a tree of its nodes, and what its links do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import format_ip
from pystack.dns.config import ResolverConfig
from pystack.link.pipe import Pipe
from pystack.link.said import words_of
from pystack.stack.host import Host
from pystack.topology.machines import machine_of, said_of
from pystack.topology.nodes import FarSide
from pystack.topology.router import Router
from pystack.topology.spec import EventSpec, LabSpec, LinkSpec, NodeSpec, Words
from pystack.topology.switch import Switch
from pystack.topology.topology import Topology
from pystack.topology.tunnels import is_far

_OWN_WORDS = ("preset", "mtu_bytes")
_NODES: Final = (
    (Switch, "switch"),
    (Router, "router"),
    (Host, "host"),
    (FarSide, "machine"),
)

_KEY: Final = re.compile(r"\b(key)\s+(?:'[^']*'|\"[^\"]*\"|\S+)")


@dataclass(frozen=True, slots=True)
class Box:
    """One node, ready to be drawn."""

    name: str
    kind: str
    addresses: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what runs there


@dataclass(frozen=True, slots=True)
class Line:
    """One link, ready to be drawn."""

    a: str
    b: str
    words: tuple[str, ...] = ()  # of both directions: "delay 20ms"
    a_to_b: tuple[str, ...] = ()
    b_to_a: tuple[str, ...] = ()

    def seen_from(self, name: str) -> list[str]:
        """Return all words, with arrows for one direction: to the right is away from `name`."""
        away, back = (self.a_to_b, self.b_to_a) if name == self.a else (self.b_to_a, self.a_to_b)
        found = [", ".join(self.words)] if self.words else []
        found += [f"-> {', '.join(away)}"] if away else []
        return found + ([f"<- {', '.join(back)}"] if back else [])


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that is to be drawn, in the order of the file."""

    title: str
    boxes: Mapping[str, Box]
    lines: tuple[Line, ...]
    timeline: tuple[str, ...] = ()

    def around(self, name: str) -> list[tuple[Line, str]]:
        """Return the links of a node, each with the node at its other end."""
        return [
            (line, line.b if name == line.a else line.a)
            for line in self.lines
            if name in (line.a, line.b)
        ]


def drawing_of(spec: LabSpec, topology: Topology) -> Drawing:
    """Return what is to be drawn of a lab. `topology`: built from it, and settled."""
    boxes = {}
    for node in spec.nodes.values():
        known = topology.node(node.name).given
        boxes[node.name] = Box(
            node.name,
            node.kind,
            tuple(f"{format_ip(address)}/{prefix.length}" for address, prefix in known),
            (
                *_place(spec, node.name),
                *(_value(_shown(node.words[word])) for word in node.words if word == "port"),
                *_asks(node),
                *map(_service, node.serve),
                *(program.run for program in node.programs),
            ),
        )
    for link in spec.links:
        for end in filter(is_far, (link.a, link.b)):
            boxes[end] = Box(end, "machine", ())
    seed = "a new seed each time" if spec.seed is None else f"seed {spec.seed}"
    return Drawing(
        f"{spec.path}: {', '.join(map(str, topology.subnets))}, {seed}",
        boxes,
        tuple(_line(link) for link in spec.links),
        tuple(tell(event) for event in spec.timeline),
    )


def drawing_of_topology(topology: Topology) -> Drawing:
    """Return what is to be drawn of a network as it is now: addresses only where it is settled."""
    boxes = {}
    for name, node in topology.nodes.items():
        device = node.device
        kind = next((word for kind, word in _NODES if isinstance(device, kind)), "station")
        addresses = tuple(f"{format_ip(own)}/{prefix.length}" for own, prefix in node.given)
        boxes[name] = Box(name, kind, addresses, () if node.powered else ("powered off",))
    lines = []
    for cable in topology.cables:
        there, back = (_behaves(pipe) for pipe in (cable.link.a_to_b, cable.link.b_to_a))
        both = tuple(words for words in there if words in back)
        lines.append(
            Line(
                cable.a.node.name,
                cable.b.node.name,
                both,
                tuple(words for words in there if words not in both),
                tuple(words for words in back if words not in both),
            )
        )
    subnets = ", ".join(map(str, topology.subnets))
    return Drawing(f"{subnets}, seed {topology.seed}", boxes, tuple(lines))


def _place(spec: LabSpec, node: str) -> tuple[str, ...]:
    """Return on which machine a node is, where there are several."""
    machine = machine_of(spec.machines, node)
    return () if machine is None else (f"on {machine}",)


def _behaves(pipe: Pipe) -> list[str]:
    words = [f"{word} {value}" for word, value in words_of(pipe.config).items()]
    return [*words, "down"] if pipe.is_down else words


def tell(event: EventSpec) -> str:
    """Return what happens at an instant of a timeline, as a line."""
    ends = "" if event.link is None else f"{event.link[0]} - {event.link[1]}"
    match event.action:
        case "set":
            both = [
                word for word in _words(event.words) if not word.startswith(("a_to_b", "b_to_a"))
            ]
            for key, arrow in (("a_to_b", "->"), ("b_to_a", "<-")):
                words = event.words.get(key)
                if isinstance(words, dict):
                    both.append(f"{arrow} {', '.join(_words(words))}")
            what = f"link {ends}: {', '.join(both)}"
        case "down" | "up":
            only = f" ({event.direction})" if event.direction else ""
            what = f"link {ends}: {event.action}{only}"
        case "partition":
            what = "partition " + " | ".join(", ".join(group) for group in event.groups)
            what += "".join(f", {word.replace('_', ' ')}" for word in _said_of(event.words))
        case "heal":
            what = "heal"
        case _:
            what = f"{event.action.replace('_', ' ')} {event.node}"
            what += "".join(f", {word}" for word in _said_of(event.words))
    return f"{event.at_s:g} s: {what}"


def _said_of(words: Mapping[str, object]) -> Iterator[str]:
    """Yield what words beside an action say, but for what is so anyway."""
    for word, value in words.items():
        if isinstance(value, bool):
            if value:
                yield word
        elif value != "silence":
            yield f"{word} {value}"


def as_text(drawing: Drawing) -> list[str]:
    """Return the drawing as lines of text."""
    lines = [drawing.title]
    seen: set[str] = set()
    drawn: set[int] = set()
    for name in _from_the_middle(drawing):
        if name not in seen:
            lines.append("")
            _branch(drawing, name, "", "", seen, drawn, lines)
    others = [line for line in drawing.lines if id(line) not in drawn]
    if others:
        lines += ["", "and"]
        lines += [f"  {line.a} - {line.b}{_label(line.seen_from(line.a))}" for line in others]
    if drawing.timeline:
        lines += ["", "timeline", *(f"  {entry}" for entry in drawing.timeline)]
    return lines


def _branch(
    drawing: Drawing,
    name: str,
    first: str,
    rest: str,
    seen: set[str],
    drawn: set[int],
    lines: list[str],
    link: str = "",
) -> None:
    """Add a node, and all that hangs below it. `first`, `rest`: the beginnings of its lines."""
    box = drawing.boxes[name]
    seen.add(name)
    head = f"{first}{box.kind} {name}  {' '.join(box.addresses)}".rstrip()
    lines.append(head + (f"  [{', '.join(box.notes)}]" if box.notes else "") + link)
    # All at once, so that a ring is cut at the far end and not beside the root.
    children = []
    for line, other in drawing.around(name):
        if other not in seen:
            seen.add(other)
            drawn.add(id(line))
            children.append((line, other))
    for number, (line, other) in enumerate(children):
        last = number == len(children) - 1
        _branch(
            drawing,
            other,
            rest + ("`-- " if last else "|-- "),
            rest + ("    " if last else "|   "),
            seen,
            drawn,
            lines,
            _label(line.seen_from(name)),
        )


def _label(words: Iterable[str]) -> str:
    text = "  ".join(words)
    return f"   ({text})" if text else ""


def _from_the_middle(drawing: Drawing) -> list[str]:
    """Return the nodes, those with the most links first: they make the best roots."""
    order = list(drawing.boxes)
    return sorted(order, key=lambda name: (-len(drawing.around(name)), order.index(name)))


def _line(link: LinkSpec) -> Line:
    words = [word for word in _words(link.words) if not word.startswith(_OWN_WORDS)]
    for own in _OWN_WORDS:
        if own in link.words:
            words.insert(0, f"{own.removesuffix('_bytes')} {link.words[own]}")
    words += said_of(link.tunnel)
    return Line(
        link.a, link.b, tuple(words), tuple(_words(link.a_to_b)), tuple(_words(link.b_to_a))
    )


def _words(words: Mapping[str, object]) -> list[str]:
    """Return words with their values as one would say them."""
    return [word if value is True else f"{word} {_value(value)}" for word, value in words.items()]


def _asks(node: NodeSpec) -> tuple[str, ...]:
    """Return whom a node asks for names."""
    asks = node.words.get("dns")
    return (f"asks {' '.join(asks.servers)}",) if isinstance(asks, ResolverConfig) else ()


def _service(asked: str | Words) -> str:
    """Return a service as the command takes it, and its words; no passwords of its accounts."""
    if isinstance(asked, str):
        return asked
    rest = {word: value for word, value in asked.items() if word not in ("name", "port")}
    if "accounts" in rest:
        rest["accounts"] = True
    name = str(asked.get("name")) + (f":{asked['port']}" if "port" in asked else "")
    return " ".join([name, *_words(rest)])


def _shown(port: object) -> object:
    """Return what is said of a port, without a secret of its own."""
    if isinstance(port, str):
        return _KEY.sub(r"\1 ...", port)
    if isinstance(port, Mapping):
        return {word: value for word, value in port.items() if word != "key"}
    return port


def _value(value: object) -> str:
    if isinstance(value, list):
        return " ".join(_value(item) for item in value)
    if isinstance(value, dict):
        return " ".join(_words(value))
    return str(value)
