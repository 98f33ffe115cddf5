"""DNS servers on hosts, in virtual time: UDP and TCP, what is late, and who goes away."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import dns.flags
import dns.message
import dns.rcode
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

import pystack
from pystack.dns.server import DnsServer
from pystack.runtime.host import Host
from pystack.runtime.names.dns_service import (
    IDLE_S,
    MAX_CONNECTIONS,
    MAX_LATE,
    Guests,
    converse,
    names_of,
    serve_dns,
)
from pystack.runtime.names.name_servers import make_answers
from pystack.wire.dns import Framer, frame

RECORDS = [
    "www.example.test 60 A 10.77.0.5",
    "slow.example.test 60 A 10.77.0.6",
    *(f"many.example.test 60 A 10.78.{n // 256}.{n % 256}" for n in range(300)),
]
Program = Callable[[Host, Host, DnsServer], Awaitable[None]]


def on_a_server(program: Program, *faults: str, delay: str = "10ms") -> None:
    """Run a program beside a server with records, and the names of its network."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, host = net.host("client"), net.host("server")
            net.link(client, host, delay=delay)
            server = make_answers(net, "server", records=RECORDS, faults=faults)
            await host.start(serve_dns, host, server)
            await program(client, host, server)

    pystack.run(main)


def query(name: str, kind: str = "A", ident: int = 7) -> bytes:
    return dns.message.make_query(name, kind, id=ident).to_wire()


async def messages(stream: trio.abc.ReceiveStream, count: int) -> list[dns.message.Message]:
    """Return so many messages of a TCP connection, in the order of their coming."""
    framer, found = Framer(), []
    while len(found) < count:
        data = await stream.receive_some()
        assert data
        framer.feed(data)
        while (message := framer.next()) is not None:
            found.append(dns.message.from_wire(message))
    return found


def test_the_names_are_those_of_the_nodes_and_their_interfaces() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, router, server = net.host("Client"), net.router("r1"), net.host("größe")
            net.host("x" * 64)  # there are names that DNS cannot say
            net.link(client, router)
            net.link(router, server)
            names = names_of(net.topology)
            assert names.addresses_of("client") == ("10.0.0.1", "fd00::1")
            assert names.addresses_of("r1") == (
                "10.0.0.2",
                "fd00::2",
                "10.0.1.1",
                "fd00:0:0:1::1",
            )
            assert names.addresses_of("r1.eth1") == ("10.0.1.1", "fd00:0:0:1::1")
            assert names.addresses_of("xn--gre-6ka8i") == ("10.0.1.2", "fd00:0:0:1::2")
            assert names.addresses_of("r1.eth2") is None
            assert names.addresses_of("eth1") is None
            assert names.name_of("10.0.0.1") == "Client"
            assert names.name_of("10.0.1.1") == "r1"
            assert names.name_of("fd00:0:0:1::1") == "r1"
            assert names.name_of("10.0.9.9") is None
            assert set(names.all_names()) == {"client", "r1", "xn--gre-6ka8i"}
            net.link(server, net.host("late"))
            assert names.addresses_of("late") is not None

    pystack.run(main)


def test_it_answers_each_client_and_counts_what_is_no_query() -> None:
    async def program(client: Host, host: Host, _server: DnsServer) -> None:
        async with await client.open_udp_socket() as socket:
            for _ in range(2):
                await socket.send_to(b"\0\1\x80" + bytes(9), ("server", 53))
                await socket.send_to(query("server"), ("server", 53))
                data, sender = await socket.receive_from()
                assert sender == (host.address, 53)
                assert dns.message.from_wire(data).answer[0][0].to_text() == host.address
        assert host.counters["dns_not_a_query"] == 2

    on_a_server(program)


def test_a_client_that_has_gone_does_not_end_it() -> None:
    async def program(client: Host, host: Host, _server: DnsServer) -> None:
        gone = await client.open_udp_socket()
        await gone.send_to(query("server"), ("server", 53))
        gone.close()
        cut = await client.open_tcp_stream("server", 53)
        await cut.send_all(frame(query("server")) * 50)
        cut.abort()
        async with await client.open_udp_socket() as socket:
            await socket.send_to(query("server", ident=9), ("server", 53))
            assert (await socket.receive_from())[0][:2] == b"\0\t"
        await trio.sleep(1)
        assert host.connections() == []

    on_a_server(program)


def test_a_long_answer_is_cut_by_udp_and_whole_by_tcp() -> None:
    async def program(client: Host, _host: Host, _server: DnsServer) -> None:
        async with await client.open_udp_socket() as socket:
            await socket.send_to(query("many.example.test"), ("server", 53))
            short = dns.message.from_wire((await socket.receive_from())[0])
        assert short.flags & dns.flags.TC
        assert short.answer == []
        async with await client.open_tcp_stream("server", 53) as stream:
            await stream.send_all(frame(query("many.example.test")))
            [whole] = await messages(stream, 1)
        assert len(whole.answer[0]) == 300

    on_a_server(program)


def test_queries_of_one_connection_are_answered_as_they_come() -> None:
    async def program(client: Host, _host: Host, _server: DnsServer) -> None:
        async with await client.open_tcp_stream("server", 53) as stream:
            stream_of_queries = b"".join(
                frame(query("www.example.test", ident=number)) for number in range(100)
            )
            for at in range(0, len(stream_of_queries), 7):
                await stream.send_all(stream_of_queries[at : at + 7])
            await stream.send_eof()
            answers = await messages(stream, 100)
            assert [each.id for each in answers] == list(range(100))
            assert await stream.receive_some() == b""

    on_a_server(program)


@pytest.mark.parametrize("said", [b"", b"\0", frame(query("www.example.test"))[:-1]])
def test_a_connection_on_which_no_query_comes_is_ended(said: bytes) -> None:
    async def program(client: Host, host: Host, _server: DnsServer) -> None:
        async with await client.open_tcp_stream("server", 53) as stream:
            await stream.send_all(said)
            began = trio.current_time()
            assert await stream.receive_some() == b""
            assert IDLE_S <= trio.current_time() - began < IDLE_S + 0.1
        assert host.counters["dns_truncated"] == bool(said)

    on_a_server(program)


def test_a_query_byte_by_byte_has_as_long_as_one_in_one_piece() -> None:
    async def program(client: Host, _host: Host, _server: DnsServer) -> None:
        async with await client.open_tcp_stream("server", 53) as stream:
            began = trio.current_time()
            async with trio.open_nursery() as nursery:

                async def trickle() -> None:
                    for byte in frame(query("www.example.test")):
                        await stream.send_all(bytes((byte,)))
                        await trio.sleep(1.3)

                nursery.start_soon(trickle)
                assert await stream.receive_some() == b""
                assert trio.current_time() - began < IDLE_S + 0.1
                nursery.cancel_scope.cancel()

    on_a_server(program)


def test_a_query_that_is_too_long_ends_its_connection() -> None:
    async def program(client: Host, host: Host, _server: DnsServer) -> None:
        async with await client.open_tcp_stream("server", 53) as stream:
            await stream.send_all(frame(query("www.example.test")) + frame(bytes(5000))[:10])
            [answer] = await messages(stream, 1)
            assert answer.rcode() == dns.rcode.NOERROR
            assert await stream.receive_some() == b""
        assert host.counters["dns_long_query"] == 1

    on_a_server(program)


def test_who_reads_nothing_is_given_up() -> None:
    async def program(client: Host, host: Host, _server: DnsServer) -> None:
        stream = await client.open_tcp_stream("server", 53)
        with trio.move_on_after(60), suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(frame(query("many.example.test")) * 100)
        assert host.counters["dns_deaf_client"] == 1
        assert host.connections() == []

    on_a_server(program)


def test_what_is_late_holds_up_no_other() -> None:
    async def program(client: Host, _host: Host, _server: DnsServer) -> None:
        names = ["slow.example.test", "www.example.test"]
        came: list[tuple[int, float]] = []
        async with await client.open_udp_socket() as socket:
            for ident, name in enumerate(names):
                await socket.send_to(query(name, ident=ident), ("server", 53))
            for _ in names:
                data, _sender = await socket.receive_from()
                came.append((dns.message.from_wire(data).id, round(trio.current_time(), 2)))
        async with await client.open_tcp_stream("server", 53) as stream:
            began = trio.current_time()
            for ident, name in enumerate(names):
                await stream.send_all(frame(query(name, ident=ident)))
            await stream.send_eof()
            for _ in names:
                [answer] = await messages(stream, 1)
                came.append((answer.id, round(trio.current_time() - began, 2)))
            assert await stream.receive_some() == b""
        # 10 ms there and back, with ARP before; the handshake of TCP is over when its clock begins.
        assert came == [(1, 0.04), (0, 2.04), (1, 0.02), (0, 2.02)]

    on_a_server(program, "slow.example.test late 2s")


def test_no_more_than_so_many_answers_are_late() -> None:
    async def program(client: Host, host: Host, _server: DnsServer) -> None:
        async with await client.open_udp_socket() as socket:
            for number in range(MAX_LATE + 50):
                await socket.send_to(query("www.example.test", ident=number), ("server", 53))
                await trio.sleep(0.001)
            await trio.sleep(20)
            assert host.counters["dns_late_dropped"] == 50
        async with await client.open_tcp_stream("server", 53) as stream:
            await stream.send_all(frame(query("www.example.test")) * 100)
            answers = await messages(stream, 100)  # the others wait until there is room again
            assert len(answers) == 100

    on_a_server(program, "www.example.test late 10s")


def test_faults_and_records_change_while_it_runs() -> None:
    async def program(client: Host, _host: Host, server: DnsServer) -> None:
        async with await client.open_udp_socket() as socket:

            async def addresses() -> list[str] | None:
                await socket.send_to(query("www.example.test"), ("server", 53))
                with trio.move_on_after(5):
                    data, _sender = await socket.receive_from()
                    answer = dns.message.from_wire(data).answer
                    return [record.to_text() for item in answer for record in item]
                return None

            server.fault("www.example.test", lost=True)
            assert await addresses() is None
            server.fault("www.example.test", wrong="10.0.0.99")
            assert await addresses() == ["10.0.0.99"]
            server.set("www.example.test 60 A 10.77.0.50")
            server.fault("www.example.test", stale=True)
            assert await addresses() == ["10.77.0.5"]
            server.fault("www.example.test")
            assert await addresses() == ["10.77.0.50"]

    on_a_server(program)


def test_it_ends_with_the_power_and_its_connections_too() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host, client = net.host("server"), net.host("client")
            net.link(host, client)
            server = DnsServer(records=RECORDS, rng=Random(1))
            async with trio.open_nursery() as nursery:

                async def service(*, task_status: trio.TaskStatus[None]) -> None:
                    with pytest.raises(trio.BrokenResourceError):
                        await serve_dns(host, server, task_status=task_status)

                await nursery.start(service)
                stream = await client.open_tcp_stream("server", 53)
                await stream.send_all(frame(query("www.example.test")))
                assert len(await messages(stream, 1)) == 1
                host.power_off()

    pystack.run(main)


def test_a_port_that_is_taken_is_told() -> None:
    async def program(client: Host, host: Host, server: DnsServer) -> None:
        with pytest.raises(OSError, match="taken"):
            await host.start(serve_dns, host, server)
        await host.start(serve_dns, host, server, 5353)
        said = await client.dig("www.example.test", server="server:5353")
        assert [each.text for each in said.answer] == ["10.77.0.5"]

    on_a_server(program)


@given(st.data())
def test_hostile_bytes_on_a_connection_end_it_at_most(draw: st.DataObject) -> None:
    pieces = draw.draw(
        st.lists(
            st.one_of(
                st.binary(max_size=40),
                st.binary(max_size=40).map(frame),
                st.sampled_from([frame(query(name)) for name in ("www.example.test", "nothing")]),
                st.just(b"\xff\xff"),
            ),
            max_size=8,
        )
    )
    text = b"".join(pieces)
    size = draw.draw(st.integers(1, 50))
    got = bytearray()

    async def main() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        server = DnsServer(records=RECORDS, faults=["nothing late 1s"], rng=Random(1))

        async def serve() -> None:
            await converse(theirs, server)
            await theirs.aclose()

        async def send() -> None:
            with suppress(trio.BrokenResourceError):
                for at in range(0, len(text), size):
                    await ours.send_all(text[at : at + size])
                await ours.send_eof()

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                nursery.start_soon(send)
                async for data in ours:
                    got.extend(data)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    framer = Framer()
    framer.feed(got)
    while (message := framer.next()) is not None:
        assert dns.message.from_wire(message).flags & dns.flags.QR
    assert framer.held_bytes == 0


def test_whoever_holds_all_connections_loses_the_oldest_to_who_comes() -> None:
    """Else one host in a laboratory keeps the long answers, which come by TCP, from all others."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            server, switch = net.host("server"), net.switch("switch")
            client, greedy = net.host("client"), net.host("greedy")
            for host in (server, client, greedy):
                net.link(host, switch)
            answers = make_answers(net, "server", records=RECORDS)
            await server.start(serve_dns, server, answers)
            held = [
                await greedy.open_tcp_stream(server.address, 53) for _ in range(MAX_CONNECTIONS)
            ]
            client.dns = server.address
            assert len(await client.look_up_all("many.example.test")) == 300
            assert server.counters["dns_connections_shed"] == 1
            await held[-1].send_all(frame(query("www.example.test")))
            assert (await messages(held[-1], 1))[0].answer
            assert await held[0].receive_some() == b""
            await trio.sleep(IDLE_S + 1)
            more = [
                await greedy.open_tcp_stream(server.address, 53) for _ in range(MAX_CONNECTIONS)
            ]
            assert len(more) == MAX_CONNECTIONS
            assert server.counters["dns_connections_shed"] == 1  # those that went left their places

    pystack.run(main)


class AnsweredARound(trio.abc.Instrument):
    """How many queries were answered in one round of Trio's loop, at most."""

    def __init__(self, server: DnsServer) -> None:
        self.most = 0
        self._server = server
        self._before = 0

    def before_io_wait(self, timeout: float) -> None:
        count = self._server.counters["dns_answered"]
        self.most = max(self.most, count - self._before)
        self._before = count


def test_many_connections_full_of_queries_hold_up_nobody_longer_than_one() -> None:
    """In virtual time they go on one by one anyhow; so this is without a network."""

    async def main() -> None:
        server = DnsServer(records=RECORDS, rng=Random(1))
        guests, rounds = Guests(server), AnsweredARound(server)
        trio.lowlevel.add_instrument(rounds)
        async with trio.open_nursery() as nursery:
            clients = []
            for _ in range(20):
                client, stream = trio.testing.memory_stream_pair()
                await client.send_all(frame(query("www.example.test")) * 10)
                clients.append(client)
                nursery.start_soon(converse, stream, server, guests.take_turn)
            for client in clients:
                assert len(await messages(client, 10)) == 10
            nursery.cancel_scope.cancel()
        assert rounds.most == 1

    trio.run(main)
