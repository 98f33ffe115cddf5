"""What can be measured of a run, and the words that ask for it: "rtt p50 p99".

`MEASURES` and `SERIES` are the tables: the files of experiments, the columns of results, the meter
and the table in docs/measures.md all have their names, units and definitions from here.

A *flow* is a connection of TCP in the direction in which it carried more of its users' bytes, or
the datagrams of UDP from one port to another. The *window* is the time from `after` to the end of
the network that is measured. The *link* is one direction of one link: see `Meter`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from pystack.core.counters import explanations
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest

# What a measure is taken of, which is also what it costs: nothing while the run goes on, a call for
# each ACK of a flow, or one for each frame of the link.
Source = Literal["flows", "acks", "link", "counters"]

_QUANTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?|100(?:\.0+)?)")
STATISTICS: Final = ("min", "max", "mean", "p50")  # and any other pN


@dataclass(frozen=True, slots=True)
class Measure:
    """Something to measure: what it is, and which words may follow its name."""

    name: str
    unit: str  # of its columns: "s", "bps", "bytes", "frames"; "": a number
    source: Source
    about: str  # the definition, in Markdown
    over: str = ""  # what its statistics are over: "flows", "samples"; "": it has none
    default: str = ""  # the word of a bare name; "": the column is called like the measure
    words: Mapping[str, str] | None = None  # words of its own -> what they ask for
    counters: bool = False  # a name of a counter is a word of it, too
    units: Mapping[str, str] | None = None  # of words whose unit is another


@dataclass(frozen=True, slots=True)
class Column:
    """One measurement of a run: a column of the results."""

    name: str  # "rtt_p50_s"
    unit: str  # "s"
    measure: str  # "rtt"
    word: str  # "p50"; "": the bare measure


@dataclass(frozen=True, slots=True)
class Series:
    """A quantity over time."""

    name: str
    unit: str
    subject: Literal["flow", "link", "run"]
    about: str  # in Markdown
    by_ack: bool = True  # it has a value at each ACK, and not only over an interval


def _table(*measures: Measure) -> Mapping[str, Measure]:
    return {measure.name: measure for measure in measures}


_SUM: Final = {"sum": "of all flows together: what the bare name means"}
_RATE: Final = {
    "rate": "as a part, 0..1, of the frames that were put on the link (of one direction), "
    "copies that it made itself among them"
}

MEASURES: Final = _table(
    Measure(
        "goodput",
        "bps",
        "flows",
        "Application bits that receivers got, in order and once, in the window, divided by the "
        "time from the opening of the first flow (or `after`) to when the last had delivered all "
        "(or the end). Statistics are over flows, each by its own time.",
        over="flows",
        words=_SUM,
    ),
    Measure(
        "completion_time",
        "s",
        "flows",
        "From the opening of a flow to when its receiver had got the FIN, and so every byte; where "
        "the sender closes only when the receiver has, that takes a round trip more, and so does "
        "the search for a neighbour (ARP) that the SYN waits for. Flows "
        "that were opened before `after`, and flows that did not get so far, do not count: see "
        "`flows`.",
        over="flows",
        default="mean",
    ),
    Measure(
        "rtt",
        "s",
        "acks",
        "The round-trip times that the senders of flows measured: one for each ACK of new data "
        "that allows it, all flows together.",
        over="samples",
        default="p50",
    ),
    Measure(
        "queue_delay",
        "s",
        "link",
        "How long each frame waited until its first bit was sent on the link; frames that were "
        "dropped, or have not been sent yet, do not count.",
        over="frames",
        default="p50",
    ),
    Measure(
        "loss",
        "frames",
        "counters",
        "Frames that links lost, both directions, for whatever cause; with `link`, its direction "
        "alone.",
        words=_RATE,
        counters=True,
        units={"rate": ""},
    ),
    Measure(
        "marks",
        "frames",
        "counters",
        "Frames that links and their queues marked Congestion Experienced, both directions; with "
        "`link`, its direction alone.",
        words=_RATE,
        units={"rate": ""},
    ),
    Measure(
        "retransmits",
        "",
        "flows",
        "Segments that senders sent again: SYNs, and probes for a lost tail, are among them.",
        over="flows",
        words={
            **_SUM,
            "rate": "bytes that were sent again, as a part, 0..1, of all bytes that were sent",
        },
    ),
    Measure(
        "timeouts",
        "",
        "acks",
        "Times that a sender's retransmission timer ran out with data in flight; a row of them "
        "without an answer is one.",
        over="flows",
        words=_SUM,
    ),
    Measure(
        "cwnd",
        "bytes",
        "acks",
        "The senders' congestion windows, weighted by the time for which each value held, from "
        "when a connection was established until its FIN was acknowledged; all flows together.",
        over="time",
        default="p50",
    ),
    Measure(
        "fairness",
        "",
        "flows",
        "Jain's index of the flows' goodput, each over the same time: from when the last of them "
        "was opened (or `after`) to when the first had delivered all (or the end). 1: all the "
        "same; 1/n: one has all. Flows that ended before the window, or without a byte, do not "
        "count. None for fewer than two, or where they were never there together.",
    ),
    Measure(
        "utilization",
        "",
        "link",
        "The part, 0..1, of the window in which the link was sending bits; with a delivery trace, "
        "of the 1500 bytes of each of its opportunities. None for a link without a rate.",
    ),
    Measure(
        "flows",
        "",
        "flows",
        "How many flows there were, what became of those before the window among them.",
        default="opened",  # `flows` alone is what scenes call a parameter
        words={
            "opened": "all",
            "complete": "those whose receiver got the FIN, and so every byte",
            "failed": "those that ended without: reset, refused, or given up",
        },
    ),
)


SERIES: Final[Mapping[str, Series]] = {
    series.name: series
    for series in (
        Series("cwnd", "bytes", "flow", "The congestion window."),
        Series("ssthresh", "bytes", "flow", "The slow-start threshold, once there is one."),
        Series("srtt", "s", "flow", "The smoothed round-trip time."),
        Series(
            "rtt",
            "s",
            "flow",
            "The last measurement of the round-trip time; by ACK, each measurement.",
        ),
        Series("in_flight", "bytes", "flow", "Sent, neither acknowledged nor known to be lost."),
        Series("delivered", "bytes", "flow", "What the receiver got in order, since the opening."),
        Series("pacing", "bps", "flow", "The rate at which the sender paces, where it does."),
        Series(
            "goodput",
            "bps",
            "flow",
            "What the receiver got in order in the last interval.",
            by_ack=False,
        ),
        Series("queue", "frames", "link", "Frames that wait at the link."),
        Series("queue_bytes", "bytes", "link", "Bytes that wait at the link, in whole frames."),
        Series(
            "fairness",
            "",
            "run",
            "Jain's index of what the flows that are open got in the last interval.",
            by_ack=False,
        ),
        Series(
            "sequence",
            "bytes",
            "flow",
            "Four of them, a value for each segment on the sender's own link, whatever the "
            "interval: `sequence_sent`, `sequence_retransmitted` (each by the number of the last "
            "byte), `sequence_acked` and `sequence_sacked` (the end of each range), from 0.",
        ),
    )
}

SEQUENCES: Final = tuple(
    Series(f"sequence_{what}", "bytes", "flow", SERIES["sequence"].about)
    for what in ("sent", "retransmitted", "acked", "sacked")
)


def parse_measures(words: Iterable[str]) -> tuple[Column, ...]:
    """Return the columns that words ask for: ["goodput", "rtt p50 p99"]. Raises ConfigError.

    Each column is there once, where it was asked for first.
    """
    if isinstance(words, str):
        words = [words]
    columns: dict[str, Column] = {}
    for text in words:
        if not isinstance(text, str) or not text.split():
            raise ConfigError(f"a measure is a text such as 'rtt p50 p99', not {text!r}")
        name, *statistics = text.split()
        measure = MEASURES.get(name)
        if measure is None:
            raise ConfigError(f"there is no measure {name!r}{suggest(name, MEASURES)}")
        for word in statistics or [measure.default]:
            column = _column(measure, word)
            columns.setdefault(column.name, column)
    return tuple(columns.values())


def parse_series(names: Iterable[str], *, by_ack: bool = False) -> tuple[Series, ...]:
    """Return the series of these names. `by_ack`: at each ACK, not at an interval. ConfigError."""
    if isinstance(names, str):
        names = [names]
    found: dict[str, Series] = {}
    for name in names:
        series = SERIES.get(name) if isinstance(name, str) else None
        if series is None:
            raise ConfigError(f"there is no time series {name!r}{suggest(name, SERIES)}")
        if by_ack and not series.by_ack:
            raise ConfigError(
                f"{name} is taken over an interval, and has no value at an ACK: write "
                "every = '100ms', or leave it out"
            )
        found.setdefault(name, series)
    return tuple(found.values())


def unit_of_series(name: str) -> str:
    """Return the unit of a series as it is written down: "bytes". Raises ConfigError."""
    for series in SEQUENCES:
        if series.name == name:
            return series.unit
    return parse_series([name])[0].unit


def part_of(word: str) -> float | None:
    """Return 0..1 for a word that asks for a quantile ("p99", "min"); None: it asks for none."""
    if word == "min":
        return 0.0
    if word == "max":
        return 1.0
    match = _QUANTILE.fullmatch(word)
    return None if match is None else float(match[1]) / 100


def _column(measure: Measure, word: str) -> Column:
    own = measure.words or {}
    unit = (measure.units or {}).get(word, measure.unit)
    if word in ("", "sum") and word in (*own, ""):
        return Column(_called(measure.name, "", unit), unit, measure.name, "")
    known = own.keys() | (set(STATISTICS) if measure.over else set())
    if word in own or (measure.over and (word == "mean" or part_of(word) is not None)):
        return Column(_called(measure.name, word, unit), unit, measure.name, word)
    if measure.over and word == "median":
        return _column(measure, "p50")
    if measure.counters:
        if word in drop_counters():
            return Column(_called(measure.name, word, unit), unit, measure.name, word)
        known |= drop_counters()
    if not known:
        raise ConfigError(f"{measure.name} is one number: no word follows it, as {word!r} does")
    order = [*own, *(STATISTICS if measure.over else ()), *sorted(known - {*own, *STATISTICS})]
    also = " (any quantile is one, from p0 to p100)" if measure.over else ""
    raise ConfigError(f"{measure.name} has no word {word!r}{suggest(word, order)}{also}")


def _called(name: str, word: str, unit: str) -> str:
    return "_".join(part for part in (name, word.replace(".", "_"), unit) if part)


@cache
def drop_counters() -> frozenset[str]:
    """Return the names of counters by which links and queues say why they lost a frame."""
    from pystack.link.impair.base import HARMLESS  # few ask, and it has much behind it
    from pystack.link.qdisc.base import is_mark

    return frozenset(
        name
        for name, counter in explanations().items()
        if counter.section in ("Links", "Queues")
        and not is_mark(name)
        and name not in HARMLESS
        and name != "late"
    )
