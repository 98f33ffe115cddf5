"""The words of a link, those of tc-netem(8) and tc(8) and a few of our own: one table of them.

`NetemWords` is that table. A type checker reads the types of its keys, and so knows the words of
`Network.link` and `Link.set`; what else is to be said of a word is in its `Word`. `WORDS` has these
by their names: labs in TOML, the options of the command and the table in docs/emulation.md are made
from it. What the values mean is in `config.py`, which must know each word of the table.

A number is in the unit of the result: seconds, bits per second, bytes, 0..1. A text says its unit.
None takes a word back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypedDict, cast

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest

if TYPE_CHECKING:  # the emulator is only imported where a link is made
    from pystack.link.impair.base import ImpairmentLike
    from pystack.link.impair.drop import Drop
    from pystack.link.impair.packet import Predicate
    from pystack.link.impair.trace import DelayTrace, DeliveryTrace
    from pystack.link.qdisc.base import QdiscLike


@dataclass(frozen=True, slots=True)
class Word:
    """What there is to say of a word, but for its type."""

    values: str  # what follows it, in the notation of a manual page; "": it is a flag
    unit: str  # of its first value, if that is a number; "": it has none
    about: str  # what it does: a sentence, in Markdown
    default: str  # what holds where it is not said, as a text that says it; "": nothing
    example: str  # a text, as on a command line; "": the flag itself
    repeats: bool = False  # it takes several values, each a text of its own


class NetemWords(TypedDict, total=False):
    """What `Network.link` and `Link.set` take: how one direction of a link behaves, or both.

    docs/emulation.md explains each word. None for a word takes it back.
    """

    delay: Annotated[
        str | float | None,
        Word(
            "TIME [JITTER [CORRELATION]]",
            "seconds",
            "Time that each frame takes.",
            "0s",
            "50ms",
        ),
    ]
    jitter: Annotated[
        str | float | None,
        Word("TIME [CORRELATION]", "seconds", "Spread of the delay.", "0s", "5ms"),
    ]
    correlation: Annotated[
        str | float | None,
        Word("PERCENT", "0..1", "How much each delay depends on the previous one.", "0%", "25%"),
    ]
    distribution: Annotated[
        str | Path | None,
        Word(
            "uniform|normal|pareto|paretonormal|FILE",
            "",
            "The shape of the jitter: one of these, a table file, or a name of tc's "
            "(`experimental`).",
            "uniform",
            "normal",
        ),
    ]
    reorder_by_jitter: Annotated[
        bool | None,
        Word("", "", "Frames with less delay overtake others, as in netem.", "", ""),
    ]
    delay_trace: Annotated[
        "str | Path | DelayTrace | None",
        Word("FILE", "", "A delay that changes over time, on top of `delay`.", "", "orbit.delay"),
    ]
    reorder: Annotated[
        str | float | None,
        Word(
            "PERCENT [CORRELATION]",
            "0..1",
            "Share of frames that are not delayed, and so overtake others.",
            "0%",
            "25%",
        ),
    ]
    reorder_correlation: Annotated[
        str | float | None,
        Word(
            "PERCENT", "0..1", "How much each reordering depends on the previous draw.", "0%", "50%"
        ),
    ]
    gap: Annotated[
        str | int | None,
        Word("N", "frames", "Only every Nth frame may be reordered.", "1", "5"),
    ]
    loss: Annotated[
        str | float | None,
        Word(
            "[random] PERCENT [CORRELATION] | gemodel P [R [1-H [1-K]]] | "
            "state P13 [P31 [P32 [P23 [P14]]]]",
            "0..1",
            "Random loss of frames.",
            "0%",
            "1%",
        ),
    ]
    loss_correlation: Annotated[
        str | float | None,
        Word("PERCENT", "0..1", "How much each loss depends on the previous draw.", "0%", "25%"),
    ]
    ecn: Annotated[
        bool | None,
        Word("", "", "ECN-capable frames are marked (CE) instead of being lost.", "", ""),
    ]
    drop: Annotated[
        "str | int | Iterable[int] | Predicate | Drop | None",
        Word(
            "N[,N]...|PATTERN",
            "",
            "Deliberate loss: the positions `3,5`, a pattern `..x` that repeats; in Python also a "
            "list of positions, or a function of the packet.",
            "",
            "3,5",
        ),
    ]
    duplicate: Annotated[
        str | float | None,
        Word("PERCENT [CORRELATION]", "0..1", "Share of frames that arrive twice.", "0%", "1%"),
    ]
    duplicate_correlation: Annotated[
        str | float | None,
        Word(
            "PERCENT",
            "0..1",
            "How much each duplication depends on the previous draw.",
            "0%",
            "25%",
        ),
    ]
    corrupt: Annotated[
        str | float | None,
        Word(
            "PERCENT [CORRELATION]",
            "0..1",
            "Share of frames in which a random bit is flipped.",
            "0%",
            "1%",
        ),
    ]
    corrupt_correlation: Annotated[
        str | float | None,
        Word(
            "PERCENT", "0..1", "How much each corruption depends on the previous draw.", "0%", "25%"
        ),
    ]
    rate: Annotated[
        str | float | None,
        Word(
            "RATE [OVERHEAD [CELL_SIZE [CELL_OVERHEAD]]]",
            "bits per second",
            "Rate at which frames are sent.",
            "",
            "10mbit",
        ),
    ]
    overhead: Annotated[
        str | int | None,
        Word("BYTES", "bytes", "Bytes added to each packet; negative: removed.", "0", "20"),
    ]
    cell_size: Annotated[
        str | int | None,
        Word(
            "BYTES", "bytes", "Packets are sent in whole cells of this size: ATM has 48.", "0", "48"
        ),
    ]
    cell_overhead: Annotated[
        str | int | None,
        Word("BYTES", "bytes", "Bytes added to each cell: ATM has 5.", "0", "5"),
    ]
    slot: Annotated[
        str | None,
        Word(
            "MIN [MAX] [packets N] [bytes N] | distribution NAME DELAY JITTER [packets N] "
            "[bytes N]",
            "seconds",
            "Frames wait for their turn on the medium.",
            "",
            "2ms 5ms packets 10",
        ),
    ]
    limit: Annotated[
        str | int | None,
        Word(
            "N",
            "packets",
            "Number of frames that may wait for the rate, if there is no `qdisc`.",
            "1000",
            "50",
        ),
    ]
    qdisc: Annotated[
        "QdiscLike | None",
        Word(
            "NAME [WORD VALUE]...",
            "",
            "Another [queue](queues.md), with its own limit; in Python also a class or other "
            "callable.",
            "",
            "fq_codel limit 100",
        ),
    ]
    trace: Annotated[
        "str | Path | Sequence[int] | DeliveryTrace | None",
        Word("FILE", "", "Delivery trace as in Mahimahi, instead of a rate.", "", "lte.up"),
    ]
    mtu: Annotated[
        str | int | None,
        Word(
            "BYTES",
            "bytes",
            "Larger packets are dropped silently: an MTU black hole.",
            "",
            "1400",
        ),
    ]
    impairments: Annotated[
        "ImpairmentLike | Sequence[ImpairmentLike] | None",
        Word(
            "NAME [WORD VALUE]...",
            "",
            "Additional stages, one after the other; in Python also classes or other callables.",
            "",
            "loss model 1%",
            repeats=True,
        ),
    ]
    seed: Annotated[
        str | int | None,
        Word(
            "N",
            "",
            "Seed for these words, giving the same draws on each link that has it (not in "
            "both directions).",
            "",
            "7",
        ),
    ]


WORDS: Final[Mapping[str, Word]] = {
    name: hint.__metadata__[0] for name, hint in NetemWords.__annotations__.items()
}


def as_words(words: Mapping[str, object]) -> NetemWords:
    """Take words that no type checker has seen, from a file or a command. ConfigError if unknown.

    Their values are checked by whoever reads them.
    """
    for word in words:
        if word not in WORDS:
            raise unknown_word(word)
    return cast(NetemWords, words)


def unknown_word(word: str) -> ConfigError:
    """Return what is to be said of a word that there is not."""
    return ConfigError(f"a link does not know the word {word!r}{suggest(word, sorted(WORDS))}")
