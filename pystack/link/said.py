"""What the configuration of a pipe says, in the words of tc-netem(8) that would make it again."""

from collections.abc import Iterator

from pystack.core.units import part_text, rate_text, time_text
from pystack.link.config import PipeConfig
from pystack.link.impair.loss import FourState, GilbertElliott, LossModel, RandomLoss
from pystack.link.transmit import DEFAULT_LIMIT_PACKETS


def words_of(config: PipeConfig) -> dict[str, str]:
    """Return the words, with their values, of what is not the default.

    What is no text by nature (a trace, a function) is named only.
    """
    return dict(_said(config))


def _said(config: PipeConfig) -> Iterator[tuple[str, str]]:
    yield from _times(config)
    if config.loss_model is not None:
        yield "loss", _loss(config.loss_model)
    if config.ecn:
        yield "ecn", "yes"
    if config.drop is not None:
        yield "drop", _named(config.drop)
    for word in ("duplicate", "corrupt", "reorder"):
        part, correlation = getattr(config, word), getattr(config, f"{word}_correlation")
        if part:
            yield word, _correlated(part, correlation)
    if config.gap != 1:
        yield "gap", str(config.gap)
    if config.rate_bps is not None:
        yield "rate", rate_text(config.rate_bps)
    for word, number in (
        ("overhead", config.overhead_bytes),
        ("cell_size", config.cell_bytes),
        ("cell_overhead", config.cell_overhead_bytes),
        ("mtu", config.mtu_bytes),
        ("seed", config.seed),
    ):
        if number:
            yield word, str(number)
    for word, thing in (
        ("slot", config.slot),
        ("trace", config.trace),
        ("delay_trace", config.delay_trace),
        ("distribution", config.distribution),
        ("qdisc", config.qdisc),
    ):
        if thing is not None:
            yield word, _named(thing)
    if config.limit_packets != DEFAULT_LIMIT_PACKETS:
        yield "limit", str(config.limit_packets)
    if config.impairments:
        yield "impairments", ", ".join(map(_named, config.impairments))


def _times(config: PipeConfig) -> Iterator[tuple[str, str]]:
    if config.delay_s:
        yield "delay", time_text(config.delay_s)
    if config.jitter_s:
        yield "jitter", time_text(config.jitter_s)
    if config.correlation:
        yield "correlation", part_text(config.correlation)


def _loss(model: LossModel) -> str:
    match model:
        case RandomLoss():
            return _correlated(model.probability, model.correlation)
        case GilbertElliott():
            parts = (model.p, model.r, model.loss_bad, model.loss_good)
            return " ".join(("gemodel", *map(part_text, parts)))
        case FourState():
            states = (model.p13, model.p31, model.p32, model.p23, model.p14)
            return " ".join(("state", *map(part_text, states)))


def _correlated(part: float, correlation: float) -> str:
    return part_text(part) + (f" {part_text(correlation)}" if correlation else "")


def _named(thing: object) -> str:
    """Return the name of what has one: what was asked for, a class, a function."""
    title = getattr(thing, "title", None)  # of a plug-in: "qdisc codel"
    if isinstance(title, str):
        said = " ".join(f"{word} {value}" for word, value in getattr(thing, "words", ()))
        return " ".join(filter(None, (title.partition(" ")[2] or title, said)))
    name = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    return name if isinstance(name, str) else type(thing).__name__.lower()
