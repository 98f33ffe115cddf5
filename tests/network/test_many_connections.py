"""Many connections at once, and what one of them takes when it is idle."""

import gc
import tracemalloc
from collections import Counter

import trio

import pystack

PORT = 9
IDLE_BYTES = 6 * 1024  # of each end, with its TcpStream


class Crowd:
    """A client and a server, and all the streams that they hold open."""

    def __init__(self, net: pystack.Network) -> None:
        self.client, self.server = net.host("client"), net.host("server")
        net.link(self.client, self.server, delay="1ms")
        self.ours: list[pystack.TcpStream] = []
        self.theirs: list[pystack.TcpStream] = []

    async def open(self, count: int) -> None:
        """Open so many, and use each once."""
        (listener,) = await self.server.open_tcp_listeners(PORT)

        async def answer(stream: pystack.TcpStream) -> None:
            await stream.send_all(await stream.receive_some())

        async def accept() -> None:
            for _ in range(count):
                self.theirs.append(await listener.accept())
                nursery.start_soon(answer, self.theirs[-1])

        async def connect() -> None:
            stream = await self.client.open_tcp_stream("server", PORT)
            self.ours.append(stream)
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            for _ in range(count):
                nursery.start_soon(connect)
        await listener.aclose()
        await trio.sleep(1)  # so that the last acknowledgements are there

    def theirs_of(self, stream: pystack.TcpStream) -> pystack.TcpStream:
        """Return the server's end of one of the client's streams."""
        return next(other for other in self.theirs if other.remote_address == stream.local_address)

    def close(self) -> None:
        for stream in (*self.ours, *self.theirs):
            stream.close()
        self.ours.clear()
        self.theirs.clear()


def in_network(program: object) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            await program(net)  # type: ignore[operator]

    pystack.run(main)


def test_an_idle_connection_takes_six_kibibytes_at_most() -> None:
    async def program(net: pystack.Network) -> None:
        crowd = Crowd(net)
        await crowd.open(20)  # what is made once is made now
        gc.collect()
        tracemalloc.start()
        try:
            await crowd.open(300)
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held / 600 <= IDLE_BYTES

    in_network(program)


def test_ten_thousand_idle_ones_cost_nothing_while_they_are_idle() -> None:
    async def program(net: pystack.Network) -> None:
        crowd = Crowd(net)
        await crowd.open(10_000)
        frames = crowd.server.counters["frames_in"]
        waiting = len(crowd.server.stack.scheduler)
        assert waiting < 10  # no timer for each of them
        await trio.sleep(3600)
        assert crowd.server.counters["frames_in"] - frames < 10
        assert len(crowd.server.connections()) == 10_000
        await crowd.ours[1234].send_all(b"still there?")
        assert await crowd.theirs_of(crowd.ours[1234]).receive_some() == b"still there?"

    in_network(program)


def test_a_thousand_busy_ones_all_get_their_turn_and_their_own_bytes() -> None:
    rounds, message_bytes, count = 5, 2000, 1000

    async def program(net: pystack.Network) -> None:
        crowd = Crowd(net)
        await crowd.open(count)
        began_at = trio.current_time()
        took_s = [0.0] * count

        async def answer(stream: pystack.TcpStream) -> None:
            async for data in stream:
                await stream.send_all(data)

        async def ask(number: int) -> None:
            stream = crowd.ours[number]
            for turn in range(rounds):
                said, heard = (
                    (number * rounds + turn).to_bytes(4, "big") * (message_bytes // 4),
                    b"",
                )
                await stream.send_all(said)
                while len(heard) < message_bytes:
                    heard += await stream.receive_some()
                assert heard == said
            await stream.send_eof()
            took_s[number] = round(trio.current_time() - began_at, 6)

        async with trio.open_nursery() as nursery:
            for stream in crowd.theirs:
                nursery.start_soon(answer, stream)
            for number in range(count):
                nursery.start_soon(ask, number)
        # A millisecond each way, and nothing waits. Where the SYN had to be sent again, for no more
        # than 128 wait for ARP's answer, the window began with one segment (RFC 5681 section 3.1).
        assert Counter(took_s) == {0.010: 128, 0.012: count - 128}
        assert net.links[0].counters == {}  # no frame was lost

    in_network(program)


def test_when_all_are_closed_small_records_are_left_and_then_nothing() -> None:
    async def program(net: pystack.Network) -> None:
        crowd = Crowd(net)
        await crowd.open(100)
        crowd.close()
        await trio.sleep(1)
        tables = crowd.client.stack.tcp, crowd.server.stack.tcp
        assert [len(table.sockets) for table in tables] == [0, 0]
        assert sum(len(table.time_waits.records) for table in tables) >= 100
        await trio.sleep(60)
        assert [len(table) for table in tables] == [0, 0]
        assert len(crowd.server.stack.scheduler) < 10

    in_network(program)


def test_a_burst_of_more_clients_than_the_backlog_is_served_whole() -> None:
    async def program(net: pystack.Network) -> None:
        crowd = Crowd(net)
        await crowd.open(1500)  # the backlog is 1024
        assert len(crowd.ours) == 1500
        assert crowd.server.counters["tcp_syn_cookies_sent"] > 0
        assert crowd.server.counters["tcp_no_connection"] == 0  # and nobody gets a reset

    in_network(program)
