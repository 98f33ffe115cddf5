"""Impairments by name: the built-in ones, and those of third parties (`pystack.impairment`)."""

from collections.abc import Callable
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.plugins import Group
from pystack.core.rng import Random
from pystack.core.units import parse_probability
from pystack.link.impair.base import Impairment, as_impairment
from pystack.link.impair.corrupt import Corrupt
from pystack.link.impair.drop import parse_drop
from pystack.link.impair.loss import Duplicate, parse_loss

# What an entry point of the group loads to: a factory that takes its words by keyword.
NamedFactory = Callable[..., Impairment]


def _loss(rng: Random, *, model: str) -> Impairment:
    parsed = parse_loss(model)
    if parsed is None:
        raise ConfigError("an impairment `loss` of 0 does nothing")
    return as_impairment(parsed.stage(rng))


def _drop(_: Random, *, frames: object) -> Impairment:
    return as_impairment(parse_drop(frames).stage())


def _duplicate(rng: Random, *, probability: str | float) -> Impairment:
    return as_impairment(Duplicate(parse_probability(probability), 0.0, rng))


def _corrupt(rng: Random, *, probability: str | float) -> Impairment:
    return as_impairment(Corrupt(parse_probability(probability), 0.0, rng))


BUILT_IN: Final[dict[str, NamedFactory]] = {
    "loss": _loss,
    "drop": _drop,
    "duplicate": _duplicate,
    "corrupt": _corrupt,
}


IMPAIRMENTS: Final = Group[Impairment](
    "impairment", BUILT_IN, "apply", trial=(Random(0),), each="direction of a link"
)
