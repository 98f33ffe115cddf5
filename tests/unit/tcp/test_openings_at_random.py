"""Listeners with all that can be set on them, and segments that keep to no rule: none is left."""

from random import Random
from typing import Literal

import pytest
from tcp_bench import ANY, PEER_ISS, TcpBench

from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.config import TcpConfig, TcpLimits
from pystack.tcp.listener import Listener
from pystack.tcp.states import TcpState
from pystack.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN
from pystack.wire.tcp_options import FastOpenCookie, TcpOptions

SEGMENTS, PORTS = 600, range(5000, 5006)
LONG_S = 4000.0  # longer than anything waits
FLAGS = (SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, SYN | FIN, SYN | ECE | CWR)
SERVERS: tuple[Literal["off", "server"], ...] = ("off", "server")


class Chaos:
    """A host, and somebody who sends it whatever comes to his mind."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.bench = TcpBench()
        self.bench.table.config = TcpConfig(
            fast_open=rng.choice(SERVERS),
            fast_open_cookieless=rng.choice(SERVERS),
            fast_open_pending=rng.choice((0, 1, 3)),
        )
        self.bench.table.limits = TcpLimits(syn_cookies=rng.choice((0, 1, 2)))
        self.listener: Listener[TcpSocket] = self.bench.table.listen(ANY, 80, rng.choice((0, 4)))
        self.listener.configure(
            defer_accept_retries=rng.choice((0, 3)),
            max_segment_bytes=rng.choice((None, 88, 700)),
            window_clamp_bytes=rng.choice((None, 1152)),
            timestamps=rng.random() < 0.5,
        )
        self.answered: dict[int, int] = {}  # our number, by the peer's port
        self.accepted: list[TcpSocket] = []

    def segment(self) -> None:
        """Send something that is right in part."""
        rng, port = self.rng, self.rng.choice(PORTS)
        seq = rng.choice(
            (PEER_ISS, PEER_ISS + 1, PEER_ISS + rng.randrange(40), rng.getrandbits(32))
        )
        ack = self.answered.get(port, 0) + rng.choice((0, 1, 1, 2, rng.randrange(3000)))
        flags = rng.choice((*FLAGS, rng.getrandbits(9)))
        self.bench.segment(
            flags,
            ports=(port, 80),
            seq=seq & 0xFFFFFFFF,
            ack=ack & 0xFFFFFFFF,
            wnd=rng.choice((0, 1, 500, 65535)),
            payload=bytes(rng.choice((0, 0, 1, 100, 1400))),
            options=TcpOptions(
                mss=rng.choice((None, 0, 48, 1460, 9000)),
                wscale=rng.choice((None, 7, 20)),
                timestamps=rng.choice((None, (rng.getrandbits(32), rng.getrandbits(32)))),
                fast_open=rng.choice((None, FastOpenCookie(b""), FastOpenCookie(bytes(8)))),
            ),
        )
        self.note()

    def user(self) -> None:
        """Accept, or do something with what was accepted."""
        rng, table, now = self.rng, self.bench.table, self.bench.scheduler.now
        if self.listener.ready and rng.random() < 0.3:
            self.accept()
        if not self.accepted or rng.random() < 0.7:
            return
        socket = rng.choice(self.accepted)
        what = rng.randrange(6)
        if what == 0:
            table.read(socket, 1000, now)
        elif what == 1 and socket.connection.tcb.fin_seq is None:
            if socket.connection.state in (TcpState.ESTABLISHED, TcpState.CLOSE_WAIT):
                table.write(socket, memoryview(bytes(900)), now, record_ends=rng.random() < 0.5)
        elif what == 2:
            table.close(socket, now)
        elif what == 3:
            table.release(socket, now)
            self.accepted.remove(socket)
        elif what == 4:
            table.abort(socket, now)
            self.accepted.remove(socket)
        else:
            socket.connection.set_no_delay(no_delay=rng.random() < 0.5)
            table.pump(socket, now)
        self.note()

    def accept(self) -> None:
        """Take what has waited longest."""
        socket = self.listener.ready.popleft()
        socket.listener = None
        self.accepted.append(socket)

    def wait(self, seconds: float) -> None:
        """Let time pass; the peer stays known."""
        self.bench.run(self.bench.scheduler.now + seconds)
        self.bench.know_peer()
        self.note()

    def note(self) -> None:
        """Learn our numbers, as the peer can."""
        for sent in self.bench.sent():
            if sent.flags & SYN:
                self.answered[sent.dst_port] = sent.seq

    def end(self) -> None:
        """All users go away, and much time passes."""
        for _ in range(2):
            while self.listener.ready:
                self.accept()
            for socket in self.accepted:
                self.bench.table.release(socket, self.bench.scheduler.now)
            self.accepted.clear()
            self.wait(LONG_S)


@pytest.mark.parametrize("seed", range(24))
def test_whatever_a_listener_is_sent_its_queues_are_bounded_and_empty_at_the_end(seed: int) -> None:
    chaos = Chaos(seed)
    listener, config = chaos.listener, chaos.bench.table.config
    for _ in range(SEGMENTS):
        chaos.segment()
        chaos.user()
        if chaos.rng.random() < 0.05:
            chaos.wait(chaos.rng.choice((0.001, 0.04, 0.3, 1.0, 5.0, 70.0)))
        assert len(listener.fast_opened) <= config.fast_open_pending
        assert all(
            socket.connection.state is TcpState.SYN_RECEIVED for socket in listener.fast_opened
        )
        # One more than the backlog, and what takes the place of a connection in TIME-WAIT
        assert len(listener.half_open) <= listener.backlog + 1 + len(PORTS)
    chaos.end()
    assert not listener.half_open
    assert not listener.fast_opened
    assert not len(chaos.bench.table)
