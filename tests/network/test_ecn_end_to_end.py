"""ECN from end to end: queues that mark, and senders that slow down without losing anything."""

from dataclasses import dataclass

import pytest
import trio

import pystack
from pystack.tcp.config import TcpConfig
from pystack.tcp.info import TcpInfo

SIZE_BYTES = 5_000_000


@dataclass(slots=True)
class Outcome:
    """What became of one transfer through 20 Mbit/s and 20 ms each way."""

    seconds: float
    client: TcpInfo
    server: TcpInfo
    marks: int
    drops: int


def transfer(qdisc: str, config: TcpConfig) -> Outcome:
    outcomes: list[Outcome] = []

    async def program() -> None:
        async with pystack.Network(seed=5) as net:
            client, server = net.host("client"), net.host("server")
            link = net.link(client, server, delay="20ms", rate="20mbit", qdisc=qdisc)
            client.tcp.config = server.tcp.config = config
            (listener,) = await server.open_tcp_listeners(80)
            stream = await client.open_tcp_stream("server", 80)
            peer = await listener.accept()
            began_at = trio.current_time()

            async def send() -> None:
                await stream.send_all(bytes(SIZE_BYTES))
                await stream.send_eof()

            got = 0
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                while data := await peer.receive_some():
                    got += len(data)
            assert got == SIZE_BYTES
            counters = link.a_to_b.counters
            marks = sum(count for name, count in counters.items() if name.endswith("_mark"))
            drops = counters["codel_drop"] + counters["codel_full"]
            seconds = trio.current_time() - began_at
            outcomes.append(Outcome(seconds, stream.info(), peer.info(), marks, drops))

    pystack.run(program)
    return outcomes[0]


@pytest.mark.rfc("3168", "6.1")
@pytest.mark.parametrize("congestion", ["cubic", "newreno"])
def test_where_the_queue_marks_nothing_is_lost_and_the_line_stays_full(congestion: str) -> None:
    asked = TcpConfig(congestion=congestion, ecn="request")
    marked = transfer("codel ecn", asked)
    assert (marked.drops, marked.client.retransmits) == (0, 0)
    assert marked.marks > 0
    assert marked.server.ce_received == marked.marks
    assert marked.client.ece_received > 0
    assert marked.seconds < 8 * SIZE_BYTES / 20e6 * 1.15
    dropped = transfer("codel ecn", TcpConfig(congestion=congestion, ecn="off"))
    assert dropped.marks == 0
    assert dropped.drops > 0
    assert dropped.client.retransmits > 0


@pytest.mark.rfc("8257", "3")
def test_dctcp_keeps_a_line_full_that_marks_early() -> None:
    outcome = transfer("codel ecn ce_threshold 10ms", TcpConfig(congestion="dctcp"))
    assert (outcome.drops, outcome.client.retransmits) == (0, 0)
    assert outcome.server.ce_received == outcome.marks > 0
    assert outcome.seconds < 8 * SIZE_BYTES / 20e6 * 1.3
