"""Toxics on packets: what they make of a link, in netem's words, on top of its own words.

Each kind of thing has one rule. Delays and jitters add up, whoever asks for them. Losses follow one
another, each with its own chance and state; the chances of damage, duplicates and reordering
combine, as those of independent events. The lowest rate and the smallest MTU hold. Of what there
can be only one (a queue, the shape of a jitter, a correlation) the last toxic's holds.

A toxic of the stream "upstream" is in the words from client to upstream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pystack.apps.proxy.toxics.spec import MS, STREAMS, ToxicSpec, number
from pystack.core.errors import ConfigError
from pystack.link.config import PipeConfig
from pystack.link.words import as_words

if TYPE_CHECKING:
    from pystack.link.impair.packet import Packet
    from pystack.link.words import NetemWords

_BITS_OF_A_KILOBYTE: Final = 8000.0

_Attributes = Mapping[str, object]


def words_for(
    base: tuple[NetemWords, NetemWords], toxics: Iterable[ToxicSpec]
) -> tuple[NetemWords, NetemWords]:
    """Return the words of a link, upstream and downstream: those of `base` with these toxics.

    `toxics`: those on packets that hit it, in the order of their making; of "flap" there is nothing
    in the words (`flaps.py`). ConfigError: they do not go together with the words of `base`.
    """
    toxics = list(toxics)
    upstream, downstream = (
        _words_of(words, [toxic for toxic in toxics if toxic.stream == stream])
        for words, stream in zip(base, STREAMS, strict=True)
    )
    return upstream, downstream


# Words that are said together, since one of them may have said another's value: "50ms 5ms". Each
# has its field of the configuration; None: it is taken as it was said.
_GROUPS: Final[tuple[Mapping[str, str | None], ...]] = (
    {
        "delay": "delay_s",
        "jitter": "jitter_s",
        "correlation": "correlation",
        "distribution": None,
        "reorder_by_jitter": "reorder_by_jitter",
    },
    {"reorder": "reorder", "reorder_correlation": "reorder_correlation", "gap": "gap"},
    {"duplicate": "duplicate", "duplicate_correlation": "duplicate_correlation"},
    {"corrupt": "corrupt", "corrupt_correlation": "corrupt_correlation"},
    {
        "rate": "rate_bps",
        "overhead": "overhead_bytes",
        "cell_size": "cell_bytes",
        "cell_overhead": "cell_overhead_bytes",
    },
    {"limit": "limit_packets"},
    {"mtu": "mtu_bytes"},
    {"qdisc": None},
    {"drop": None},
)
_NOTHING: Final = PipeConfig()


class _Sum:
    """What toxics make of one direction, added up. Times are in seconds, rates in bits a second."""

    def __init__(self, base: NetemWords) -> None:
        config = PipeConfig().updated(**base)
        self.values: dict[str, object] = {
            word: base.get(word) if field is None else getattr(config, field)
            for group in _GROUPS
            for word, field in group.items()
        }
        self.losses: list[str] = []
        self.holds_back = config.slot is not None or config.trace is not None

    def number(self, word: str) -> float:
        """Return the value of a word that has a number, or none."""
        return number(self.values, word) if self.values[word] is not None else 0

    def delay(self, delay_ms: float, jitter_ms: float, shape: _Attributes) -> None:
        """Add a delay, and a jitter around it."""
        self.values["delay"] = self.number("delay") + (delay_ms or jitter_ms) * MS
        if jitter_ms:
            self.values["jitter"] = self.number("jitter") + jitter_ms * MS
            for word in ("correlation", "reorder_by_jitter"):
                self.values[word] = shape[word]
            uniform = shape["distribution"] == "uniform"
            self.values["distribution"] = None if uniform else shape["distribution"]

    def combine(self, word: str, attributes: _Attributes) -> bool:
        """Combine a chance with what there is; tell whether there is any."""
        probability = number(attributes, "probability")
        if probability:
            self.values[word] = 1 - (1 - self.number(word)) * (1 - probability)
            self.values[f"{word}_correlation"] = attributes["correlation"]
        return probability > 0

    def limit_rate(self, bps: float) -> bool:
        """Let the rate be no higher than this, if it is not 0; tell whether it is this now."""
        if not bps or 0 < self.number("rate") <= bps:
            return False
        self.values["rate"] = bps
        return True


def _words_of(base: NetemWords, toxics: list[ToxicSpec]) -> NetemWords:
    total, before = _Sum(base), _Sum(base).values
    for toxic in toxics:
        _RULES[toxic.type](total, toxic.attributes)
    after = total.values
    if not (after["rate"] or total.holds_back or _may_shape(after["qdisc"])):
        after["qdisc"] = before["qdisc"]  # nothing waits
    if after["qdisc"] is not None:
        after["limit"] = _NOTHING.limit_packets  # the queue has its own
    words: dict[str, object] = dict(base)
    for group in _GROUPS:
        if any(after[word] != before[word] for word in group):
            for word, field in group.items():
                words.pop(word, None)
                if after[word] != (None if field is None else getattr(_NOTHING, field)):
                    words[word] = after[word]
    _lose(words, total.losses)
    said = as_words(words)
    PipeConfig().updated(**said)
    return said


def _may_shape(qdisc: object) -> bool:
    """Tell whether a queue may hold packets back by itself, as tbf does."""
    try:
        PipeConfig.parse(qdisc=qdisc)  # type: ignore[arg-type]
    except ConfigError:
        return False
    return True


def _lose(words: dict[str, object], losses: list[str]) -> None:
    """Say the losses: the first as the link's, if it has none; others are stages of their own."""
    if losses and "loss" not in words:
        words["loss"], losses = losses[0], losses[1:]
    if losses:
        own = words.get("impairments") or []
        stages = list(own) if isinstance(own, list | tuple) else [own]
        words["impairments"] = [*stages, *({"name": "loss", "model": model} for model in losses)]


def _delay(total: _Sum, its: _Attributes) -> None:
    total.delay(number(its, "delay"), number(its, "jitter"), its)


def _latency(total: _Sum, its: _Attributes) -> None:
    # Toxiproxy's jitter may be more than the latency; what would be below 0 is 0, as netem has it.
    shape = {"correlation": 0.0, "distribution": "uniform", "reorder_by_jitter": False}
    total.delay(number(its, "latency"), number(its, "jitter"), shape)


def _reorder(total: _Sum, its: _Attributes) -> None:
    if total.combine("reorder", its):
        total.delay(number(its, "delay"), 0, {})
        total.values["gap"] = its["gap"]


def _corrupt(total: _Sum, its: _Attributes) -> None:
    total.combine("corrupt", its)


def _duplicate(total: _Sum, its: _Attributes) -> None:
    total.combine("duplicate", its)


def _loss(total: _Sum, its: _Attributes) -> None:
    chances = (number(its, "probability"), number(its, "correlation"))
    if its["model"]:
        total.losses.append(str(its["model"]))
    elif chances[0]:
        total.losses.append(" ".join(("random", *(f"{each * 100:.12g}%" for each in chances))))


def _rate(total: _Sum, its: _Attributes) -> None:
    if total.limit_rate(number(its, "rate")):
        total.values |= {"limit": its["limit"], "overhead": its["overhead"]}


def _bandwidth(total: _Sum, its: _Attributes) -> None:
    if rate := number(its, "rate"):
        total.limit_rate(rate * _BITS_OF_A_KILOBYTE)
    else:
        total.values["drop"] = _any


def _queue(total: _Sum, its: _Attributes) -> None:
    total.limit_rate(number(its, "rate"))
    total.values["qdisc"] = its["qdisc"]


def _mtu_blackhole(total: _Sum, its: _Attributes) -> None:
    smallest = min(filter(None, (total.number("mtu"), number(its, "mtu"))))
    total.values["mtu"] = int(smallest)


def _half_open(total: _Sum, its: _Attributes) -> None:
    total.values["drop"] = _any_but_syns if its["handshake"] else _any


def _timeout(total: _Sum, its: _Attributes) -> None:
    total.values["drop"] = _any


def _flap(total: _Sum, its: _Attributes) -> None:
    """It takes time, not words."""


_RULES: Final[Mapping[str, Callable[[_Sum, _Attributes], None]]] = {
    "loss": _loss,
    "corrupt": _corrupt,
    "duplicate": _duplicate,
    "reorder": _reorder,
    "delay": _delay,
    "jitter": _delay,
    "rate": _rate,
    "queue": _queue,
    "mtu_blackhole": _mtu_blackhole,
    "half_open": _half_open,
    "flap": _flap,
    # Toxiproxy's, on datagrams
    "latency": _latency,
    "bandwidth": _bandwidth,
    "timeout": _timeout,
}


# What is dropped: what programs say, not what hosts need to find each other. They are functions of
# the module, so that the words of a link are the same as long as its toxics are.


def _any(packet: Packet) -> bool:
    return packet.proto in ("TCP", "UDP")


def _any_but_syns(packet: Packet) -> bool:
    return _any(packet) and "SYN" not in packet.flags
