"""All types of toxics, with their attributes: one table, for the API, files, checks and docs.

The first seven are Toxiproxy's, and mean what they mean there (its README). They work on the bytes
of one direction of a connection, in front of the emulated link (`chain.py`). The others are ours,
and work on the packets of that link (`packets.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from pystack.apps.proxy.errors import (
    BadRequestError,
    InvalidStreamError,
    InvalidToxicTypeError,
)
from pystack.apps.proxy.toxics.attributes import (
    PROBABILITY,
    RATE,
    Attribute,
    Choice,
    Integer,
    Switch,
    Text,
    brief,
    milliseconds,
    size,
)
from pystack.apps.proxy.toxics.spec import STREAMS, ToxicSpec
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.link.config import PipeConfig

MAX_MTU_BYTES: Final = 65535
MIN_MTU_BYTES: Final = 68  # RFC 791


@dataclass(frozen=True, slots=True)
class ToxicType:
    """What there is to say of one type of toxic."""

    about: str  # what it does: a sentence or two, in Markdown
    attributes: tuple[Attribute, ...]
    packets: bool = False  # it works on packets, not on bytes: one that Toxiproxy has not
    udp: bool = False  # it works for datagrams too, and then on packets

    @property
    def defaults(self) -> dict[str, object]:
        """Return all attributes, as they are where nothing is said."""
        return {each.name: each.default for each in self.attributes}

    def read(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return all attributes, in order: those that are given, checked, and the others' defaults.

        None stands for the default. What Toxiproxy's toxics do not know they ignore, as there;
        case is ignored too. Raises ConfigError.
        """
        known = {each.name: each for each in self.attributes}
        values = self.defaults
        for name, value in given.items():
            attribute = known.get(name) or known.get(name.lower())
            if attribute is None:
                if self.packets:
                    said = brief(repr(name))
                    raise ConfigError(f"there is no attribute {said}{suggest(name[:50], known)}")
            elif value is not None:
                values[attribute.name] = attribute.read(value)
        return values


def checked(spec: ToxicSpec, protocol: str = "tcp") -> ToxicSpec:
    """Return a toxic with all its attributes, and its usual name if it has none.

    The stream may be in any case of letters. `protocol` is the proxy's, "tcp" or "udp". Raises
    InvalidStreamError, InvalidToxicTypeError, BadRequestError.
    """
    stream = next((each for each in STREAMS if each == spec.stream.lower()), None)
    if stream is None:
        raise InvalidStreamError
    toxic = TOXICS.get(spec.type)
    if toxic is None:
        raise InvalidToxicTypeError
    if protocol == "udp" and not toxic.udp:
        others = ", ".join(name for name, each in TOXICS.items() if each.udp)
        raise BadRequestError(
            f"{spec.type} works on the bytes of connections, and a UDP proxy has none: "
            f"use one of {others}"
        )
    try:
        PROBABILITY.read(spec.toxicity)
    except ConfigError:
        said = brief(repr(spec.toxicity))
        raise BadRequestError(f"toxicity is {said}: it must be 0 to 1") from None
    try:
        attributes = toxic.read(spec.attributes)
    except ConfigError as error:
        raise BadRequestError(f"{spec.type}: {error}") from None
    name = spec.name or f"{spec.type}_{stream}"
    return replace(spec, name=name, stream=stream, attributes=attributes)


def is_packet_toxic(type_name: str, protocol: str = "tcp") -> bool:
    """Tell whether a toxic of that type works on the packets of the link."""
    return protocol == "udp" or TOXICS[type_name].packets


def _loss_model(text: str) -> None:
    PipeConfig.parse(loss=text)


def _qdisc(text: str) -> None:
    PipeConfig.parse(rate=1e6, qdisc=text)


_TIME: Final = Integer()
_CORRELATION: Final = "How much each draw depends on the one before."
_DISTRIBUTION: Final = Choice(("uniform", "normal", "pareto", "paretonormal"))

_DELAY: Final = Attribute(
    "delay", milliseconds(), "ms", "Mean of the delay; 0: as much as `jitter`."
)
_JITTER: Final = Attribute("jitter", milliseconds(), "ms", "Spread of the delay.")
_SHAPE: Final = (
    Attribute("correlation", PROBABILITY, "0..1", "How much each delay depends on the one before."),
    Attribute(
        "distribution",
        _DISTRIBUTION,
        "",
        "The shape of the jitter: uniform, normal, pareto or paretonormal.",
        "uniform",
    ),
    Attribute(
        "reorder_by_jitter", Switch(), "", "Packets with less delay overtake others.", default=False
    ),
)


def _chance(about: str) -> tuple[Attribute, Attribute]:
    return (
        Attribute("probability", PROBABILITY, "0..1", about),
        Attribute("correlation", PROBABILITY, "0..1", _CORRELATION),
    )


TOXICS: Final[Mapping[str, ToxicType]] = {
    "latency": ToxicType(
        "Delays all data by `latency`, give or take `jitter`. Its order stays.",
        (
            Attribute("latency", _TIME, "ms", "The delay."),
            Attribute("jitter", _TIME, "ms", "How much more or less it may be, uniformly."),
        ),
        udp=True,
    ),
    "bandwidth": ToxicType(
        "Limits each connection to so many kilobytes (of 1000 bytes) a second. At 0 nothing gets "
        "through: it waits until the toxic is changed or removed.",
        (Attribute("rate", Integer(), "KB/s", "The most that gets through."),),
        udp=True,
    ),
    "slow_close": ToxicType(
        "Holds the end of the connection (the FIN) back.",
        (Attribute("delay", _TIME, "ms", "For how long."),),
    ),
    "timeout": ToxicType(
        "Drops all data, and closes the connection after `timeout`. Where the toxic is removed "
        "earlier the connection is closed then, since data is missing from it.",
        (Attribute("timeout", _TIME, "ms", "After what time; 0: never."),),
        udp=True,
    ),
    "reset_peer": ToxicType(
        "Drops all data, and resets the connection (RST, both ends of it) after `timeout`.",
        (
            Attribute(
                "timeout",
                _TIME,
                "ms",
                "After what time; 0: as soon as there is something to carry in this direction.",
            ),
        ),
    ),
    "slicer": ToxicType(
        "Cuts data into small pieces, which are sent one by one.",
        (
            Attribute(
                "average_size", Integer(), "bytes", "Size of a piece; 0: data stays in one piece."
            ),
            Attribute(
                "size_variation",
                Integer(),
                "bytes",
                "How much more or less it may be; less than `average_size`.",
            ),
            Attribute("delay", _TIME, "µs", "Time from one piece to the next."),
        ),
    ),
    "limit_data": ToxicType(
        "Closes the connection when so much has got through.",
        (Attribute("bytes", Integer(), "bytes", "How much gets through."),),
    ),
    "loss": ToxicType(
        "Loses packets.",
        (
            *_chance("Share of packets that are lost."),
            Attribute(
                "model",
                Text("a loss of netem's, such as 'gemodel 1% 10%'", _loss_model, optional=True),
                "",
                "Bursts instead of `probability`: `gemodel P [R [1-H [1-K]]]` or "
                "`state P13 [P31 [P32 [P23 [P14]]]]`, as netem has them.",
                "",
            ),
        ),
        packets=True,
        udp=True,
    ),
    "corrupt": ToxicType(
        "Flips a random bit of packets.",
        _chance("Share of packets that are damaged."),
        packets=True,
        udp=True,
    ),
    "duplicate": ToxicType(
        "Sends packets twice.",
        _chance("Share of packets that arrive twice."),
        packets=True,
        udp=True,
    ),
    "reorder": ToxicType(
        "Lets packets overtake others: those that are not reordered take `delay` longer.",
        (
            *_chance("Share of packets that overtake."),
            Attribute("gap", Integer(1, 1 << 31), "", "Only each packet of this number may.", 1),
            Attribute(
                "delay", milliseconds(least=0.001), "ms", "How far the others are behind.", 10
            ),
        ),
        packets=True,
        udp=True,
    ),
    "delay": ToxicType(
        "Delays each packet by `delay`, give or take `jitter`: handshakes, acknowledgments and "
        "repeats too.",
        (_DELAY, _JITTER, *_SHAPE),
        packets=True,
        udp=True,
    ),
    "jitter": ToxicType(
        "Delays each packet by a random time.",
        (
            _JITTER,
            _DELAY,
            *_SHAPE,
        ),
        packets=True,
        udp=True,
    ),
    "rate": ToxicType(
        "Sends packets at no more than this rate: all connections of the proxy share it, and "
        "their packets queue for it. The lowest rate of several holds; at 0 there is no limit.",
        (
            Attribute("rate", RATE, "bit/s", "The rate."),
            Attribute("limit", Integer(1, 1 << 31), "packets", "How many may wait.", 1000),
            Attribute("overhead", Integer(0, MAX_MTU_BYTES), "bytes", "Added to each packet."),
        ),
        packets=True,
        udp=True,
    ),
    "queue": ToxicType(
        "Lets packets that wait for a rate (this one's, another toxic's, the proxy's) do so in "
        "this queue; where no rate holds them up it does nothing.",
        (
            Attribute(
                "qdisc",
                Text("a queue such as 'codel target 5ms'", _qdisc),
                "",
                "The [queue](queues.md), with its words.",
                "fq_codel",
            ),
            Attribute("rate", RATE, "bit/s", "The rate; 0: none of its own."),
        ),
        packets=True,
        udp=True,
    ),
    "mtu_blackhole": ToxicType(
        "Loses all packets that are larger than `mtu`, and tells nobody.",
        (
            Attribute(
                "mtu", size(MIN_MTU_BYTES, MAX_MTU_BYTES), "bytes", "The largest IP packet.", 1280
            ),
        ),
        packets=True,
        udp=True,
    ),
    "half_open": ToxicType(
        "Loses every packet of this direction; those of the other one arrive.",
        (
            Attribute(
                "handshake",
                Switch(),
                "",
                "SYNs are spared, so that new connections are still established.",
                default=True,
            ),
        ),
        packets=True,
        udp=True,
    ),
    "flap": ToxicType(
        "Cuts the link again and again. What is on its way then is lost.",
        (
            Attribute("up", milliseconds(least=1), "ms", "For how long it works.", 1000),
            Attribute("down", milliseconds(least=1), "ms", "For how long it is cut.", 1000),
        ),
        packets=True,
        udp=True,
    ),
}
