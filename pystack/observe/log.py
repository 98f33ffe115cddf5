"""What happens, in a log: one line per event, and if wanted one per packet in tcpdump's manner.

Times stand in the lines themselves, for they are the world's: a logger's own would be the wall
clock's also where time is virtual.
"""

import errno
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias, assert_never

from pystack.core.tcp_events import (
    TcpMeasured,
    TcpRepair,
    TcpRetransmitted,
    TcpSoftError,
    TcpStateChanged,
)
from pystack.observe.observer import (
    AddressChanged,
    Dropped,
    Event,
    FellBehind,
    FrameSeen,
    LookUp,
    Milestone,
    NeighborChanged,
    RouteChosen,
)
from pystack.observe.summary import summarize

# What can be told in a line
Told: TypeAlias = (
    Dropped
    | NeighborChanged
    | AddressChanged
    | LookUp
    | RouteChosen
    | Milestone
    | TcpStateChanged
    | TcpRetransmitted
    | TcpSoftError
    | TcpRepair
    | FellBehind
)


class LogObserver:
    """An observer that hands on a line for each event."""

    def __init__(
        self,
        say: Callable[[str], object],  # takes each line
        *,
        packets: bool,
        wall_clock_offset_s: float = 0.0,  # what to add to the world's time for seconds since 1970
        hosts: bool = False,  # there are several: each line says whose it is
    ) -> None:
        self._say = say
        self._packets = packets
        self._offset_s = wall_clock_offset_s
        self._hosts = hosts

    def on_event(self, event: Event) -> None:
        """Log the event; a frame only if packets are wanted."""
        if isinstance(event, FrameSeen):
            if self._packets:
                direction = "Out" if event.sent else "In"
                # Columns as those of `tcpdump -i any`.
                line = f"{event.interface:<5} {direction:<3} {summarize(event.frame)}"
                self._log(event, line)
        elif not isinstance(event, TcpMeasured):  # there is one for each ACK
            line = describe(event).removeprefix(f"{event.host} " if self._hosts else "")
            self._log(event, line)

    def _log(self, event: Event, line: str) -> None:
        host = f"{event.host} " if self._hosts else ""
        self._say(f"{self._clock(event.at)} {host}{line}")

    def _clock(self, at: float) -> str:
        """Return the time of day where the user is; in virtual time, the time since the start."""
        zone = None if self._offset_s else UTC
        return (
            datetime.fromtimestamp(at + self._offset_s, UTC)
            .astimezone(zone)
            .strftime("%H:%M:%S.%f")
        )


def describe(event: Told) -> str:
    """Return an event that is not a frame as one line without its time."""
    match event:
        case Dropped():
            size = f" ({len(event.data)} bytes)" if event.data else ""
            return f"{event.interface or event.host} drop {event.reason}{size}"
        case NeighborChanged():
            mac = f" {event.mac}" if event.mac else ""
            return f"{event.interface} neighbor {event.address}{mac} {event.old} -> {event.new}"
        case AddressChanged():
            change = f"{event.old or 'new'} -> {event.new or 'gone'}"
            return f"{event.interface} address {event.address} {change}"
        case LookUp():
            whose = "by" if event.what in ("answered", "failed") else "of"
            server = f" {whose} {event.server}" if event.server else ""
            found = f": {', '.join(event.addresses)}" if event.addresses else ""
            kind = f" {event.kind}" if event.kind else ""
            detail = f" ({event.detail})" if event.detail else ""
            return f"{event.host} name {event.name}{kind} {event.what}{server}{found}{detail}"
        case RouteChosen():
            if not event.prefix:
                return f"{event.host} no route to {event.destination}"
            return (
                f"{event.interface} route to {event.destination} by {event.prefix} via "
                f"{event.next_hop} from {event.source}"
            )
        case Milestone():
            return f"{event.host} {event.what}{f' {event.detail}' if event.detail else ''}"
        case TcpStateChanged():
            return f"{event.host} tcp {_ends(event)} {event.old} -> {event.new}"
        case TcpRetransmitted():
            return (
                f"{event.host} tcp {_ends(event)} retransmit ({event.reason}) seq {event.seq}, "
                f"length {event.payload_bytes}"
            )
        case TcpSoftError():
            name = errno.errorcode.get(event.number, str(event.number))
            return f"{event.host} tcp {_ends(event)} trouble ({event.reason}) {name}"
        case TcpRepair():
            return (
                f"{event.host} tcp {_ends(event)} {event.what}, cwnd {event.cwnd_bytes}, "
                f"ssthresh {event.ssthresh_bytes}"
            )
        case FellBehind():
            return (
                f"{event.host} runs {event.late_s * 1e3:.1f} ms late, for "
                f"{event.at - event.since:.1f} s; its delay hides {event.hides_s * 1e3:.1f} ms"
            )
        case _:
            assert_never(event)


def _ends(event: TcpStateChanged | TcpRetransmitted | TcpSoftError | TcpRepair) -> str:
    (local, local_port), (remote, remote_port) = event.local, event.remote
    return f"{local}.{local_port} > {remote}.{remote_port}"
