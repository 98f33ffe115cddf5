"""What is known of each kind of step beside the run: its layer, its owner, its RFC, its commands.

One table, `knowledge.toml`, with the kinds of steps as keys; read when the first story is told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from pystack.observe.explain.story import Layer5

_TABLE: Final = "knowledge.toml"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a kind of step."""

    layer5: Layer5
    layer7: tuple[int, ...]
    owner: str
    sources: tuple[str, ...]  # "RFC 9293 section 3.5"
    commands: tuple[tuple[str, str], ...]  # with {words} that a step fills in
    node: str
    python: str

    def commands_with(self, values: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return the commands with real names and addresses, but those that lack one."""
        filled = []
        for command, shows in self.commands:
            try:
                filled.append((command.format_map(values), shows))
            except KeyError:
                continue
        return filled


@cache
def table() -> Mapping[str, Known]:
    """Return the table, by kind of step."""
    text = Path(__file__).with_name(_TABLE).read_text("utf-8")
    return {kind: _known(entry) for kind, entry in tomllib.loads(text).items()}


def _known(entry: Mapping[str, Any]) -> Known:
    return Known(
        cast(Layer5, entry["layer5"]),
        tuple(entry["layer7"]),
        entry["owner"],
        tuple(entry.get("sources", ())),
        tuple((command, shows) for command, shows in entry.get("commands", ())),
        entry.get("node", ""),
        entry.get("python", ""),
    )
