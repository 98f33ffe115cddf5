"""A host that strangers may give anything at all: what its tests of both versions share."""

from random import Random
from typing import Final

from stack_bench import Bench

from pystack.observe.observer import Dropped
from pystack.stack.fragments import MAX_BYTES
from pystack.stack.neighbors import QUEUE_PACKETS, TABLE_ENTRIES
from pystack.stack.ports import ANY
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.states import TcpState
from pystack.wire import tcp

BACKLOG: Final = 16
ACCEPTED: Final = ("ip_packets_in", "ip_fragments_in", "ip_forwarded", "arp_packets_in")
PEER_ISS: Final = 2**32 - 100


class Stormed(Bench):
    """A host with everything on that a stranger can reach, one connection open.

    A subclass knows how a version's packets look.
    """

    def serve(self) -> None:
        """Listen on TCP and UDP, and let the peer connect."""
        self.listener = self.host.tcp.listen(ANY, 80, BACKLOG)
        self.socket = self.host.udp.bind(ANY, 7)
        self.socket.receive_buffer_bytes = 20_000
        self.frames = 0
        self.learned = self.counters["frames_in"]
        self.port_number = 4999
        self.connection = self.open_connection()

    def greet(self) -> None:
        """Let the peer ask for our station, so that it is known."""
        raise NotImplementedError

    def segment(self, flags: int, seq: int, ack: int = 0) -> bytes:
        """Return a frame with a segment of the peer's from the port that it is at."""
        raise NotImplementedError

    def answered(self) -> int:
        """Return the sequence number of the one segment that was sent since the last time."""
        raise NotImplementedError

    def open_connection(self) -> TcpSocket:
        """Let the peer connect from its next port, and our side send something."""
        tcp_table, now = self.host.tcp, self.scheduler.now
        while self.listener.ready:
            tcp_table.abort(self.listener.ready.popleft(), now)
        self.port_number += 1
        self.greet()
        self.taken()
        self.give(self.segment(tcp.SYN, PEER_ISS))
        ack = self.answered() + 1 & 0xFFFFFFFF
        self.give(self.segment(tcp.ACK, PEER_ISS + 1, ack))
        socket = self.listener.ready.popleft()
        socket.listener = None  # as `accept` does
        assert socket.connection.state is TcpState.ESTABLISHED
        tcp_table.write(socket, memoryview(bytes(5000)), now)
        return socket

    def use_connection(self, rng: Random) -> None:
        """Do what a user may do at this point: read, write, close; open it again when it died."""
        tcp_table, now = self.host.tcp, self.scheduler.now
        if self.connection.connection.state is TcpState.CLOSED:
            self.connection = self.open_connection()
        elif rng.random() < 0.1:
            tcp_table.close(self.connection, now)
        else:
            tcp_table.read(self.connection, 1000, now)
            if self.connection.connection.state in (TcpState.ESTABLISHED, TcpState.CLOSE_WAIT):
                tcp_table.write(self.connection, memoryview(b"more"), now)

    def give(self, frame: bytes, *, after_s: float = 0.0) -> None:
        """Let a frame arrive, and check that it was counted."""
        self.events.clear()
        before = self.accepted
        self.arrive(frame, at=self.scheduler.now + after_s)
        self.frames += 1
        dropped = sum(isinstance(event, Dropped) for event in self.events)
        assert self.accepted - before + dropped >= 1, f"nobody counted {frame.hex()}"
        assert self.counters["frames_in"] - self.learned == self.frames

    @property
    def accepted(self) -> int:
        """How much was taken by some layer above the frames'."""
        return sum(self.counters[name] for name in ACCEPTED)

    def check_bounds(self) -> None:
        for interface in self.host.interfaces[1:]:
            neighbors = interface.neighbors
            assert neighbors is not None
            assert len(neighbors._entries) <= TABLE_ENTRIES
            assert all(len(entry.held) <= QUEUE_PACKETS for entry in neighbors._entries.values())
        assert self.host.reassembly._cost_bytes <= MAX_BYTES
        assert len(self.listener.half_open) <= BACKLOG + 1
        assert len(self.listener.ready) <= BACKLOG + 1
        assert len(self.host.tcp) <= 2 * (BACKLOG + 1) + 2  # and the last one in TIME-WAIT
        assert self.socket._queued_bytes <= 20_000
        assert len(self.host.routes._cache) <= 4096
        assert len(self.scheduler._heap) <= 4096
        self.port.sent.clear()

    def aimed(self, frame: bytes, at: int, rng: Random) -> bytearray:
        """Let a segment that begins `at` there hit the open connection.

        Near its window, with an ACK that means something.
        """
        tcb = self.connection.connection.tcb
        data = bytearray(frame)
        data[at : at + 2] = self.port_number.to_bytes(2, "big")
        seq = tcb.rcv_nxt + rng.choice((0, 0, 0, 1, -1, 100, 60_000, -(2**31)))
        ack = rng.choice((tcb.snd_una, tcb.snd_nxt, tcb.snd_nxt + 1, rng.getrandbits(32)))
        data[at + 4 : at + 8] = (seq & 0xFFFFFFFF).to_bytes(4, "big")
        data[at + 8 : at + 12] = (ack & 0xFFFFFFFF).to_bytes(4, "big")
        return data
