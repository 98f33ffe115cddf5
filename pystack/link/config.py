"""How one direction of a link behaves, in the words of tc-netem(8), parsed and checked.

    PipeConfig.parse(delay="20ms", jitter="2ms", loss="1%", rate="10mbit", limit=100)

The words are those of the table in `words.py`; here is what their values mean. Where netem puts
several values after a word, so may the text: delay="20ms 5ms 25%", loss="gemodel 1% 10%". A word
that would do nothing is refused (`pystack.link.idle`).
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Unpack

from pystack.core.errors import ConfigError, one_line
from pystack.core.units import (
    parse_probability,
    parse_rate_bps,
    parse_size_bytes,
    parse_time_s,
)
from pystack.link.idle import refuse_idle
from pystack.link.impair.base import ImpairmentFactory
from pystack.link.impair.delay import DelayConfig
from pystack.link.impair.distribution import Table, parse_distribution
from pystack.link.impair.drop import Drop, parse_drop
from pystack.link.impair.loss import LossModel, RandomLoss, parse_loss
from pystack.link.impair.registry import IMPAIRMENTS
from pystack.link.impair.slot import Slot, parse_slot
from pystack.link.impair.trace import DelayTrace, DeliveryTrace, parse_delay_trace, parse_trace
from pystack.link.qdisc.base import QdiscFactory
from pystack.link.transmit import DEFAULT_LIMIT_PACKETS, Rate
from pystack.link.words import NetemWords, as_words, unknown_word
from pystack.wire.ipv4 import MIN_MTU_BYTES


@dataclass(frozen=True, slots=True)
class TransmitConfig:
    """What decides when a frame goes: its equal keeps the queue and what is in it."""

    rate: Rate | None
    limit_packets: int
    qdisc: QdiscFactory | None
    slot: Slot | None
    trace: DeliveryTrace | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeConfig:
    """One direction of a link. The defaults are a perfect wire: no time, no loss, no limit."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    correlation: float = 0.0  # of one frame's jitter with that of the one before
    distribution: Table | None = None  # of the jitter; None: uniform
    reorder_by_jitter: bool = False  # netem's way: a frame of less delay overtakes others
    delay_trace: DelayTrace | None = None  # added to delay_s; None: nothing is
    reorder: float = 0.0  # the share of frames that is not delayed
    reorder_correlation: float = 0.0
    gap: int = 1  # gap - 1 frames are delayed before the next one may overtake
    loss: LossModel | None = None
    loss_correlation: float = 0.0  # of `loss random`
    ecn: bool = False  # what would be lost is marked where it can be
    drop: Drop | None = None
    duplicate: float = 0.0
    duplicate_correlation: float = 0.0
    corrupt: float = 0.0
    corrupt_correlation: float = 0.0
    rate_bps: float | None = None  # None: no time is needed to send a frame
    overhead_bytes: int = 0  # per packet, on top of the frame
    cell_bytes: int = 0  # ATM has 48; 0: no cells
    cell_overhead_bytes: int = 0
    slot: Slot | None = None
    limit_packets: int = DEFAULT_LIMIT_PACKETS  # that wait, when `qdisc` is None
    qdisc: QdiscFactory | None = None  # None: pfifo
    trace: DeliveryTrace | None = None  # instead of a rate
    mtu_bytes: int | None = None  # larger packets vanish; None: the link's own
    impairments: tuple[ImpairmentFactory, ...] = ()
    seed: int | None = None  # of this direction's chance; None: the network's, and the link's name

    def __post_init__(self) -> None:
        """Check what does not go together. Raises ConfigError."""
        if self.trace is not None and (self.rate_bps is not None or self.slot is not None):
            raise ConfigError("a trace says when frames may go: leave out rate and slot")
        if self.reorder and not (self.delay_s or self.delay_trace):
            raise ConfigError("reorder lets frames overtake those that are delayed: give a delay")
        if self.gap < 1 or (self.gap > 1 and not self.reorder):
            raise ConfigError("gap counts the frames from one reordered to the next: give reorder")
        if self.loss_correlation and not isinstance(self.loss, RandomLoss | None):
            raise ConfigError("loss_correlation is a word of loss random, not of the other models")
        if self.limit_packets < 1:
            raise ConfigError(f"a limit of {self.limit_packets} packets lets nothing wait")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"a seed of {self.seed} is below 0")
        if self.mtu_bytes is not None and self.mtu_bytes < MIN_MTU_BYTES:
            raise ConfigError(
                f"an MTU of {self.mtu_bytes} is below IPv4's minimum, {MIN_MTU_BYTES}"
            )
        if self.cell_overhead_bytes and not self.cell_bytes:
            raise ConfigError("cell_overhead is of each cell: give cell_size")

    @classmethod
    def parse(cls, **words: Unpack[NetemWords]) -> "PipeConfig":
        """Return the configuration that the words say. Raises ConfigError."""
        config = cls().updated(**words)
        _refuse_idle((config, words))
        return config

    def updated(self, **words: Unpack[NetemWords]) -> "PipeConfig":
        """Return this one with the words' changes; None for a word takes it back. ConfigError."""
        if "loss" in words and "loss_correlation" not in words:
            words = {"loss_correlation": None, **words}
        fields: dict[str, object] = {}
        for word, value in words.items():
            fields.update(read_word(word, value))
        return dataclasses.replace(self, **fields)  # type: ignore[arg-type]

    @property
    def loss_model(self) -> LossModel | None:
        """Return the loss with its correlation."""
        if isinstance(self.loss, RandomLoss):
            return dataclasses.replace(self.loss, correlation=self.loss_correlation)
        return self.loss

    @property
    def delay_config(self) -> DelayConfig:
        """Return what decides how long a frame is on its way."""
        return DelayConfig(
            delay_s=self.delay_s,
            jitter_s=self.jitter_s,
            correlation=self.correlation,
            distribution=self.distribution,
            reorder_by_jitter=self.reorder_by_jitter,
            reorder=self.reorder,
            reorder_correlation=self.reorder_correlation,
            gap=self.gap,
            delay_trace=self.delay_trace,
        )

    @property
    def transmit_config(self) -> TransmitConfig:
        """Return what decides when a frame goes."""
        rate = None
        if self.rate_bps is not None:
            cells = (self.cell_bytes, self.cell_overhead_bytes)
            rate = Rate(self.rate_bps, self.overhead_bytes, *cells)
        return TransmitConfig(rate, self.limit_packets, self.qdisc, self.slot, self.trace)


def update_both(
    configs: tuple[PipeConfig, PipeConfig],
    words: NetemWords,
    a_to_b: NetemWords | None,
    b_to_a: NetemWords | None,
) -> tuple[PipeConfig, PipeConfig]:
    """Return both directions with these words' changes: those for both, then each one's own.

    Raises ConfigError, also for a word that would do nothing in any direction it is said for.
    """
    for side in (a_to_b, b_to_a):
        if not isinstance(side, Mapping | None):
            raise ConfigError(
                f"the words of one direction are {{word: value}}, like {{'loss': '1%'}}, "
                f"not {side!r}"
            )
        as_words(side or {})
    forth: NetemWords = {**words, **(a_to_b or {})}
    back: NetemWords = {**words, **(b_to_a or {})}
    updated = configs[0].updated(**forth), configs[1].updated(**back)
    _refuse_idle((updated[0], forth), (updated[1], back))
    return updated


def _refuse_idle(*directions: tuple[PipeConfig, Mapping[str, object]]) -> None:
    refuse_idle(directions, lambda word: _WORDS[word][1], _DEFAULTS)


# What a word's value means: the values of the fields, as many as were given
_Parse = Callable[[object], tuple[object, ...]]
_Part = Callable[[str | float], object]


def _text(*parts: _Part) -> _Parse:
    """Return what parses a number, or a text of up to as many values as there are parts."""

    def parse(value: object) -> tuple[object, ...]:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise TypeError("it takes a text or a number")
        given = value.split() if isinstance(value, str) else [value]
        if not 1 <= len(given) <= len(parts):
            raise ConfigError(f"it takes 1 to {len(parts)} values" if parts[1:] else "it takes one")
        return tuple(part(one) for part, one in zip(parts, given, strict=False))

    return parse


def _count(value: str | float) -> int:
    try:
        number = int(value)
        if number == float(value):
            return number
    except (ValueError, OverflowError):
        pass
    raise ConfigError(f"it takes a whole number, not {value!r}")


def _yes(value: object) -> tuple[object, ...]:
    if not isinstance(value, bool):
        raise TypeError("it takes True or False")
    return (value,)


def _one(parse: Callable[..., object]) -> _Parse:
    return lambda value: (parse(value),)


def _loss(value: object) -> tuple[object, ...]:
    model = parse_loss(value)  # type: ignore[arg-type]
    return (model, model.correlation) if isinstance(model, RandomLoss) else (model,)


def _list_of_impairments(value: object) -> tuple[object, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    return (tuple(map(IMPAIRMENTS.read, items)),)


def _qdisc(value: object) -> tuple[object, ...]:
    # Imported here: the queues are many, and most links have none of them.
    from pystack.link.qdisc.registry import QDISCS

    return (QDISCS.read(value),)


_probability: Final = _text(parse_probability)
_correlated: Final = _text(parse_probability, parse_probability)
_bytes: Final = _text(_count)

_WORDS: Final[dict[str, tuple[_Parse, tuple[str, ...]]]] = {
    "delay": (
        _text(parse_time_s, parse_time_s, parse_probability),
        ("delay_s", "jitter_s", "correlation"),
    ),
    "jitter": (_text(parse_time_s, parse_probability), ("jitter_s", "correlation")),
    "correlation": (_probability, ("correlation",)),
    "distribution": (_one(parse_distribution), ("distribution",)),
    "reorder_by_jitter": (_yes, ("reorder_by_jitter",)),
    "delay_trace": (_one(parse_delay_trace), ("delay_trace",)),
    "reorder": (_correlated, ("reorder", "reorder_correlation")),
    "reorder_correlation": (_probability, ("reorder_correlation",)),
    "gap": (_text(_count), ("gap",)),
    "loss": (_loss, ("loss", "loss_correlation")),
    "loss_correlation": (_probability, ("loss_correlation",)),
    "ecn": (_yes, ("ecn",)),
    "drop": (_one(parse_drop), ("drop",)),
    "duplicate": (_correlated, ("duplicate", "duplicate_correlation")),
    "duplicate_correlation": (_probability, ("duplicate_correlation",)),
    "corrupt": (_correlated, ("corrupt", "corrupt_correlation")),
    "corrupt_correlation": (_probability, ("corrupt_correlation",)),
    "rate": (
        _text(parse_rate_bps, _count, _count, _count),
        ("rate_bps", "overhead_bytes", "cell_bytes", "cell_overhead_bytes"),
    ),
    "overhead": (_bytes, ("overhead_bytes",)),
    "cell_size": (_bytes, ("cell_bytes",)),
    "cell_overhead": (_bytes, ("cell_overhead_bytes",)),
    "slot": (_one(parse_slot), ("slot",)),
    "limit": (_text(_count), ("limit_packets",)),
    "qdisc": (_qdisc, ("qdisc",)),
    "trace": (_one(parse_trace), ("trace",)),
    "mtu": (_text(parse_size_bytes), ("mtu_bytes",)),
    "impairments": (_list_of_impairments, ("impairments",)),
    "seed": (_text(_count), ("seed",)),
}

_DEFAULTS: Final[dict[str, object]] = {
    field.name: field.default for field in dataclasses.fields(PipeConfig)
}


def read_word(word: str, value: object) -> dict[str, object]:
    """Return the fields that a word sets; a value of None takes it back. Raises ConfigError."""
    if word not in _WORDS:
        raise unknown_word(word)
    parse, names = _WORDS[word]
    if value is None:
        return {name: _DEFAULTS[name] for name in names}
    try:
        return dict(zip(names, parse(value), strict=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{word} = {value!r} is not possible: {one_line(error)}") from None
