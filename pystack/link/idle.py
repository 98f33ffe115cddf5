"""Words that would do nothing: said without the word that they belong to.

`limit=100` without a rate lets nobody wait, and whoever writes it believes that it does. So it is
refused where it is said. A word that lost its partner later (`link.set(rate=None)`) stays, for when
that comes back; so does one that is said for both directions and works in one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng

if TYPE_CHECKING:
    from pystack.link.config import PipeConfig
    from pystack.link.qdisc.base import QdiscFactory

_Holds = Callable[["PipeConfig"], object]


def _has_jitter(config: PipeConfig) -> object:
    return config.jitter_s


def _has_rate(config: PipeConfig) -> object:
    return config.rate_bps is not None


def _holds_back(config: PipeConfig) -> object:
    return _has_rate(config) or config.slot or config.trace


def _limit_works(config: PipeConfig) -> object:
    return config.qdisc is None and _holds_back(config)


def _qdisc_works(config: PipeConfig) -> object:
    return config.qdisc is None or _holds_back(config) or _may_shape(config.qdisc)


def _draws(config: PipeConfig) -> object:
    chances = (config.loss, config.duplicate, config.corrupt, config.reorder, config.jitter_s)
    return any(chances) or config.slot or config.qdisc or config.impairments


# Of each field: whether it works, and what is missing if it does not
_RULES: Final[dict[str, tuple[_Holds, str]]] = {
    "jitter_s": (lambda c: c.delay_s or c.delay_trace, "jitter is around a delay: give a delay"),
    "correlation": (_has_jitter, "it is the jitter's: give a jitter"),
    "distribution": (_has_jitter, "it is the jitter's: give a jitter"),
    "reorder_by_jitter": (_has_jitter, "give a jitter"),
    "reorder_correlation": (lambda c: c.reorder, "give reorder"),
    "loss_correlation": (lambda c: c.loss, "give a loss"),
    "ecn": (lambda c: c.loss, "it marks what would be lost: give a loss"),
    "duplicate_correlation": (lambda c: c.duplicate, "give duplicate"),
    "corrupt_correlation": (lambda c: c.corrupt, "give corrupt"),
    "overhead_bytes": (_has_rate, "bytes take time by a rate: give a rate"),
    "cell_bytes": (_has_rate, "cells take time by a rate: give a rate"),
    "cell_overhead_bytes": (_has_rate, "cells take time by a rate: give a rate"),
    "limit_packets": (
        _limit_works,
        "frames wait for a rate, a slot or a trace: give one (a qdisc has a limit of its own)",
    ),
    "qdisc": (_qdisc_works, "frames wait for a rate, a slot or a trace: give one"),
    "seed": (_draws, "nothing here is left to chance"),
}


def refuse_idle(
    directions: Iterable[tuple[PipeConfig, Mapping[str, object]]],
    fields_of: Callable[[str], tuple[str, ...]],
    defaults: Mapping[str, object],
) -> None:
    """Raise ConfigError for a word that was said and works in none of the directions."""
    idle: dict[str, str] = {}
    working: set[str] = set()
    for config, said in directions:
        for word in said:
            missing = _missing(config, fields_of(word), defaults)
            if missing is None:
                working.add(word)
            else:
                idle[word] = missing
    for word, missing in idle.items():
        if word not in working:
            raise ConfigError(f"{word} would have no effect: {missing}")


def _missing(
    config: PipeConfig, names: Iterable[str], defaults: Mapping[str, object]
) -> str | None:
    for name in names:
        if name in _RULES and getattr(config, name) != defaults[name]:
            works, missing = _RULES[name]
            if not works(config):
                return missing
    return None


def _may_shape(factory: QdiscFactory) -> bool:
    """Tell whether a queue may hold frames back by itself; of a plug-in nobody knows."""
    from pystack.link.qdisc.registry import is_work_conserving

    return not is_work_conserving(factory(component_rng(0, "qdisc/check")))
