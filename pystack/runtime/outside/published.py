"""Ports of the machine that lead inwards: who connects there reaches a program inside.

As with containers: on the machine's loopback unless another address is said, and to the address
that the program has inside, so not to what listens on the loopback in there. The client is, inside,
the gateway.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from pystack.core.addresses import UNSPECIFIED, UNSPECIFIED6, Ip, host_port, is_port, parse_ip
from pystack.core.errors import ConfigError, DeviceError
from pystack.runtime.outside.aging import Aging
from pystack.runtime.outside.connections import Connections, reset
from pystack.runtime.outside.ground import DATAGRAM_BYTES, MOST_READ, Ground, open_socket
from pystack.runtime.splice.acceptor import Acceptor
from pystack.runtime.splice.poller import READ
from pystack.runtime.splice.stack_side import StackPending, connect_stack

if TYPE_CHECKING:
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.stack.udp_socket import UdpSocket

Protocol = Literal["tcp", "udp"]
RealAddress = tuple[str, int] | tuple[str, int, int, int]
Target = Callable[[socket.AddressFamily], Ip]  # its address inside, of that version if it has one

LOOPBACKS: Final = ("127.0.0.1", "::1")
IDLE_S: Final = 180.0
MAX_PEERS: Final = 1024  # of one port for datagrams
_BACKLOG: Final = 1024
# Of a machine that has switched a version of IP off
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


@dataclass(frozen=True, slots=True)
class PublishSpec:
    """One port of the machine, and the one inside that it leads to."""

    address: str  # of the machine; "": its loopback, of both versions
    port: int  # of the machine; 0: any
    inner_port: int
    protocol: Protocol = "tcp"

    def __str__(self) -> str:
        """Return it in the words it was read from."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        front = f"{address}:" if address else ""
        return f"{front}{self.port}:{self.inner_port}/{self.protocol}"


def parse_publish(text: str) -> list[PublishSpec]:
    """Read "[ADDRESS:]PORT[:PORT][/tcp|/udp]", where ports may be ranges: "8000-8010:8000-8010".

    "8080:80": port 8080 of the machine's loopback leads to port 80 inside. "80": the same number
    on both sides. "0:80": any free port. Raises ConfigError.
    """
    if not isinstance(text, str):
        raise ConfigError(f"what is published is a text, like '8080:80', not {text!r}")
    words, slash, protocol = text.partition("/")
    if slash and protocol not in ("tcp", "udp"):
        raise ConfigError(f"{text!r}: {protocol!r} is not a protocol: it is tcp or udp")
    address, ports = _split(text, words)
    if not 1 <= len(ports) <= 2:
        raise ConfigError(
            f"{text!r} is not what can be published: [ADDRESS:]PORT:PORT[/udp], like 8080:80 or "
            "0.0.0.0:5353:53/udp"
        )
    outer = _range(text, ports[0], zero=True)
    inner = _range(text, ports[-1], zero=False)
    if len(outer) != len(inner):
        raise ConfigError(f"{text!r}: {len(outer)} ports cannot lead to {len(inner)}")
    kind: Protocol = "udp" if protocol == "udp" else "tcp"
    return [PublishSpec(address, *pair, kind) for pair in zip(outer, inner, strict=True)]


def _split(text: str, words: str) -> tuple[str, list[str]]:
    """Return the address ("": none is said) and the ports."""
    if words.startswith("["):
        address, bracket, rest = words[1:].partition("]")
        if not bracket or not rest.startswith(":") or ":" not in address:
            raise ConfigError(f"{text!r}: an address of IPv6 is said as [::1]:8080:80")
        ports = rest[1:].split(":")
    else:
        address, ports = "", words.split(":")
        if len(ports) == 3 or "." in ports[0]:
            address, *ports = ports
            if not address:
                raise ConfigError(f"{text!r}: the address in front is missing")
    if address:
        parse_ip(address)
    return address, ports


def _range(text: str, word: str, *, zero: bool) -> range:
    first, dash, last = word.partition("-")
    if zero and word == "0":
        return range(1)
    if not is_port(first) or (dash and not is_port(last)):
        raise ConfigError(f"{text!r}: {word!r} is not a port; a port is 1 to 65535")
    start, end = int(first), int(last) if dash else int(first)
    if end < start:
        raise ConfigError(f"{text!r}: {word!r} ends before it begins")
    return range(start, end + 1)


class Published:
    """All ports of one host's outside that lead inwards."""

    def __init__(self, ground: Ground, connections: Connections) -> None:
        self._ground = ground
        self._connections = connections
        self._acceptors: list[Acceptor] = []
        self._datagrams: list[_Datagrams] = []
        self._opening: dict[socket.socket, StackPending] = {}

    def publish(self, spec: PublishSpec, target: Target) -> list[PublishSpec]:
        """Open a port; return what it is, with the number that it got, for each version of IP.

        Raises DeviceError where the machine does not give it.
        """
        found: list[PublishSpec] = []
        trouble: OSError | None = None
        for address in (spec.address,) if spec.address else LOOPBACKS:
            # Of both versions of the loopback it is the same number.
            wanted = found[0].port if found else spec.port
            try:
                port = self._open(replace(spec, address=address, port=wanted), target)
            except OSError as error:
                trouble = error
                if error.errno in _NOT_HERE and not spec.address:
                    continue
                break
            found.append(replace(spec, address=address, port=port))
            trouble = None
        if trouble is not None and (not found or trouble.errno not in _NOT_HERE):
            raise _refused(spec, trouble)
        return found

    def close(self, now: float) -> None:
        """Close all of them; connections that are established are not theirs any more."""
        for acceptor in self._acceptors:
            acceptor.close()
        for datagrams in self._datagrams:
            datagrams.close()
        for sock, pending in list(self._opening.items()):
            pending.cancel(now)
            self._refuse(sock)
        self._acceptors.clear()
        self._datagrams.clear()

    def _open(self, spec: PublishSpec, target: Target) -> int:
        is_v6 = ":" in spec.address
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        kind = socket.SOCK_DGRAM if spec.protocol == "udp" else socket.SOCK_STREAM
        sock = open_socket(family, kind)
        try:
            if is_v6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if spec.protocol == "tcp" and os.name != "nt":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((spec.address, spec.port))
            port: int = sock.getsockname()[1]
            inside = partial(target, family)
            if spec.protocol == "udp":
                self._datagrams.append(_Datagrams(self._ground, sock, inside, spec.inner_port))
                return port
            sock.listen(_BACKLOG)
            accepted = partial(self._accepted, inside, spec.inner_port)
            acceptor = Acceptor(self._ground.poller, sock, accepted, self._ground.counters)
        except BaseException:
            sock.close()
            raise
        self._acceptors.append(acceptor)
        return port

    def _accepted(
        self,
        inside: Callable[[], Ip],
        port: int,
        sock: socket.socket,
        _peer: RealAddress,
        now: float,
    ) -> None:
        """Open the same connection inside."""
        ground = self._ground
        if not ground.take():
            reset(sock)
            return
        try:
            self._opening[sock] = connect_stack(
                ground.host, inside(), port, partial(self._opened, sock), now
            )
        except (OSError, ConfigError):  # no way there
            self._refuse(sock)

    def _opened(self, sock: socket.socket, outcome: TcpSocket | OSError, _now: float) -> None:
        if isinstance(outcome, OSError):
            self._refuse(sock)
            return
        del self._opening[sock]
        self._ground.counters.add("outside_publish_opened")
        self._connections.join(sock, outcome)

    def _refuse(self, sock: socket.socket) -> None:
        self._opening.pop(sock, None)
        self._ground.counters.add("outside_publish_refused")
        reset(sock)
        self._ground.give()


class _Datagrams:
    """A port for datagrams, and who sends there: each of them is a port of the gateway inside."""

    def __init__(
        self, ground: Ground, sock: socket.socket, inside: Callable[[], Ip], port: int
    ) -> None:
        self._ground = ground
        self._sock = sock
        self._inside = inside
        self._port = port
        self._peers: Aging[RealAddress, _Peer] = Aging(ground.scheduler, IDLE_S, "published ports")
        self._watch = ground.poller.watch(sock, self._ready, READ)

    def close(self) -> None:
        """Close it."""
        self._peers.close()
        self._watch.close()
        self._sock.close()

    def _ready(self, _events: int, now: float) -> None:
        for payload, sender in self._received():
            peer = self._peers.get(sender) or self._welcome(sender, now)
            if peer is None:
                continue
            self._peers.used(sender, now)
            self._ground.counters.add("outside_publish_datagrams")
            try:
                peer.udp.send_to(payload, peer.target, self._port, now)
            except OSError:
                self._ground.counters.add("outside_publish_refused")

    def _received(self) -> Iterator[tuple[bytes, RealAddress]]:
        for _ in range(MOST_READ):
            try:
                yield self._sock.recvfrom(DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:  # about an answer that nobody wanted
                continue

    def _welcome(self, sender: RealAddress, now: float) -> _Peer | None:
        host = self._ground.host
        if len(self._peers) >= MAX_PEERS:
            self._peers.spend()
        try:
            target = self._inside()
            udp = host.udp.bind(UNSPECIFIED6 if target >> 32 else UNSPECIFIED, 0)
            route = host.routes.lookup(target)
            if route is None:
                raise host.no_route(target)
        except (OSError, ConfigError):
            self._ground.counters.add("outside_publish_refused")
            return None
        udp.connect(target, self._port, host.source_towards(target, route))
        udp.on_readable = partial(self._answered, udp, sender)
        peer = _Peer(udp, target, now)
        self._peers.add(sender, peer, now)
        return peer

    def _answered(self, udp: UdpSocket, sender: RealAddress) -> None:
        udp.take_error()  # a client that is connected to nobody could not be told
        while (found := udp.receive()) is not None:
            try:
                self._sock.sendto(found[0], sender)
            except OSError:
                self._ground.counters.add("outside_publish_not_sent")
        self._peers.used(sender, self._ground.scheduler.now)


@dataclass(slots=True)
class _Peer:
    """Somebody who sends to a published port."""

    udp: UdpSocket
    target: Ip
    used_at: float

    def close(self) -> None:
        """Close its port of the gateway."""
        self.udp.close()


def _refused(spec: PublishSpec, error: OSError) -> DeviceError:
    where = host_port(spec.address or LOOPBACKS[0], spec.port)
    text = f"port {where} of this machine cannot be published: {error.strerror}"
    if error.errno == errno.EACCES:
        text += (
            "; below 1024 it takes root, or the setting net.ipv4.ip_unprivileged_port_start: use "
            f"another number, like {8000 + spec.port % 1000}:{spec.inner_port}"
        )
    elif error.errno == errno.EADDRINUSE:
        text += ": use another number, or 0 for any free one"
    return DeviceError(text)
