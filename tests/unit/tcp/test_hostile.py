"""Whatever arrives, and in whatever state: nothing is raised, and the invariants hold."""

import contextlib
from random import Random
from typing import Final

import pytest
from script import ISS, PEER_ISS, Script
from test_states import REACH

from pystack.tcp.config import TcpConfig
from pystack.tcp.states import LEGAL, MAY_SEND, TcpState
from pystack.tcp.tcb import NEVER, Timer
from pystack.wire import tcp as wire
from pystack.wire.tcp_options import TcpOptions, pack

RUNS: Final = 100
STEPS: Final = 60


def check(script: Script) -> None:
    """What holds after every input and its pump."""
    conn = script.conn
    tcb, timers = conn.tcb, conn.tcb.timers
    assert tcb.iss <= tcb.snd_una <= tcb.snd_nxt
    assert tcb.snd_nxt <= conn.send_buffer.end + 1 or conn.state in (
        TcpState.CLOSED,
        TcpState.TIME_WAIT,
    )
    assert tcb.rcv_nxt <= tcb.rcv_adv
    assert tcb.rcv_fin_seq is None or tcb.rcv_nxt <= tcb.rcv_fin_seq + 1
    assert conn.recovery.pipe_bytes() >= 0
    assert conn.congestion.cwnd_bytes >= min(tcb.snd_mss, tcb.mtu_mss) or tcb.snd_mss < 536
    assert conn.receive_buffer.readable_bytes <= conn.config.receive_buffer_bytes
    assert conn.poll_transmit(script.now) is None
    assert not conn.outbox
    assert all(new in LEGAL[old] for old, new in script.transitions)
    if conn.state in (TcpState.CLOSED, TcpState.TIME_WAIT):
        assert timers[Timer.RETRANSMIT] == timers[Timer.PERSIST] == NEVER
        return
    if conn.state in (TcpState.SYN_SENT, TcpState.SYN_RECEIVED):
        assert timers[Timer.RETRANSMIT] < NEVER
    in_flight = tcb.snd_nxt > tcb.snd_una
    assert (timers[Timer.RETRANSMIT] < NEVER) == in_flight
    assert not (in_flight and timers[Timer.PERSIST] < NEVER)
    if conn.state in MAY_SEND and not in_flight:
        unsent = conn.send_buffer.end > tcb.snd_nxt
        fin_due = tcb.fin_seq is not None and tcb.snd_nxt <= tcb.fin_seq
        if unsent or fin_due:
            assert timers[Timer.PERSIST] < NEVER, "data waits, and no timer is armed"


def segment(script: Script, rng: Random) -> wire.Segment:
    """Return a segment that is nearly right, or not at all."""
    tcb = script.conn.tcb
    near = rng.choice((tcb.rcv_nxt, tcb.rcv_nxt, tcb.rcv_adv, PEER_ISS, rng.getrandbits(32)))
    ack = rng.choice((tcb.snd_nxt, tcb.snd_una, tcb.snd_nxt, ISS, rng.getrandbits(32)))
    flags = rng.choice((wire.ACK,) * 6 + (wire.ACK | wire.PSH,) * 2 + (rng.getrandbits(9),) * 2)
    if rng.random() < 0.7:
        flags &= ~wire.RST
    options = rng.choice(
        (b"", b"", rng.randbytes(rng.choice((4, 8, 40))), pack(TcpOptions(mss=1000, wscale=3)))
    )
    size = rng.choice((0, 0, 0, 1, 10, 100, 1460, 5000))
    return wire.Segment(
        80,
        49152,
        (near + rng.choice((0, 0, 0, 1, -1, 10, -10, 1460, -1460))) & 0xFFFFFFFF,
        (ack + rng.choice((0, 0, 0, 1, -1, -10, -1000))) & 0xFFFFFFFF,
        flags,
        rng.choice((0, 1, 100, 1000, 65535)),
        options,
        memoryview(bytes(size)),
        up=rng.getrandbits(16),
    )


def user(script: Script, rng: Random) -> None:
    match rng.randrange(12):
        case 0 | 1 | 2 | 3:
            with contextlib.suppress(BrokenPipeError):
                script.write(rng.choice((1, 10, 1000, 5000)))
        case 4 | 5:
            script.read(rng.choice((1, 100, 10_000)))
        case 6:
            script.close()
        case 7 if rng.random() < 0.2:
            script.release()


def one_run(state: TcpState, seed: int) -> None:
    rng = Random(f"{state}/{seed}")
    script = Script(
        TcpConfig(send_buffer_bytes=6000, receive_buffer_bytes=rng.choice((3000, 100_000)))
    )
    REACH[state](script)
    script.drain()
    edge = script.conn.tcb.rcv_adv
    for _ in range(STEPS):
        what = rng.random()
        if what < 0.6:
            for _ in range(rng.choice((1, 1, 3))):
                script.conn.segment_arrived(segment(script, rng), script.now)
            script.pump()
        elif what < 0.85:
            user(script, rng)
        else:
            script.advance(f"+{rng.choice((0.01, 0.04, 0.3, 2, 70))}")
        for sent in script.drain():
            assert len(sent.payload) <= 1460
        check(script)
        tcb = script.conn.tcb
        assert tcb.rcv_adv >= edge or edge < tcb.irs  # before the peer's SYN it counts from 0
        edge = tcb.rcv_adv
    script.abort()
    check(script)


@pytest.mark.parametrize("state", REACH)
def test_random_segments_never_raise_and_the_invariants_hold(state: TcpState) -> None:
    for seed in range(RUNS):
        try:
            one_run(state, seed)
        except Exception as error:
            error.add_note(f"{state} seed {seed}")
            raise
