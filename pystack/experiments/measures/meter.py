"""The meter: takes the measures of a run from all networks that open in it.

It looks, and changes nothing: the frames of a run are the same to the byte with and without it.
What is not asked for costs nothing; docs/measures.md says what each measure costs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip, format_ip, without_zone
from pystack.core.errors import ConfigError
from pystack.core.ranges import Range
from pystack.core.suggest import suggest
from pystack.experiments.measures.distribution import Distribution, Weighted, statistic
from pystack.experiments.measures.flows import Chosen, End, FlowBook, UdpFlow
from pystack.experiments.measures.links import Direction, LinkBook, lost, marked
from pystack.experiments.measures.registry import (
    MEASURES,
    Column,
    parse_measures,
    parse_series,
    part_of,
)
from pystack.experiments.measures.sampling import Sampler
from pystack.experiments.measures.sequences import Sequences
from pystack.experiments.statistics import jain
from pystack.runtime.onlookers import onlookers
from pystack.stack.host import Host
from pystack.tcp import live

if TYPE_CHECKING:
    from pystack.experiments.model import Track, Value
    from pystack.link.link import Link
    from pystack.runtime.network import Network
    from pystack.tcp.connection import Connection
    from pystack.topology.nodes import Node

_OF_FRAMES: Final = frozenset({"queue_delay", "utilization", "loss_rate", "marks_rate"})


class Meter:
    """Measures a run. Give `opened` to whoever opens networks, and ask for the `result` at last.

    `with meter: ...` has it told of all networks that open inside.
    """

    def __init__(
        self,
        words: Iterable[str] = (),
        *,
        series: Iterable[str] = (),
        every_s: float | None = 0.1,
        flows: str | None = None,
        link: Sequence[str] | None = None,
        after_s: float = 0.0,
    ) -> None:
        """`words`: what to measure, `series`: what over time, every so often; None: at each ACK.

        `flows`: which, by the names of their hosts: "left*" (either end), "left* > right*" (sender
        and receiver), "udp left*", "any"; None: all of TCP. `link`: sender and receiver of the
        direction that measures of a link are of; None: of those with a rate, the one in which
        frames waited longest. `after_s`: the window begins so long after the network's opening.
        Raises ConfigError.
        """
        self.columns = parse_measures(words)
        self.series = parse_series(series, by_ack=every_s is None)
        Range(0, math.inf, whole=False, above=True, optional=True).check("every_s", every_s)
        Range(0, math.inf, whole=False).check("after_s", after_s)
        self.every_s, self.after_s = every_s, after_s
        self.chosen = Chosen(flows)
        if link is not None and (isinstance(link, str) or len(link) != 2):
            raise ConfigError(f"a link is named by its sender and receiver, not by {link!r}")
        self.link = None if link is None else (str(link[0]), str(link[1]))
        names = {column.name for column in self.columns}
        self.asked = {column.measure for column in self.columns} | (names & _OF_FRAMES)
        self._networks: list[_NetworkMeter] = []

    def opened(self, network: Network) -> None:
        """Measure a network that has opened, and is still empty."""
        self._networks.append(_NetworkMeter(self, network))

    def __enter__(self) -> Meter:
        """Measure all networks that open in this block."""
        self._token = onlookers.set((*onlookers.get(), self.opened))
        return self

    def __exit__(self, *_: object) -> None:
        """Measure no others."""
        onlookers.reset(self._token)

    def result(self) -> tuple[dict[str, Value | None], list[Track]]:
        """Return the measurements by their columns, and the time series. ConfigError.

        None: there was nothing to measure. Of several networks, flows and frames are taken
        together, and fairness and utilization are means by time.
        """
        for network in self._networks:
            network.end()
            if self.link is not None and not network.links.candidates:
                ends = [f"{way.sender} > {way.receiver}" for way in network.links.all]
                name = f"{self.link[0]} > {self.link[1]}"
                raise ConfigError(f"no link leads from {name}{suggest(name, ends)}")
        measured = {column.name: self._measured(column) for column in self.columns}
        return measured, [track for network in self._networks for track in network.tracks()]

    def _measured(self, column: Column) -> Value | None:
        part = part_of(column.word)
        networks = self._networks
        match column.measure:
            case "goodput" if not column.word:
                return _ratio(network.delivered() for network in networks)
            case "rtt" | "queue_delay" | "cwnd":
                return self._distributed(column.measure, part)
            case "fairness" | "utilization":
                parts = [getattr(network, column.measure)() for network in networks]
                return _ratio((share * time_s, time_s) for share, time_s in parts)
            case "loss" | "marks" if column.word == "rate":
                return _ratio(network.rate_of(column.measure) for network in networks)
            case "loss":
                return sum(lost(network.links.counted(), column.word) for network in networks)
            case "marks":
                return sum(marked(network.links.counted()) for network in networks)
            case "retransmits" if column.word == "rate":
                return _ratio(again for network in networks for again in network.sent_again())
            case "flows":
                return sum(network.count(column.word) for network in networks)
        each = [value for network in networks for value in network.per_flow(column.measure)]
        is_count = MEASURES[column.measure].unit == ""
        if not column.word or (is_count and part in (0.0, 1.0)):
            return _counted(statistic(each, column.word or "sum", part), nothing=0)
        return statistic(each, column.word, part)

    def _distributed(self, measure: str, part: float | None) -> float | None:
        if measure == "cwnd":
            windows = Weighted()
            for network in self._networks:
                for end in network.senders():
                    windows.merge(end.windows or Weighted())
            return windows.mean() if part is None else windows.quantile(part)
        values = Distribution()
        for network in self._networks:
            for each in network.distributions(measure):
                values.merge(each)
        return values.mean() if part is None else values.quantile(part)


class _NetworkMeter:
    """What is measured of one network."""

    def __init__(self, meter: Meter, network: Network) -> None:
        self._meter, self._network = meter, network
        self._driver = network.driver
        self._names: dict[Ip, str] = {}
        self.opened_at = network.now()
        self.after = self.opened_at + meter.after_s
        self.until: float | None = None  # None: it goes on
        asked = meter.asked
        series = {one.name for one in meter.series}
        by_ack = meter.every_s is None
        self._wants_rtt, self._wants_cwnd = "rtt" in asked, "cwnd" in asked
        self._looks_at_acks = bool(
            asked & {"rtt", "cwnd", "timeouts"} or "rtt" in series or (by_ack and series)
        )
        self._begins_later = meter.after_s > 0
        self.flows = FlowBook(
            meter.chosen,
            network.now,
            self._name_of,
            on_state=self._state_changed,
            compares="fairness" in asked,
        )
        self._needs_flows = bool(
            series - {"queue", "queue_bytes"}
            or any(MEASURES[n].source in ("flows", "acks") for n in asked if n in MEASURES)
        )
        self.links = LinkBook(
            meter.link,
            watches=bool(asked & _OF_FRAMES),
            has_queue=bool(series & {"queue", "queue_bytes"}),
        )
        self.links.after = self.after
        self._sequences = Sequences(self.opened_at) if "sequence" in series else None
        self._sampler = Sampler(meter.series, self.flows, self.links, self.opened_at)
        network.topology.watching.builders.append(self)
        scheduler = network.driver.scheduler
        if self._begins_later:
            scheduler.call_at(self.after, self._begin, _sample)
        if meter.every_s is not None and self._sampler.is_wanted:
            self._every_s, self._ticks = meter.every_s, 0
            scheduler.call_at(self.opened_at, self._tick, _sample)
        # Called when all has ended, whoever ends it
        network.resources.callback(self.end)

    def node_added(self, node: Node) -> None:
        """Hear of the flows of a host."""
        if isinstance(node.device, Host) and self._needs_flows:
            self.flows.host_added(node.device)

    def link_added(self, link: Link) -> None:
        """Look at a link, if need be."""
        self.links.link_added(link)
        if self._sequences is not None:
            self._sequences.link_added(link, self._network.topology.nodes)

    def end(self) -> None:
        """Measure no further. A second time does nothing."""
        if self.until is not None:
            return
        self.until = now = self._network.now()
        if self._begins_later:
            self._begin(now)  # there is no window: nothing is in it
        self.links.end(now)
        for end in list(self.flows.live.values()):
            self._window_ends(end, now)

    # what is asked at the end

    def distributions(self, measure: str) -> list[Distribution]:
        """Return what values there are of a measure."""
        if measure == "queue_delay":
            way = self.links.chosen()
            return [] if way is None else [way.delays]
        return [end.rtts for end in self.senders() if end.rtts is not None]

    def senders(self) -> Iterator[End]:
        """Yield the sending end of each flow of TCP that is inside the network."""
        for flow in self.flows.flows:
            sender = flow.way().sender
            if sender is not None:
                yield sender

    def spans(self) -> Iterator[tuple[float, float, float]]:
        """Yield of each flow the bytes that were delivered in the window, from when until when."""
        assert self.until is not None
        for flow in self.flows.flows:
            way = flow.way()
            ended_at = way.ended_at
            until = self.until if ended_at is None else min(ended_at, self.until)
            yield way.delivered() - way.delivered_before(), max(way.opened_at, self.after), until
        for datagrams in self.flows.datagrams.values():
            begin = max(datagrams.opened_at, self.after)
            yield datagrams.received - datagrams.mark, begin, self.until

    def delivered(self) -> tuple[float, float]:
        """Return the bits that were delivered in the window, and in which time."""
        spans = [span for span in self.spans() if span[2] > span[1] or span[0]]
        if not spans:
            return 0.0, 0.0
        begin, until = min(span[1] for span in spans), max(span[2] for span in spans)
        return 8.0 * sum(span[0] for span in spans), until - begin

    def per_flow(self, measure: str) -> Iterator[float]:
        """Yield a measure of each flow that has one."""
        if measure == "goodput":
            for size, begin, until in self.spans():
                if until > begin:
                    yield 8 * size / (until - begin)
            return
        for flow in self.flows.flows:
            way = flow.way()
            if measure == "completion_time":
                if way.complete_at is not None and way.opened_at >= self.after:
                    yield way.complete_at - way.opened_at
            elif way.sender is not None:
                end = way.sender
                if measure == "timeouts":
                    yield end.timeouts
                else:
                    yield end.now().since(end.mark).retransmits

    def sent_again(self) -> Iterator[tuple[float, float]]:
        """Yield of each flow the bytes that were sent again, and those that were sent."""
        for end in self.senders():
            counts = end.now().since(end.mark)
            yield counts.sent_again, counts.sent

    def count(self, word: str) -> int:
        """Return how many flows were "opened", and are "complete" or have "failed"."""
        if word == "opened":
            return len(self.flows.flows) + len(self.flows.datagrams)
        ways = [flow.way() for flow in self.flows.flows]
        if word == "complete":
            return sum(way.complete_at is not None for way in ways)
        return sum(
            way.complete_at is None and way.ended_at is not None and way.ended_at != self.until
            for way in ways
        )

    def fairness(self) -> tuple[float, float]:
        """Return Jain's index of flows over the same time, and that time; 0, 0: there is none."""
        begins, ends = self.flows.common_from, self.flows.common_until
        until, last = (self.until, self.flows.received()) if ends is None else ends
        if begins is None or until is None or self.until is None:
            return 0.0, 0.0
        begin, first = begins
        if begin < self.after:
            begin, first = self.after, {}
        shares = []
        for flow in self.flows.competing(self.after, self.until):
            if ends is not None and flow.opened_at > until:
                return 0.0, 0.0  # another had ended before
            end = flow if isinstance(flow, UdpFlow) else flow.receiver
            if end is not None:
                before = end.mark if isinstance(end, UdpFlow) else end.mark.received
                shares.append(last.get(end, 0) - max(first.get(end, 0), before))
        index = jain(shares) if len(shares) > 1 else None
        return (0.0, 0.0) if index is None or until <= begin else (index, until - begin)

    def utilization(self) -> tuple[float, float]:
        """Return the part of the window in which the link was busy, and how long that was."""
        assert self.until is not None
        way, time_s = self.links.chosen(), self.until - self.after
        if way is None or time_s <= 0 or not _has_rate(way):
            return 0.0, 0.0
        return way.busy_s / time_s, time_s

    def rate_of(self, measure: str) -> tuple[float, float]:
        """Return how many frames the link lost or marked, and how many were put on it."""
        way = self.links.chosen()
        if way is None:
            return 0.0, 0.0
        counters = way.counted()
        return (lost if measure == "loss" else marked)(counters), way.frames

    def tracks(self) -> Iterator[Track]:
        """Yield the time series: of a flow those of its direction, of links those of the chosen."""
        yield from self._sampler.tracks(self.links.chosen())
        if self._sequences is not None:
            yield from self._sequences.tracks(self.flows.flows)

    # while it goes on

    def _begin(self, now: float) -> None:
        """Begin the window: what has been is left out."""
        self._begins_later = False
        self.links.begin(now)
        self.flows.begin()

    def _tick(self, now: float) -> None:
        if self.until is not None:
            return
        self._sampler.sample(now)
        self._ticks += 1
        # Each from the beginning, so that no error adds up
        at = self.opened_at + self._ticks * self._every_s
        self._driver.scheduler.call_at(at, self._tick, _sample)

    def _state_changed(self, end: End, connection: Connection) -> None:
        """Take note of an end that is new, established, or has ended."""
        if not self._looks_at_acks:
            return
        if end.closed_at is not None:
            self._window_ends(end, end.closed_at)
        elif end.established:
            self._window_changes(end, connection.congestion.cwnd_bytes, self._network.now())
        else:
            end.rtts = Distribution() if self._wants_rtt else None
            end.windows = Weighted() if self._wants_cwnd else None
            live.watch(connection, partial(self._acked, end))

    def _acked(
        self, end: End, connection: Connection, now: float, what: str, rtt_s: float | None
    ) -> None:
        """Take note of what the congestion control of a flow was told."""
        if rtt_s is not None:
            end.rtt_s = rtt_s
            if end.rtts is not None and now >= self.after:
                end.rtts.add(rtt_s)
        if end.windows is not None:
            self._window_changes(end, connection.congestion.cwnd_bytes, now)
        if what == "rto" and now >= self.after:
            end.timeouts += 1
        if self._meter.every_s is None:
            self._sampler.acked(end, connection, now, rtt_s)

    def _window_changes(self, end: End, cwnd_bytes: int, now: float) -> None:
        if cwnd_bytes != end.cwnd_bytes or end.cwnd_at is None:
            self._window_ends(end, now)
            end.cwnd_bytes, end.cwnd_at = cwnd_bytes, now

    def _window_ends(self, end: End, now: float) -> None:
        if end.windows is not None and end.cwnd_at is not None:
            end.windows.add(end.cwnd_bytes, now - max(end.cwnd_at, self.after))
            end.cwnd_at = None

    def _name_of(self, address: Ip) -> str:
        name = self._names.get(address)
        if name is None:
            text = format_ip(without_zone(address))
            name = self._network.topology.names_by_address().get(text, text)
            self._names[address] = name
        return name


def _sample() -> str:
    """Say what kind of upkeep the meter's events are."""
    return "measurement"


def _has_rate(way: Direction) -> bool:
    config = way.pipe.config
    return config.rate_bps is not None or config.trace is not None


def _ratio(pairs: Iterable[tuple[float, float]]) -> float | None:
    known = list(pairs)
    below = math.fsum(pair[1] for pair in known)
    return math.fsum(pair[0] for pair in known) / below if below else None


def _counted(value: float | None, nothing: int | None) -> int | float | None:
    if value is None:
        return nothing
    return int(value) if value == int(value) else value
