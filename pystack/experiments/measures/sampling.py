"""Time series of flows and links: at an interval, or at each ACK.

Times count from the network's opening. What a flow's series are of is known when it has ended: of
each connection both directions are kept until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pystack.experiments.model import Track
from pystack.experiments.statistics import jain
from pystack.tcp import pacing
from pystack.tcp.congestion.base import INITIAL_SSTHRESH_BYTES

if TYPE_CHECKING:
    from pystack.experiments.measures.flows import End, FlowBook, UdpFlow
    from pystack.experiments.measures.links import Direction, LinkBook
    from pystack.experiments.measures.registry import Series
    from pystack.tcp.connection import Connection

_OF_RECEIVERS: Final = ("delivered", "goodput")


class Sampler:
    """Writes the time series of a network down."""

    def __init__(
        self, series: Sequence[Series], flows: FlowBook, links: LinkBook, opened_at: float
    ) -> None:
        self._flows, self._links = flows, links
        self._opened_at = opened_at
        self._units = {one.name: one.unit for one in series if one.name != "sequence"}
        self._of_senders = [
            one.name
            for one in series
            if one.subject == "flow" and one.name in self._units and one.name not in _OF_RECEIVERS
        ]
        self._of_receivers = [name for name in _OF_RECEIVERS if name in self._units]
        self._of_links = [one.name for one in series if one.subject == "link"]
        self._fairness = Track("fairness", "", "")
        self._sampled_at = opened_at
        self._queue_at = -1.0
        self._received: dict[End | UdpFlow, int] = {}  # at the last sample

    @property
    def is_wanted(self) -> bool:
        """Tell whether there is anything to sample."""
        return bool(self._units)

    def sample(self, now: float) -> None:
        """Take a value of everything (an interval is over)."""
        for connection, end in self._flows.live.items():
            if connection.bytes_sent:
                self._sender(end, connection, now)
        if self._of_receivers or "fairness" in self._units:
            self._deliveries(now)
        self._queues(now)
        self._sampled_at = now

    def acked(self, end: End, connection: Connection, now: float, rtt_s: float | None) -> None:
        """Take a value of what an ACK may have changed. `rtt_s`: what it measured, if it did."""
        self._sender(end, connection, now, measured=rtt_s is not None)
        if "delivered" in self._units and end.peer is not None:
            self._add(end.peer.tracks, "delivered", now, end.peer.now().received)
        if now > self._queue_at:
            self._queue_at = now
            self._queues(now)

    def tracks(self, chosen: Direction | None) -> Iterator[Track]:
        """Yield what was written down; of links: of the chosen one."""
        names: dict[str, int] = {}
        for flow in self._flows.flows:
            way = flow.way()
            names[way.name] = count = names.get(way.name, 0) + 1
            subject = way.name if count == 1 else f"{way.name}#{count}"
            for end, wanted in (
                (way.sender, self._of_senders),
                (way.receiver, self._of_receivers),
            ):
                for name in wanted if end is not None else ():
                    assert end is not None
                    yield from _named(end.tracks.get(name), subject)
        for datagrams in self._flows.datagrams.values():
            for name in self._of_receivers:
                yield from _named(datagrams.tracks.get(name), datagrams.name)
        if chosen is not None:
            for name in self._of_links:
                yield from _named(chosen.tracks.get(name), chosen.name)
        if len(self._fairness.values):
            yield self._fairness

    def _sender(
        self, end: End, connection: Connection, now: float, *, measured: bool = True
    ) -> None:
        for name in self._of_senders:
            if name == "rtt" and not measured:
                continue  # the last one would be there again, and count twice
            value = _value_of(name, end, connection)
            if value is not None:
                self._add(end.tracks, name, now, value)

    def _deliveries(self, now: float) -> None:
        interval_s = now - self._sampled_at
        received = self._flows.received()
        shares: list[float] = []
        pairs: set[End] = set()
        for end, total in received.items():
            before = self._received.get(end, 0)
            is_over = end.closed_at is not None and end.closed_at <= self._sampled_at
            if not total or (is_over and total == before):
                continue
            if "delivered" in self._units:
                self._add(end.tracks, "delivered", now, total)
            if "goodput" in self._units and interval_s > 0:
                self._add(end.tracks, "goodput", now, (total - before) * 8 / interval_s)
        if "fairness" in self._units and interval_s > 0:
            for end, total in received.items():
                if end in pairs or end.opened_at > self._sampled_at or end.closed_at is not None:
                    continue
                share = total - self._received.get(end, 0)
                if end.peer is not None:
                    pairs.add(end.peer)
                    other = received.get(end.peer, 0) - self._received.get(end.peer, 0)
                    share = max(share, other)
                shares.append(share)
            index = jain(shares) if len(shares) > 1 else None
            if index is not None:
                self._fairness.add(now - self._opened_at, index)
        self._received = received

    def _queues(self, now: float) -> None:
        for name in self._of_links:
            for way in self._links.candidates:
                pipe = way.pipe
                value = pipe.waiting() if name == "queue" else pipe.waiting_bytes()
                self._add(way.tracks, name, now, value)
                if not self._links.watches:
                    way.waited_s += value

    def _add(self, tracks: dict[str, Track], name: str, now: float, value: float) -> None:
        track = tracks.get(name)
        if track is None:
            track = tracks[name] = Track(name, "", self._units[name])
        track.add(now - self._opened_at, value)


def _value_of(name: str, end: End, connection: Connection) -> float | None:
    """Return what a sender's series is now; None: it has no value yet."""
    match name:
        case "cwnd":
            return connection.congestion.cwnd_bytes
        case "ssthresh":
            value = connection.congestion.ssthresh_bytes
            return value if value < INITIAL_SSTHRESH_BYTES else None
        case "srtt":
            return connection.rtt.srtt_s
        case "rtt":
            return end.rtt_s
        case "in_flight":
            return connection.recovery.pipe_bytes()
    return None if connection.pacer is None else pacing.rate_bps(connection)


def _named(track: Track | None, subject: str) -> Iterator[Track]:
    if track is not None:
        yield Track(track.series, subject, track.unit, track.times_s, track.values)
