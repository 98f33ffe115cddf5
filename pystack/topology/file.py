"""A lab in a TOML file, with the words of the Python API: `load` reads and checks it.

    seed = 7
    [hosts.client]
    [hosts.server]
    serve = ["http"]
    [routers.r1]
    [[links]]
    between = ["client", "r1"]
    delay = "20ms"
    [[timeline]]
    at = "5s"
    link = ["client", "r1"]
    set = { loss = "30%" }

Checking means building: what the topology refuses is refused here, with the line of the file.
Nothing of a file is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Final, cast

from pystack.core.calendar import DEFAULT_EPOCH, parse_drift, parse_epoch_s, parse_offset_s
from pystack.core.extras import need
from pystack.core.suggest import suggest
from pystack.core.units import parse_time_s
from pystack.dns.config import parse_resolver
from pystack.link.words import NetemWords, as_words
from pystack.observe.registry import OBSERVERS
from pystack.topology import presets
from pystack.topology.addressing import DEFAULT_IP, parse_subnets
from pystack.topology.building import build
from pystack.topology.machines import TABLE, check_tunnels, read_machines
from pystack.topology.places import put
from pystack.topology.reading import Document, describe, link_words, text_of
from pystack.topology.spec import (
    ACTIONS,
    KINDS,
    AddressWords,
    EventSpec,
    LabSpec,
    LinkSpec,
    NodeSpec,
    ProgramSpec,
    SubnetWords,
)
from pystack.topology.toml_places import Path
from pystack.topology.tunnels import WORDS, is_far, read_tunnel, split_words

_SUBNETS: Final = ("ip", "subnet", "subnet6")
_ADDRESSES: Final = ("address", "address6")
_CLOCK: Final = {"clock_offset": parse_offset_s, "clock_drift": parse_drift}
_HOST_WORDS: Final = ("congestion", "dns", "routes", "serve", "programs", "restart", *_CLOCK)
_TOP: Final = ("seed", "epoch", *_SUBNETS, "observe", *KINDS, TABLE, "links", "timeline")
_NODE_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "host": (*_ADDRESSES, *_HOST_WORDS, "autoconfigure"),
    "router": (*_ADDRESSES, *_HOST_WORDS, "advertise"),
    "switch": ("ageing", "table_entries"),
    "tap": _ADDRESSES,
    "namespace": (*_ADDRESSES, "dns", "programs"),
    "port": ("port", *_ADDRESSES),
}
_LINK_OWN: Final = ("between", "preset", "mtu_bytes", "a_to_b", "b_to_a")
# Words beside an action, and the actions that they belong to
_BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "link": ("set",),
    "direction": ("down", "up"),
    "answer": ("partition",),
    "spare_established": ("partition",),
    "crash": ("power_off",),
}
_EVENT_WORDS: Final = ("at", *_BESIDE, *ACTIONS)
_DIRECTIONS: Final = ("a_to_b", "b_to_a")
_FUNCTION: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


def load(path: str | FilePath) -> LabSpec:
    """Read and check a file. Raises ConfigError, with its name and a line, also if it is not there.

    Everything is checked that can be without running the file's own programs.
    """
    return parse(text_of(path), str(path))


def parse(text: str, name: str = "lab.toml", places: Mapping[str, object] | None = None) -> LabSpec:
    """Read and check the text of a file; `name` is for messages. Raises ConfigError.

    `places`: values that are put into it before it is read, such as {"links.a-b.rate": "1mbit"}.
    """
    document = Document(name, text)
    put(document, places or {})
    spec = _Reader(document).lab()
    check_tunnels(document, spec)
    build(spec, document)
    return spec


def load_timeline(
    path: str | FilePath, spec: LabSpec, link: tuple[str, str]
) -> tuple[EventSpec, ...]:
    """Read a file with the [[timeline]] of another lab, which `link` is spared being named in.

    `set` without a link, and `down` and `up` that are true, mean that one. Raises ConfigError.
    """
    document = Document(str(path), text_of(path))
    root = document.table((), document.root, ("timeline",))
    entries = document.items(("timeline",), root.get("timeline", []))
    for entry in entries:
        if isinstance(entry, dict):
            if "set" in entry:
                entry.setdefault("link", list(link))
            for word in ("down", "up"):
                if entry.get(word) is True:
                    entry[word] = list(link)
    reader = _Reader(document)
    events = tuple(reader.event(at, value, spec.nodes) for at, value in enumerate(entries))
    build(replace(spec, timeline=events), document)
    return events


class _Reader:
    """Makes values of tables. What it takes is of the right kind and shape."""

    def __init__(self, document: Document) -> None:
        self._doc = document

    def lab(self) -> LabSpec:
        root = self._doc.table((), self._doc.root, _TOP)
        seed = root.get("seed")
        subnets = self._subnets(root)
        nodes: dict[str, NodeSpec] = {}
        for table, kind in KINDS.items():
            for name, value in self._doc.table((table,), root.get(table, {}), None).items():
                if name in nodes:
                    self._doc.fail((table, name), f"{name} is a {nodes[name].kind} already")
                nodes[name] = self._node((table, name), name, kind, value)
        if not nodes:
            self._doc.fail((), "a lab needs a [hosts.NAME] at least")
        # As they stand in the file: the order of making decides who gets which address.
        nodes = dict(sorted(nodes.items(), key=lambda item: item[1].line))
        return LabSpec(
            path=self._doc.name,
            seed=None if seed is None else self._doc.whole(("seed",), seed),
            subnets=subnets,
            epoch=self._epoch(root),
            observe=tuple(self._observers(("observe",), root.get("observe", []))),
            nodes=nodes,
            machines=read_machines(self._doc, root.get(TABLE, {}), nodes),
            links=tuple(
                self._link(("links", at), value, nodes)
                for at, value in enumerate(self._doc.items(("links",), root.get("links", [])))
            ),
            timeline=tuple(
                self.event(at, value, nodes)
                for at, value in enumerate(self._doc.items(("timeline",), root.get("timeline", [])))
            ),
        )

    def _epoch(self, root: Mapping[str, object]) -> float:
        with self._doc.placed(("epoch",)):
            return parse_epoch_s(root.get("epoch", DEFAULT_EPOCH))

    def _observers(self, path: Path, value: object) -> Iterable[str | Mapping[str, object]]:
        for at, asked in enumerate(self._named(path, value)):
            with self._doc.placed((*path, at)):
                OBSERVERS.read(asked)
            yield asked

    def _named(self, path: Path, value: object) -> list[str | Mapping[str, object]]:
        """Return a list of what is asked for by texts, or by tables of a name and words."""
        return [
            self._doc.table((*path, at), item, None)
            if isinstance(item, dict)
            else self._doc.text((*path, at), item)
            for at, item in enumerate(self._doc.items(path, value))
        ]

    def _node(self, path: Path, name: str, kind: str, value: object) -> NodeSpec:
        table = self._doc.table(path, value, _NODE_WORDS[kind])
        if kind == "port":
            self._needs(path, table, ("port",))
        return NodeSpec(
            name=name,
            kind=kind,
            addresses={
                word: self._address((*path, word), table[word])
                for word in _ADDRESSES
                if word in table
            },
            words=self._further(path, kind, table),
            routes=tuple(self._routes((*path, "routes"), table.get("routes", []))),
            serve=tuple(self._named((*path, "serve"), table.get("serve", []))),
            programs=tuple(self._programs((*path, "programs"), kind, table.get("programs", []))),
            autoconfigure=self._about_ip6(path, "autoconfigure", table),
            advertise=self._about_ip6(path, "advertise", table),
            restart=self._doc.switch((*path, "restart"), table.get("restart", True)),
            line=self._doc.line(path),
        )

    def _about_ip6(self, path: Path, word: str, table: Mapping[str, object]) -> bool:
        wanted = self._doc.switch((*path, word), table.get(word, False))
        if wanted and self._doc.root.get("ip") == "4":
            self._doc.fail((*path, word), f"{word} is about IPv6, and the network has IPv4 alone")
        return wanted

    def _further(self, path: Path, kind: str, table: Mapping[str, object]) -> dict[str, object]:
        words = {key: table[key] for key in ("ageing", "table_entries", "port") if key in table}
        if "table_entries" in table:
            self._doc.whole((*path, "table_entries"), table["table_entries"])
        if "congestion" in table:
            asked = table["congestion"]
            if not isinstance(asked, dict):
                asked = self._doc.text((*path, "congestion"), asked)
            words["congestion"] = asked
        for word in _CLOCK:
            if word in table:
                with self._doc.placed((*path, word)):
                    words[word] = _CLOCK[word](table[word])
        if "dns" in table and isinstance(table["dns"], bool) and kind == "namespace":
            words["dns"] = table["dns"]
        elif "dns" in table:
            with self._doc.placed((*path, "dns")):
                words["dns"] = parse_resolver(table["dns"])
                if kind != "namespace":
                    need("dns", "a host that asks name servers")
        if kind == "namespace" and table.get("dns", True) is True:
            with self._doc.placed(path):
                need("dns", "a namespace whose programs know the lab's names")
        return words

    def _subnets(self, root: Mapping[str, object]) -> SubnetWords:
        said = {word: self._doc.text((word,), root[word]) for word in _SUBNETS if word in root}
        ip = said.get("ip", DEFAULT_IP)
        for word, text in said.items():
            with self._doc.placed((word,)):
                parse_subnets(**{"ip": ip, word: text})
        return cast(SubnetWords, said)

    def _address(self, path: Path, value: object) -> AddressWords:
        return (
            self._doc.texts(path, value) if isinstance(value, list) else self._doc.text(path, value)
        )

    def _routes(self, path: Path, value: object) -> Iterable[tuple[str, str, int]]:
        for at, item in enumerate(self._doc.items(path, value)):
            here = (*path, at)
            table = self._doc.table(here, item, ("destination", "via"))
            self._needs(here, table, ("destination", "via"))
            destination = self._doc.text((*here, "destination"), table["destination"])
            via = self._doc.text((*here, "via"), table["via"])
            yield destination, via, self._doc.line(here)

    def _programs(self, path: Path, kind: str, value: object) -> Iterable[ProgramSpec]:
        for at, item in enumerate(self._doc.items(path, value)):
            here = (*path, at)
            if kind == "namespace":
                table = self._doc.table(here, item, ("command", "may_fail"))
                self._needs(here, table, ("command",))
                command = self._doc.argv((*here, "command"), table["command"])
                yield ProgramSpec(
                    run=command[0],
                    command=command,
                    may_fail=self._doc.switch((*here, "may_fail"), table.get("may_fail", False)),
                    line=self._doc.line(here),
                )
                continue
            table = self._doc.table(here, item, ("run", "args", "may_fail"))
            self._needs(here, table, ("run",))
            run = self._doc.text((*here, "run"), table["run"])
            if not _FUNCTION.fullmatch(run):
                self._doc.fail(
                    (*here, "run"), f"{run!r} is not a function, like 'module:function' of Python"
                )
            args = tuple(self._doc.items((*here, "args"), table.get("args", [])))
            yield ProgramSpec(
                run=run,
                args=args,
                may_fail=self._doc.switch((*here, "may_fail"), table.get("may_fail", False)),
                line=self._doc.line(here),
            )

    def _link(self, path: Path, value: object, nodes: Mapping[str, NodeSpec]) -> LinkSpec:
        table = self._doc.table(path, value, None)
        tunnel, further = split_words(table)
        both = {key: item for key, item in further.items() if key not in _LINK_OWN}
        both = link_words(self._doc, path, both, (*_LINK_OWN, *WORDS))
        self._needs(path, table, ("between",))
        a, b = self._pair((*path, "between"), table["between"], nodes)
        if "key_file" in tunnel:  # relative to the document
            tunnel["key_file"] = FilePath(self._doc.name).parent / self._doc.text(
                (*path, "key_file"), tunnel["key_file"]
            )
        if is_far(a) or is_far(b):
            with self._doc.placed(path):
                read_tunnel(a if is_far(a) else b, **tunnel)
        for key, check in (("preset", presets.words_of), ("mtu_bytes", None)):
            if key in table:
                here = (*path, key)
                if check is None:
                    self._doc.whole(here, table[key])
                else:
                    preset = self._doc.text(here, table[key])
                    with self._doc.placed(here):
                        check(preset)
                both[key] = table[key]
        return LinkSpec(
            a=a,
            b=b,
            words=both,
            a_to_b=self._one_way((*path, "a_to_b"), table.get("a_to_b", {})),
            b_to_a=self._one_way((*path, "b_to_a"), table.get("b_to_a", {})),
            tunnel=tunnel,
            line=self._doc.line(path),
        )

    def _one_way(self, path: Path, value: object) -> NetemWords:
        return as_words(link_words(self._doc, path, self._doc.table(path, value, None), ()))

    def event(self, number: int, value: object, nodes: Mapping[str, NodeSpec]) -> EventSpec:
        """Return what an entry of the timeline says."""
        path = ("timeline", number)
        table = self._doc.table(path, value, _EVENT_WORDS)
        self._needs(path, table, ("at",))
        at = table["at"]
        if not isinstance(at, str | int | float) or isinstance(at, bool):
            self._doc.fail((*path, "at"), f'at must be a time like "5s", not {describe(at)}')
        with self._doc.placed((*path, "at")):
            at_s = parse_time_s(at)
        actions = [word for word in ACTIONS if word in table]
        if len(actions) != 1:
            what = f"both {actions[0]} and {actions[1]}" if actions else "nothing to do"
            self._doc.fail(path, f"an instant has {what}; it needs one of {', '.join(ACTIONS)}")
        (action,) = actions
        for word, actions_of in _BESIDE.items():
            if word in table and action not in actions_of:
                hint = f"; for {action}, give its ends there" if word == "link" else ""
                text = f"{word} belongs to {' and '.join(actions_of)}{hint}"
                self._doc.fail((*path, word), text)
        return self._action(path, at_s, action, table, nodes)

    def _action(
        self,
        path: Path,
        at_s: float,
        action: str,
        table: Mapping[str, object],
        nodes: Mapping[str, NodeSpec],
    ) -> EventSpec:
        here = (*path, action)
        value = table[action]
        line = self._doc.line(path)
        match action:
            case "set":
                self._needs(path, table, ("link",))
                table_of_words = self._doc.table(here, value, None)
                both = {
                    key: table_of_words[key] for key in table_of_words if key not in _DIRECTIONS
                }
                words = link_words(self._doc, here, both, _DIRECTIONS)
                for key in _DIRECTIONS:
                    if key in table_of_words:
                        words[key] = self._one_way((*here, key), table_of_words[key])
                link = self._pair((*path, "link"), table["link"], nodes)
                return EventSpec(at_s=at_s, action=action, link=link, words=words, line=line)
            case "down" | "up":
                link = self._pair(here, value, nodes)
                direction = self._direction((*path, "direction"), table.get("direction"))
                return EventSpec(
                    at_s=at_s, action=action, link=link, direction=direction, line=line
                )
            case "partition":
                groups = tuple(
                    tuple(self._names((*here, at), group, nodes))
                    for at, group in enumerate(self._doc.items(here, value))
                )
                firewall: dict[str, object] = {}
                if "answer" in table:
                    firewall["answer"] = self._doc.text((*path, "answer"), table["answer"])
                if (word := "spare_established") in table:
                    firewall[word] = self._doc.switch((*path, word), table[word])
                return EventSpec(at_s=at_s, action=action, groups=groups, words=firewall, line=line)
            case "heal":
                if value is not True:
                    self._doc.fail(here, f"heal can only be true, not {describe(value)}")
                return EventSpec(at_s=at_s, action=action, line=line)
            case _:
                name = self._doc.text(here, value)
                self._node_known(here, name, nodes)
                said: dict[str, object] = {}
                if "crash" in table:
                    said["crash"] = self._doc.switch((*path, "crash"), table["crash"])
                return EventSpec(at_s=at_s, action=action, node=name, words=said, line=line)

    def _direction(self, path: Path, value: object) -> str | None:
        if value is None:
            return None
        text = self._doc.text(path, value)
        if text not in _DIRECTIONS:
            self._doc.fail(path, f"{text!r} is not a direction{suggest(text, _DIRECTIONS)}")
        return text

    def _pair(self, path: Path, value: object, nodes: Mapping[str, NodeSpec]) -> tuple[str, str]:
        names = self._doc.texts(path, value)
        for at, name in enumerate(names):
            if not is_far(name):
                self._node_known((*path, at), name, nodes)
        if len(names) != 2:
            self._doc.fail(path, f"a link has two ends, not {len(names)}")
        if all(map(is_far, names)):
            self._doc.fail(path, "a link has one end here: both of these are on other machines")
        return names[0], names[1]

    def _names(self, path: Path, value: object, nodes: Mapping[str, NodeSpec]) -> list[str]:
        names = self._doc.texts(path, value)
        for at, name in enumerate(names):
            self._node_known((*path, at), name, nodes)
        return names

    def _node_known(self, path: Path, name: str, nodes: Mapping[str, NodeSpec]) -> None:
        if name not in nodes:
            self._doc.fail(path, f"there is no node {name!r}{suggest(name, nodes)}")

    def _needs(self, path: Path, table: Mapping[str, object], words: Iterable[str]) -> None:
        for word in words:
            if word not in table:
                what = f"this {path[0]} entry" if len(path) == 2 else "this"
                self._doc.fail(path, f"{what} has no {word!r}, and needs it")
