"""The queues by name, and their configuration in tc's words.

`parse_qdisc("fq_codel limit 1000 target 5ms noecn")` and
`parse_qdisc({"kind": "fq_codel", "limit": 1000, "target": "5ms", "ecn": False})` mean the same.
The words of a queue are the keyword parameters of its factory, built in or from an entry point:
one whose default is a bool is a flag, one whose default is a tuple takes several values.
"""

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.plugins import find
from pystack.core.rng import Random, component_rng
from pystack.core.suggest import suggest
from pystack.link.qdisc import words
from pystack.link.qdisc.base import Qdisc, QdiscFactory
from pystack.link.qdisc.codel import codel
from pystack.link.qdisc.dualpi2 import dualpi2
from pystack.link.qdisc.fifo import bfifo, pfifo, pfifo_head_drop
from pystack.link.qdisc.fq_codel import fq_codel
from pystack.link.qdisc.pie import pie
from pystack.link.qdisc.prio import DEFAULT_BANDS, DEFAULT_PRIOMAP, Prio
from pystack.link.qdisc.red import red
from pystack.link.qdisc.tbf import tbf
from pystack.link.qdisc.words import Word

GROUP: Final = "pystack.qdisc"
KIND: Final = "kind"  # the word of a mapping that names the queue, as in tc

# What a configuration may hold: text or a number; a flag; several of them, or other queues.
Value = object


def prio(
    rng: Random,
    *,
    bands: Word = DEFAULT_BANDS,
    priomap: tuple[Word, ...] = DEFAULT_PRIOMAP,
    qdiscs: tuple[str | Mapping[str, Value], ...] = (),
) -> Prio:
    """`prio [bands N] [priomap B0 ... B15] [qdiscs "QDISC" "QDISC" ...]`, tc-prio(8).

    `qdiscs`: the queue of each band, from band 0 on; the others are a pfifo each.
    """
    number = words.count("bands", bands)
    if len(qdiscs) > number:
        raise ConfigError(f"{len(qdiscs)} qdiscs for {number} bands")
    inner = [*qdiscs, *["pfifo"] * (number - len(qdiscs))]
    return Prio(
        [parse_qdisc(value)(Random(rng.getrandbits(64))) for value in inner],
        [words.count("priomap", band, least=0) for band in priomap],
    )


BUILT_IN: Final[dict[str, Callable[..., Qdisc]]] = {
    "pfifo": pfifo,
    "pfifo_head_drop": pfifo_head_drop,
    "bfifo": bfifo,
    "tbf": tbf,
    "red": red,
    "codel": codel,
    "fq_codel": fq_codel,
    "pie": pie,
    "dualpi2": dualpi2,
    "prio": prio,
}


def parse_qdisc(value: str | Mapping[str, Value] | QdiscFactory) -> QdiscFactory:
    """Return what makes the queue, each time it is called with a random source.

    From tc's text, from a mapping with `kind`, or a factory as it is. Everything is checked here:
    ConfigError for a queue or a word that does not exist (with the nearest right one) and for
    values that can't be.
    """
    if isinstance(value, str):
        name, *tokens = _tokens(value)
        make = find(GROUP, name, BUILT_IN)
        given = _from_text(name, _known_words(make), tokens)
    elif isinstance(value, Mapping):
        kind = value.get(KIND)
        if not isinstance(kind, str):
            raise ConfigError(f"a qdisc needs its {KIND!r}, like {KIND} = 'fq_codel'")
        name, make = kind, find(GROUP, kind, BUILT_IN)
        rest = {word: item for word, item in value.items() if word != KIND}
        given = _from_mapping(name, _known_words(make), rest)
    else:
        return value
    factory = partial(make, **given)
    try:
        factory(component_rng(0, "qdisc/check"))
    except ConfigError as error:
        raise ConfigError(f"qdisc {name}: {error}") from None
    return factory


def _tokens(text: str) -> list[str]:
    try:
        tokens = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"the qdisc {text!r} can't be read: {error}") from None
    if not tokens:
        raise ConfigError("a qdisc needs a name, like 'pfifo limit 100'")
    return tokens


def _known_words(make: Callable[..., Qdisc]) -> dict[str, Parameter]:
    # The first parameter is the random source, given by whoever builds the queue.
    parameters = list(signature(make).parameters.values())[1:]
    named = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return {item.name: item for item in parameters if item.kind in named}


def _from_text(name: str, known: Mapping[str, Parameter], tokens: list[str]) -> dict[str, Value]:
    given: dict[str, Value] = {}
    at = 0
    while at < len(tokens):
        word, flag = _word(name, known, tokens[at])
        if word in given:
            raise ConfigError(f"qdisc {name}: {word!r} is there twice")
        at += 1
        start = at
        if flag is not None:
            given[word] = flag
            continue
        most = len(tokens) if isinstance(known[word].default, tuple) else start + 1
        while at < min(most, len(tokens)) and tokens[at] not in known:
            at += 1
        if at == start:
            raise ConfigError(f"qdisc {name}: {word!r} needs a value")
        many = isinstance(known[word].default, tuple)
        given[word] = tuple(tokens[start:at]) if many else tokens[start]
    _check_complete(name, known, given)
    return given


def _word(name: str, known: Mapping[str, Parameter], token: str) -> tuple[str, bool | None]:
    """Return a word, and what it says if it is a flag; None: it is not, a value follows."""
    if token in known:
        return token, True if isinstance(known[token].default, bool) else None
    for start in ("no", "no_"):
        flag = token.removeprefix(start)
        if flag != token and flag in known and isinstance(known[flag].default, bool):
            return flag, False
    raise ConfigError(f"qdisc {name} has no word {token!r}{suggest(token, known)}")


def _from_mapping(
    name: str, known: Mapping[str, Parameter], values: Mapping[str, Value]
) -> dict[str, Value]:
    given: dict[str, Value] = {}
    for word, value in values.items():
        if word not in known:
            raise ConfigError(f"qdisc {name} has no word {word!r}{suggest(word, known)}")
        default = known[word].default
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise ConfigError(f"qdisc {name}: {word!r} is true or false, not {value!r}")
            given[word] = value
        elif isinstance(default, tuple):
            if not isinstance(value, list | tuple):
                raise ConfigError(f"qdisc {name}: {word!r} is a list, not {value!r}")
            given[word] = tuple(value)
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ConfigError(f"qdisc {name}: {word!r} can't be {value!r}")
        else:
            given[word] = value
    _check_complete(name, known, given)
    return given


def _check_complete(name: str, known: Mapping[str, Parameter], given: Mapping[str, Value]) -> None:
    for word, parameter in known.items():
        if parameter.default is Parameter.empty and word not in given:
            raise ConfigError(f"qdisc {name} needs the word {word!r}")
