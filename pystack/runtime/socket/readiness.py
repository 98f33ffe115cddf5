"""What poll(2) finds of a socket: the masks of Linux's tcp_poll and datagram_poll, to the bit."""

from __future__ import annotations

from functools import singledispatch
from typing import Final

from pystack.runtime.socket import stream_state
from pystack.runtime.socket.datagram_ends import DatagramEnd
from pystack.runtime.socket.pair_ends import PairEnd
from pystack.runtime.socket.socket_ends import SocketEnd
from pystack.runtime.socket.stream_ends import StreamEnd
from pystack.tcp.states import OVER, TcpState

# Linux's numbers: other platforms have no epoll
IN: Final = 0x001
PRI: Final = 0x002
OUT: Final = 0x004
ERR: Final = 0x008
HUP: Final = 0x010
RDNORM: Final = 0x040
WRNORM: Final = 0x100
WRBAND: Final = 0x200
RDHUP: Final = 0x2000
ANYWAY: Final = ERR | HUP  # told whether asked for or not

_READ: Final = IN | RDNORM
_WRITE: Final = OUT | WRNORM
_OPENING: Final = (TcpState.SYN_SENT, TcpState.SYN_RECEIVED)


@singledispatch
def mask_of(end: SocketEnd) -> int:
    """Return what poll(2) finds now."""
    raise NotImplementedError


@mask_of.register
def _(end: StreamEnd) -> int:
    if end.listener is not None:
        if end.listener.broken:
            return _READ | ERR
        return _READ if end.listener.ready else 0
    connected = end.socket
    if connected is None:  # none yet, or none any more
        mask = _WRITE | HUP
        if end.read_shut:
            mask |= _READ | RDHUP
        return mask | ERR if end.soft_error else mask
    connection = connected.connection
    over = connection.state in OVER
    no_more_comes = end.read_shut or over or stream_state.peer_is_done(connected)
    no_more_goes = end.write_shut or over
    mask = 0
    if no_more_comes:
        mask = _READ | RDHUP | HUP if no_more_goes else _READ | RDHUP
    if connection.state in _OPENING:
        if end.deferred:
            mask |= _WRITE
    else:
        if stream_state.has_text(end, connected):
            mask |= _READ
        if no_more_goes or stream_state.try_writable(end):
            mask |= _WRITE
        if stream_state.has_urgent(end, connected):
            mask |= PRI
    return mask | ERR if stream_state.has_error(end, connected) else mask


@mask_of.register
def _(end: PairEnd) -> int:
    mask = 0
    no_more_comes = end.read_shut or end.other_ended
    if no_more_comes:
        mask = _READ | RDHUP
    if no_more_comes and (end.write_shut or (end.other is None and end.other_ended)):
        mask |= HUP
    if end.has_text:
        mask |= _READ
    if end.error:
        mask |= ERR
    return mask | _WRITE | WRBAND if end.has_room else mask


@mask_of.register
def _(end: DatagramEnd) -> int:
    mask = _WRITE | WRBAND
    if end.read_shut:
        mask |= _READ | RDHUP | HUP if end.write_shut else _READ | RDHUP
    port = end.socket
    if port is not None:
        if port.has_datagrams:
            mask |= _READ
        if port.has_errors:
            mask |= ERR
    return mask
