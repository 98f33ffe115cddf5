"""A UDP socket of the machine for tunnels: never fragments, and is told of errors.

Where the kernel can, equal datagrams go out, and come in, many at once (UDP_SEGMENT, UDP_GRO).
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from secrets import choice
from typing import Final, NamedTuple

from pystack.core.addresses import host_port
from pystack.core.errors import ConfigError, DeviceError
from pystack.runtime.outside.ground import open_socket
from pystack.runtime.outside.real_errors import ask_for_errors

# <linux/udp.h>, <linux/in.h>, <linux/in6.h>
SOL_UDP: Final = 17
UDP_NO_CHECK6_RX: Final = 102
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
_IP_MTU_DISCOVER: Final = 10
_IP_MTU: Final = 14
_IPV6_MTU_DISCOVER: Final = 23
_IPV6_MTU: Final = 24
_PMTUDISC_DO: Final = 2  # of both
_IP_RECVTOS: Final = 13
_IPV6_RECVTCLASS: Final = 66
_TOS4: Final = (socket.IPPROTO_IP, 1)
_TOS6: Final = (socket.IPPROTO_IPV6, 67)
_TOS: Final = frozenset((_TOS4, _TOS6))
# RFC 7348 section 5: those of the private range, of which the firewalls on the way may know
_SOURCE_PORTS: Final = range(49152, 65536)
_TRIES: Final = 16

_EXTENDED: Final = struct.Struct("=IBBBBII")  # struct sock_extended_err
_MOST_ERRORS: Final = 64
# A burst of 64 KiB and what comes meanwhile; the kernel gives what it allows
_BUFFER_BYTES: Final = 4 << 20
_IS_LINUX: Final = sys.platform.startswith("linux")

Sockaddr = tuple[str, int] | tuple[str, int, int, int]


class SendError(NamedTuple):
    """What the kernel has to say of a datagram that was to go to `host`."""

    host: str
    number: int  # errno


def resolve(host: str, port: int, family: int = socket.AF_UNSPEC) -> tuple[int, Sockaddr]:
    """Return the family and address of another machine; of several the first. DeviceError.

    Asks the machine's resolver, and waits for it.
    """
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise DeviceError(f"the machine at {host} is not found: {said}") from None
    known, _kind, _proto, _name, address = found[0]
    return known, address  # type: ignore[return-value]


def open_at(family: int, host: str, port: int) -> socket.socket:
    """Open a socket on an address of this machine ("": on all). Raises DeviceError, ConfigError."""
    shown = host_port(host or ("::" if family == socket.AF_INET6 else "0.0.0.0"), port)
    if host:
        try:
            sockaddr = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)[0][4]
        except OSError:
            version = "6" if family == socket.AF_INET6 else "4"
            raise ConfigError(
                f"listen {shown} is no IPv{version} address of this machine"
            ) from None
    else:
        sockaddr = ("", port)
    try:
        sock = open_socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise DeviceError(f"no socket for {shown}: {error.strerror}") from None
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _never_fragment(sock)
        ask_for_errors(sock)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        if _IS_LINUX:
            with suppress(OSError):  # before Linux 5.0
                sock.setsockopt(SOL_UDP, UDP_GRO, 1)
            is_v6 = family == socket.AF_INET6
            level, option = (_TOS6[0], _IPV6_RECVTCLASS) if is_v6 else (_TOS4[0], _IP_RECVTOS)
            sock.setsockopt(level, option, 1)
            if is_v6:
                # RFC 7348 section 5: a checksum of zero MUST be accepted (by IPv6 RFC 6935)
                sock.setsockopt(SOL_UDP, UDP_NO_CHECK6_RX, 1)
        sock.bind(sockaddr)
    except OSError as error:
        sock.close()
        raise DeviceError(f"cannot listen at {shown}: {_why_not(error)}") from None
    return sock


def open_source(listening: socket.socket) -> socket.socket | None:
    """Return a socket to send from, at another port of the same address; None: there is none.

    Nobody reads it: what strangers send there fills the smallest buffer there is.
    """
    try:
        sock = open_socket(listening.family, socket.SOCK_DGRAM)
    except OSError:  # there are too many open files
        return None
    try:
        _never_fragment(sock)
        ask_for_errors(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        if listening.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        host, _port, *more = listening.getsockname()
        for _ in range(_TRIES):
            with suppress(OSError):
                sock.bind((host, choice(_SOURCE_PORTS), *more))
                return sock
    except OSError:
        pass
    sock.close()
    return None


def _why_not(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "another program, or a vxlan device of the kernel, has that port; choose another by "
            "listen, and say it on the other side"
        )
    return error.strerror or str(error)


def _never_fragment(sock: socket.socket) -> None:
    if not _IS_LINUX:
        return
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DO)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)


def path_mtu(family: int, to: Sockaddr) -> int | None:
    """Return the MTU of the path to an address, as far as the kernel knows it; None: no way."""
    if not _IS_LINUX:
        return None
    level, option = (
        (socket.IPPROTO_IPV6, _IPV6_MTU)
        if family == socket.AF_INET6
        else (socket.IPPROTO_IP, _IP_MTU)
    )
    try:
        with open_socket(family, socket.SOCK_DGRAM) as probe:
            _never_fragment(probe)
            probe.connect(to)  # sends nothing
            return probe.getsockopt(level, option)
    except OSError:
        return None


def errors_of(sock: socket.socket) -> Iterator[SendError]:
    """Take what the kernel has kept about datagrams that were sent, or could not be."""
    queue = getattr(socket, "MSG_ERRQUEUE", None)
    if queue is None:
        return
    for _ in range(_MOST_ERRORS):
        try:
            _text, ancillary, _flags, to = sock.recvmsg(0, 512, queue)
        except OSError:
            return
        for _level, _kind, cargo in ancillary:
            if to and len(cargo) >= _EXTENDED.size:
                number = _EXTENDED.unpack_from(cargo)[0]
                yield SendError(bare(to[0]), number)


def bare(host: str) -> str:
    """Return an address without its zone."""
    return host.partition("%")[0]


def read_ancillary(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int, int]:
    """Return how long each of several datagrams is that came in one piece, and its ECN field.

    The length is 0 where it is one.
    """
    each_bytes = mark = 0
    for level, kind, cargo in ancillary:
        if level == SOL_UDP and kind == UDP_GRO:
            each_bytes = int.from_bytes(cargo, sys.byteorder)
        elif (level, kind) in _TOS:
            mark = cargo[0 if len(cargo) == 1 or sys.byteorder == "little" else -1] & 3
    return each_bytes, mark


def segmented(each_bytes: int) -> tuple[int, int, bytes]:
    """Return what tells the kernel to cut what is sent into datagrams of that length."""
    return SOL_UDP, UDP_SEGMENT, struct.pack("=H", each_bytes)


def marked(family: int, mark: int) -> tuple[tuple[int, int, bytes], ...]:
    """Return what tells the kernel of the ECN field of what is sent; where it can be told."""
    if not mark or not _IS_LINUX:
        return ()
    level, kind = _TOS6 if family == socket.AF_INET6 else _TOS4
    return ((level, kind, struct.pack("=i", mark)),)
