"""What watchers see of loss recovery: its begin and end, round trips, and windows."""

import pytest
from wires import connected, in_network, pair, read_to_end

import pystack
from pystack.core.tcp_events import TcpMeasured, TcpRepair, TcpRetransmitted
from pystack.observe.observer import Event
from pystack.wire.frame import Frame


class Watcher:
    """Keeps what it sees of the client's TCP."""

    def __init__(self) -> None:
        self.repairs: list[TcpRepair] = []
        self.measured: list[TcpMeasured] = []
        self.again: list[TcpRetransmitted] = []

    def on_event(self, event: Event) -> None:
        """Keep it."""
        match event:
            case TcpRepair():
                self.repairs.append(event)
            case TcpMeasured():
                self.measured.append(event)
            case TcpRetransmitted():
                self.again.append(event)


def watched(losing: set[int], size: int) -> Watcher:
    watcher = Watcher()

    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.02)
        count = 0

        def passes(frame: Frame) -> bool:
            nonlocal count
            count += len(frame.data) >= 1000
            return len(frame.data) < 1000 or count not in losing

        client, server = await connected(wire)
        wire.to_server.passes = passes
        wire.client.stack.observers.append(watcher)
        await client.send_all(bytes(size))
        await client.aclose()
        assert len(await read_to_end(server)) == size

    in_network(program)
    return watcher


def test_recovery_begins_and_ends_and_the_windows_are_those_after_it() -> None:
    watcher = watched({50, 52}, 400_000)
    assert [repair.what for repair in watcher.repairs] == ["recovery", "recovered"]
    assert [again.reason for again in watcher.again] == ["rack", "rack"]
    begin, end = watcher.repairs
    assert begin.cwnd_bytes == begin.ssthresh_bytes
    assert end.at > begin.at
    assert (begin.host, begin.remote[1]) == ("client", 80)


def test_a_timeout_is_told_as_such() -> None:
    # A full segment is lost, and what is sent again for the FIN's block; then the timer's, once
    watcher = watched({1, 2, 3}, 1448)
    assert [again.reason for again in watcher.again] == ["rack", "rto", "rto"]
    assert [repair.what for repair in watcher.repairs[:2]] == ["recovery", "timeout"]
    assert watcher.repairs[1].cwnd_bytes == 1448


def test_every_round_trip_and_every_new_window_is_told_once() -> None:
    watcher = watched(set(), 400_000)
    rtts = [event.value for event in watcher.measured if event.name == "rtt_s"]
    windows = [event.value for event in watcher.measured if event.name == "cwnd_bytes"]
    assert rtts
    assert all(0.03 < rtt_s < 0.2 for rtt_s in rtts)
    assert windows == sorted(set(windows))  # it only grew, and nothing is told twice


def test_a_retransmission_says_which_timer_ran_out_and_how_it_was_computed() -> None:
    watcher = watched({1, 2, 3}, 1448)
    first, *timeouts = watcher.again
    assert first.timer_s == 0.0
    for again, backed_off in zip(timeouts, (1, 2), strict=True):
        assert again.srtt_s == pytest.approx(0.08)  # the handshake's, over two links of 20 ms
        assert again.rttvar_s == pytest.approx(0.04)
        assert again.timer_s == pytest.approx((0.08 + max(4 * 0.04, 0.2)) * backed_off)
    waited = [event.timer_s for event in watcher.repairs if event.what == "timeout"]
    assert waited == [again.timer_s for again in timeouts]
