"""The connection that a script is about right now: which packets are its own, how it counts.

A script names no connection. Its packets belong to the socket that was last opened, connected, or
reached by a packet; a line that names ports may speak of another one.
"""

from __future__ import annotations

from typing import Final

from pystack.stack.ports import names_one
from pystack.tcp.connection import Connection
from pystack.testing.packetdrill.datagrams import Datagrams
from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.files import File
from pystack.testing.packetdrill.flow import MASK, Flow
from pystack.testing.packetdrill.script import IcmpPart, Packet, TcpPart, UdpPart
from pystack.testing.packetdrill.settings import Settings
from pystack.testing.packetdrill.streams import Stream
from pystack.testing.packetdrill.world import World
from pystack.wire import ipv4, ipv6, tcp
from pystack.wire.packet import Packet as IpPacket

_FIRST_PEER_PORT: Final = 40000


class Subject:
    """Whose packets the script's lines are."""

    def __init__(self, settings: Settings, world: World) -> None:
        self.flow: Flow | None = None  # None: nothing was opened, and nothing has come in
        self._settings = settings
        self._world = world
        self._flows: list[Flow] = []
        self._listening: Stream | None = None  # None: nothing listens
        self._expects_stranger = True  # the next segment comes in at a listener, or at nothing
        self._connection: Connection | None = None  # the last one that was looked at
        self._peers = 0

    def choose(self, file: File) -> None:
        """Let the packets from here on be those of a socket that listens, connects, has a port."""
        if isinstance(file, Stream):
            if file.listener is not None:
                self._listening, self._expects_stranger = file, True
            elif file.socket is not None:
                socket = file.socket
                port, remote_port = socket.connection.local_port, socket.connection.remote_port
                self._begin(Flow(socket.local, port, socket.remote, remote_port, ipv4.TCP))
        elif isinstance(file, Datagrams):
            local_ip, local_port = file.local
            remote_ip, remote_port = file.remote or (
                self._settings.remote_ip,
                self._settings.connect_port,
            )
            if not names_one(local_ip):
                local_ip = self._settings.local_ip
            self._begin(Flow(local_ip, local_port, remote_ip, remote_port, ipv4.UDP))

    def for_inbound(self, line: Packet) -> Flow:
        """Return the connection that a packet comes in for, a new one where it is a stranger's."""
        flow = self._with_ports(line) if line.ports is not None else self.flow
        fits = flow is not None and (isinstance(line.part, IcmpPart) or _proto(line) == flow.proto)
        if flow is None or not fits or self._meets_listener(line):
            flow = self._stranger(line)
        self.flow = flow
        if isinstance(line.part, TcpPart):
            _note_inbound(line.part, flow)
        if self._listening is not None:
            self._listening.use_config()
        self.connection()  # remembered, for when it is over
        return flow

    def for_outbound(self, line: Packet, packet: IpPacket) -> Flow | None:
        """Return the connection that a sent packet belongs to, if the line is about that one."""
        if line.ports is not None:
            source, destination = line.ports
            named = self._find(source, destination)
            if named is not None:
                self.flow = named
        flow = self.flow
        if flow is None or not _owns(flow, packet):
            return None
        if packet.proto == ipv4.TCP:
            _note_outbound(tcp.parse(packet), line, flow)
        return flow

    def owns(self, packet: IpPacket) -> bool:
        """Tell whether a sent packet belongs to the connection that the script is about."""
        return self.flow is not None and _owns(self.flow, packet)

    def connection(self) -> Connection | None:
        """Return the connection itself, in the state of its end when it is over already."""
        flow = self.flow
        if flow is not None and flow.proto == ipv4.TCP:
            for socket in self._world.host.tcp:
                found = socket.connection
                if (socket.local, found.local_port, socket.remote, found.remote_port) == (
                    flow.local_ip,
                    flow.local_port,
                    flow.remote_ip,
                    flow.remote_port,
                ):
                    self._connection = found
        return self._connection

    def _meets_listener(self, line: Packet) -> bool:
        return (
            isinstance(line.part, TcpPart)
            and line.ports is None
            and self._expects_stranger
            and (self._listening is not None or self.flow is None)
        )

    def _stranger(self, line: Packet) -> Flow:
        settings = self._settings
        port = _FIRST_PEER_PORT + self._peers
        self._peers += 1
        local_port = settings.bind_port
        if line.ports is not None:
            port, local_port = line.ports
        elif self._listening is not None and self._listening.bound is not None:
            local_port = self._listening.bound[1]
        flow = Flow(settings.local_ip, local_port, settings.remote_ip, port, _proto(line))
        self._begin(flow)
        return flow

    def _begin(self, flow: Flow) -> None:
        self.flow = flow
        self._flows.append(flow)
        self._expects_stranger = False

    def _with_ports(self, line: Packet) -> Flow | None:
        assert line.ports is not None
        remote_port, local_port = line.ports
        return self._find(local_port, remote_port)

    def _find(self, local_port: int, remote_port: int) -> Flow | None:
        for flow in reversed(self._flows):
            if (flow.local_port, flow.remote_port) == (local_port, remote_port):
                return flow
        return None


def _proto(line: Packet) -> int:
    match line.part:
        case TcpPart():
            return ipv4.TCP
        case UdpPart():
            return ipv4.UDP
        case IcmpPart():
            raise MismatchError("an ICMP message belongs to a socket, and there is none yet")


def _owns(flow: Flow, packet: IpPacket) -> bool:
    if (packet.src, packet.dst) != (flow.local_ip, flow.remote_ip):
        return False
    if packet.proto in (ipv4.ICMP, ipv6.ICMPV6):
        return True
    if packet.proto != flow.proto or len(packet.payload) < 4:
        return False
    source = packet.payload[0] << 8 | packet.payload[1]
    destination = packet.payload[2] << 8 | packet.payload[3]
    return (source, destination) == (flow.local_port, flow.remote_port)


def _note_inbound(part: TcpPart, flow: Flow) -> None:
    """Learn the peer's initial sequence number, which on the wire is the script's."""
    if not part.flags & tcp.SYN:
        return
    if flow.theirs.live is None:
        flow.theirs.script = flow.theirs.live = part.seq
    elif not part.flags & tcp.ACK:
        flow.offered = part.seq


def _note_outbound(segment: tcp.Segment, line: Packet, flow: Flow) -> None:
    """Learn the host's initial sequence number from its first SYN, and from that of a successor."""
    if not segment.flags & tcp.SYN or not isinstance(line.part, TcpPart):
        return
    succeeds = (
        flow.offered is not None
        and segment.flags & tcp.ACK
        and segment.ack & MASK == (flow.offered + 1) & MASK
    )
    if succeeds and flow.offered is not None:
        flow.theirs.script = flow.theirs.live = flow.offered
        flow.offered = None
    flow.syn_text_bytes = len(segment.payload)
    if flow.ours.live is None or succeeds:
        flow.ours.live = segment.seq & MASK
        flow.ours.script = line.part.seq
