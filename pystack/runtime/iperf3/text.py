"""A test in words, line for line as iperf3 prints it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pystack.runtime.iperf3.flows import Flow
from pystack.runtime.iperf3.meter import Interval
from pystack.runtime.iperf3.parameters import Parameters
from pystack.runtime.iperf3.results import NO_RETRANSMITS, StreamResult

RULE: Final = "- " * 24 + "-"
SUM: Final = -1  # instead of a stream's number
_BYTE_UNITS: Final = (" Bytes", " KBytes", " MBytes", " GBytes", " TBytes")
_BIT_UNITS: Final = (" bits", " Kbits", " Mbits", " Gbits", " Tbits")


def connected(flow: Flow) -> str:
    """Return the line that says between which ports a stream is."""
    (local, local_port), (remote, remote_port) = flow.local, flow.remote
    ends = f"local {local} port {local_port} connected to {remote} port {remote_port}"
    return f"[{flow.number:3d}] {ends}"


def interval_head(parameters: Parameters, *, sends: bool) -> str:
    """Return the line above the intervals."""
    if not parameters.udp:
        rest = "Retr  Cwnd" if sends else ""
    else:
        rest = "Total Datagrams" if sends else "Jitter    Lost/Total Datagrams"
    return f"{_head(parameters)}{rest}".rstrip()


def summary_head(parameters: Parameters) -> str:
    """Return the line above the summary."""
    rest = "Jitter    Lost/Total Datagrams" if parameters.udp else "Retr"
    return f"{_head(parameters)}{rest}"


def _head(parameters: Parameters) -> str:
    role = "[Role]" if parameters.bidirectional else ""
    return f"[ ID]{role} Interval           Transfer     Bitrate         "


def interval_lines(
    parameters: Parameters, flows: Sequence[Flow], interval: Interval, end: str, *, is_first: bool
) -> Iterator[str]:
    """Return a line for each stream, and one for their sum. `end`: "C" for a client, or "S"."""
    if len(flows) > 1 and not is_first:
        yield RULE
    omitted = "(omitted)" if interval.omitted else ""
    for flow, stream, cwnd_bytes in zip(flows, interval.streams, interval.cwnd_bytes, strict=True):
        rest = _rest(parameters, stream, sends=flow.sends)
        if cwnd_bytes is not None:
            rest = f"{rest}   {bytes_text(cwnd_bytes)}"
        yield _line(parameters, flow, stream, f"{rest}  {omitted}", end)
    yield from _sums(parameters, flows, interval.streams, end, omitted)


def summary_lines(
    parameters: Parameters,
    flows: Sequence[Flow],
    here: Sequence[StreamResult],
    there: Sequence[StreamResult] | None,  # None: the other end has not said anything yet
    end: str,
) -> Iterator[str]:
    """Return what each stream has moved, as its sender and its receiver count it."""
    for index, flow in enumerate(flows):
        for is_sender in (True, False):
            is_here = flow.sends is is_sender
            if is_here or there is not None:
                stream = here[index] if is_here or there is None else there[index]
                yield _line(
                    parameters, flow, stream, _told(parameters, stream, is_sender=is_sender), end
                )
    for is_sender in (True, False):
        for sends in (True, False):
            of_these = [i for i, flow in enumerate(flows) if flow.sends is sends]
            streams = here if sends is is_sender else there
            if streams is None or len(of_these) < 2:
                continue
            flow = flows[of_these[0]]
            total = summed([streams[i] for i in of_these])
            yield _line(parameters, flow, total, _told(parameters, total, is_sender=is_sender), end)


def _told(parameters: Parameters, stream: StreamResult, *, is_sender: bool) -> str:
    rest = _rest(parameters, stream, sends=is_sender, jitter=True)
    return f"{rest:{0 if parameters.udp else 15}}  {'sender' if is_sender else 'receiver'}"


def _sums(
    parameters: Parameters,
    flows: Sequence[Flow],
    streams: Sequence[StreamResult],
    end: str,
    omitted: str,
) -> Iterator[str]:
    for sends in (True, False):
        pairs = [pair for pair in zip(flows, streams, strict=True) if pair[0].sends is sends]
        if len(pairs) < 2:
            continue
        total = summed([stream for _, stream in pairs])
        rest = _rest(parameters, total, sends=sends)
        yield _line(parameters, pairs[0][0], total, f"{rest}  {omitted}", end)


def summed(streams: Sequence[StreamResult]) -> StreamResult:
    """Return several streams as one."""
    return StreamResult(
        number=SUM,
        total_bytes=sum(stream.total_bytes for stream in streams),
        retransmits=sum(stream.retransmits for stream in streams)
        if all(stream.retransmits != NO_RETRANSMITS for stream in streams)
        else NO_RETRANSMITS,
        jitter_s=sum(stream.jitter_s for stream in streams) / len(streams),
        lost_packets=sum(stream.lost_packets for stream in streams),
        packets=sum(stream.packets for stream in streams),
        start_s=streams[0].start_s,
        end_s=max(stream.end_s for stream in streams),
    )


def _line(parameters: Parameters, flow: Flow, stream: StreamResult, rest: str, end: str) -> str:
    name = "[SUM]" if stream.number == SUM else f"[{flow.number:3d}]"
    if parameters.bidirectional:
        name += f"[{'TX' if flow.sends else 'RX'}-{end}]"
    return (
        f"{name} {stream.start_s:6.2f}-{stream.end_s:<6.2f} sec  {bytes_text(stream.total_bytes)}"
        f"  {bitrate_text(stream.bitrate_bps)}  {rest}"
    ).rstrip()


def _rest(
    parameters: Parameters, stream: StreamResult, *, sends: bool, jitter: bool = False
) -> str:
    if not parameters.udp:
        return "" if stream.retransmits == NO_RETRANSMITS else f"{stream.retransmits:3d}"
    if sends and not jitter:
        return f"{stream.packets}"
    share = stream.lost_packets / stream.packets * 100 if stream.packets else 0.0
    lost = f"{stream.lost_packets}/{stream.packets} ({share:.2g}%)"
    return f"{stream.jitter_s * 1e3:5.3f} ms  {lost}"


def bytes_text(count: float) -> str:
    """Return a size with three digits, in multiples of 1024."""
    return _in_units(count, 1024, _BYTE_UNITS)


def bitrate_text(bps: float) -> str:
    """Return a rate with three digits, in multiples of 1000."""
    return f"{_in_units(bps, 1000, _BIT_UNITS)}/sec"


def _in_units(value: float, base: int, units: Sequence[str]) -> str:
    index = 0
    while value >= base and index < len(units) - 1:
        value /= base
        index += 1
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:4.{digits}f}{units[index]}"
