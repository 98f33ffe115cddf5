"""What a toxic is asked to be, in Toxiproxy's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Stream = Literal["upstream", "downstream"]

UPSTREAM: Final[Stream] = "upstream"  # from the client to the upstream
DOWNSTREAM: Final[Stream] = "downstream"  # from the upstream to the client
STREAMS: Final[tuple[Stream, ...]] = (UPSTREAM, DOWNSTREAM)
MS: Final = 1e-3  # in seconds: times of attributes are in milliseconds, most of them


@dataclass(frozen=True, slots=True)
class ToxicSpec:
    """One toxic. It is replaced as a whole when it changes."""

    name: str
    type: str  # a name of the registry: "latency"
    stream: Stream = DOWNSTREAM
    toxicity: float = 1.0  # 0..1: the probability that a connection is hit
    attributes: Mapping[str, object] = field(default_factory=dict)  # complete, by the registry


def number(attributes: Mapping[str, object], name: str) -> float:
    """Return an attribute that is a number."""
    value = attributes[name]
    assert isinstance(value, int | float)
    return value
