"""Look-ups over the network that go wrong: who is asked next, when, and how it ends."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from name_server import WWW, ZONE, Zone, asked, response, run, took, world

import pystack
from pystack.core.addresses import parse_ip4
from pystack.wire import dns


def test_a_lost_query_is_sent_again_after_the_time_out() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            link = w.net.link_between("client", "switch")
            link.down("a_to_b")
            w.net.at(w.net.now() + 1, link.up)
            assert await took(w.client.look_up(WWW)) == (parse_ip4("10.0.0.80"), 5.08)
            assert w.client.counters["dns_timeout"] == w.client.counters["dns_retry"] == 1

    run(main)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [({}, 10.0), ({"timeout": "300ms", "attempts": 3}, 0.9)],
)
def test_silence_is_try_again_after_all_attempts(words: dict[str, object], seconds: float) -> None:
    async def main() -> None:
        async with world(**words) as w:
            await w.serve(lambda _query: None)
            error, took_s = await took(w.client.look_up(WWW))
            assert isinstance(error, socket.gaierror)
            assert error.errno == socket.EAI_AGAIN
            assert str(error).endswith(f"'{WWW}': no answer from ns1")
            assert took_s == seconds
            assert not w.client.stack.udp.sockets

    run(main)


def test_where_nobody_serves_it_is_over_at_once() -> None:
    async def main() -> None:
        async with world() as w:
            error, took_s = await took(w.client.look_up(WWW))
            assert isinstance(error, socket.gaierror)
            assert error.errno == socket.EAI_AGAIN
            assert took_s == 0.16  # port unreachable, twice
            assert w.client.counters["dns_server_unreachable"] == 2

    run(main)


@pytest.mark.parametrize(
    ("rcode", "seconds"), [(dns.SERVER_FAILURE, 0.16), (dns.REFUSED, 0.16), (None, 5.08)]
)
def test_the_next_server_is_asked_where_one_fails(rcode: int | None, seconds: float) -> None:
    async def main() -> None:
        async with world(servers=2) as w:
            zone = Zone.of(*ZONE)
            await w.serve(lambda query: None if rcode is None else response(query, rcode=rcode))
            await w.serve(zone.reply, 1)
            assert await took(w.client.look_up(WWW)) == (parse_ip4("10.0.0.80"), seconds)
            assert len(zone.asked) == 1

    run(main)


def test_all_servers_failing_is_try_again_and_says_who_said_what() -> None:
    async def main() -> None:
        async with world(servers=2, attempts=1) as w:
            for number in (0, 1):
                await w.serve(lambda query: response(query, rcode=dns.SERVER_FAILURE), number)
            with pytest.raises(socket.gaierror, match=r"SERVFAIL, says 10\.0\.0\.54") as caught:
                await w.client.look_up(WWW)
            assert caught.value.errno == socket.EAI_AGAIN

    run(main)


def test_rotation_begins_with_another_server_each_time() -> None:
    async def main() -> None:
        async with world(servers=2, rotate=True, cache=0) as w:
            zones = [Zone.of(*ZONE), Zone.of(*ZONE)]
            for number, zone in enumerate(zones):
                await w.serve(zone.reply, number)
            for _ in range(4):
                await w.client.look_up(WWW)
            assert [len(zone.asked) for zone in zones] == [2, 2]

    run(main)


def test_a_truncated_answer_is_fetched_by_tcp() -> None:
    async def main() -> None:
        async with world() as w:
            many = Zone.of(*(f"{WWW} 60 A 10.0.1.{last}" for last in range(1, 201)))
            await w.serve(many.reply, by_tcp=many.reply)
            found, took_s = await took(w.client.look_up_all(WWW))
            assert isinstance(found, tuple)
            assert len(found) == 200
            # there and back by UDP, the handshake, and there and back again
            assert took_s == 0.24
            assert w.client.counters["dns_truncated"] == 1
            await trio.sleep(1)
            assert w.client.connections() == []

    run(main)


def test_without_tcp_a_truncated_answer_is_none() -> None:
    async def main() -> None:
        async with world(attempts=1) as w:
            many = Zone.of(*(f"{WWW} 60 A 10.0.1.{last}" for last in range(1, 201)))
            await w.serve(many.reply)
            error, took_s = await took(w.client.look_up(WWW))
            assert isinstance(error, socket.gaierror)
            assert error.errno == socket.EAI_AGAIN
            assert took_s == 0.16  # refused
            assert w.client.counters["dns_stream_failed"] == 1

    run(main)


def test_a_server_that_says_nothing_by_tcp_costs_one_time_out() -> None:
    async def main() -> None:
        async with world(attempts=1, use_tcp=True, timeout="2s") as w:
            await w.serve(lambda _query: None, by_tcp=lambda _query: None)
            error, took_s = await took(w.client.look_up(WWW))
            assert isinstance(error, socket.gaierror)
            assert took_s == 2.0
            assert w.client.connections() == []

    run(main)


def test_forged_answers_are_dropped_by_name_and_the_right_one_counts() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE)
            stranger = w.net.hosts["web"]
            client = w.client.address

            def reply(query: dns.Message) -> dns.Message:
                # a stranger is faster, and even knows port and ident
                port = next(iter(w.client.stack.udp.sockets))
                forged = response(query, [dns.record(WWW, "A", 60, "6.6.6.6")])
                data = dns.pack_message(forged)
                socket_ = stranger.stack.udp.bind(0, 53)
                socket_.send_to(data, parse_ip4(client), port, w.net.driver.now())
                socket_.close()
                server = w.servers[0].stack.udp.sockets[53][0]
                for ident in (query.ident ^ 1, query.ident ^ 2):
                    forged.ident = ident
                    data = dns.pack_message(forged)
                    server.send_to(data, parse_ip4(client), port, w.net.driver.now())
                return zone.reply(query)

            await w.serve(reply)
            assert await took(w.client.look_up(WWW)) == (parse_ip4("10.0.0.80"), 0.08)
            assert w.client.counters["dns_answer_from_stranger"] == 1
            assert w.client.counters["dns_answer_wrong_ident"] == 2

    run(main)


def test_a_cancelled_look_up_leaves_nothing() -> None:
    async def main() -> None:
        async with world() as w:
            many = Zone.of(*(f"{WWW} 60 A 10.0.1.{last}" for last in range(1, 201)))
            await w.serve(many.reply, by_tcp=many.reply)
            for after_s in (0.01, 0.1, 0.2):  # in UDP, in the handshake, before the answer by TCP
                with trio.move_on_after(after_s) as scope:
                    await w.client.look_up(WWW)
                assert scope.cancelled_caught
                assert not w.client.stack.udp.sockets
                assert w.client.connections() == []
                await trio.sleep(1)
            # nothing was kept of it, and it works afterwards
            assert len(await w.client.look_up_all(WWW)) == 200

    run(main)


def test_aliases_in_a_circle_between_answers_are_a_clean_failure() -> None:
    async def main() -> None:
        async with world() as w:

            def reply(query: dns.Message) -> dns.Message:
                name = query.questions[0].name
                other = "b.test" if name == "a.test" else "a.test"
                return response(query, [dns.record(name, "CNAME", 60, other)])

            await w.serve(reply)
            with pytest.raises(socket.gaierror, match="circle") as caught:
                await w.client.look_up("a.test")
            assert caught.value.errno == socket.EAI_FAIL
            assert w.client.counters["dns_alias_loop"] == 1

    run(main)


def test_one_dead_address_of_several_costs_a_quarter_of_a_second() -> None:
    async def main() -> None:
        async with world() as w:
            await w.serve(Zone.of(f"{WWW} 60 A 10.0.0.99", f"{WWW} 60 A 10.0.0.80").reply)
            web = w.net.hosts["web"]
            listener = (await web.open_tcp_listeners(80))[0]
            await w.client.ping("10.0.0.80")
            direct, took_s = await took(w.client.open_tcp_stream(WWW, 80))
            assert isinstance(direct, pystack.TcpStream)
            assert direct.remote_address[0] == "10.0.0.80"
            assert took_s == 0.41  # the look-up, the wait, the handshake
            async with direct, await listener.accept():
                pass
            _, took_s = await took(w.client.run(trio.open_tcp_stream, WWW, 80))
            assert took_s == 0.41  # Trio has the same rule; AAAA was not asked for yet

    run(main)


def test_one_refusing_address_of_several_is_left_at_once_and_all_of_them_is_an_error() -> None:
    async def main() -> None:
        async with world() as w:
            await w.serve(Zone.of(f"{WWW} 60 A 10.0.0.53", f"{WWW} 60 A 10.0.0.80").reply)
            await w.client.ping("10.0.0.80")
            await w.client.look_up(WWW)
            error, took_s = await took(w.client.open_tcp_stream(WWW, 80))
            assert isinstance(error, ConnectionRefusedError)
            assert "10.0.0.53" in str(error)
            assert took_s == 0.16

    run(main)


def test_power_off_forgets_names_and_ends_look_ups() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            await w.client.look_up(WWW)
            w.net.at(w.net.now() + 0.01, w.client.power_off)
            error, took_s = await took(w.client.look_up("six.example.test"))
            assert isinstance(error, OSError)
            assert (error.errno, took_s) == (errno.ENETDOWN, 0.01)
            w.client.power_on()
            assert await took(w.client.look_up(WWW)) == (parse_ip4("10.0.0.80"), 0.16)  # ARP too
            assert asked(zone) == [(WWW, "A"), ("six.example.test", "A"), (WWW, "A")]

    run(main)


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client, other = net.host("client", dns="ns9"), net.host("other")
            net.link(client, other)
            with pytest.raises(pystack.ConfigError, match="client cannot ask 'ns9'"):
                await client.look_up("other")
            with pytest.raises(pystack.ConfigError, match="did you mean 'search'"):
                net.host("wrong", dns={"servers": "ns1", "serch": "x"})

    run(main)


@pytest.mark.parametrize("use_tcp", [False, True])
@pytest.mark.parametrize("run_it", [pystack.run, trio.run], ids=["virtual time", "real time"])
def test_a_look_up_ends_with_its_network(
    run_it: Callable[[Callable[[], Awaitable[None]]], None], *, use_tcp: bool
) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            errors: list[object] = []

            async def ask(host: pystack.Host) -> None:
                errors.append((await took(host.look_up(WWW)))[0])

            async with world(delay="1ms", use_tcp=use_tcp) as w:
                await w.serve(lambda _query: None, by_tcp=lambda _query: None)
                nursery.start_soon(ask, w.client)
                await trio.sleep(0.05)
                assert w.client.stack.udp.sockets
            assert w.client.stack.udp.sockets == {}
        assert [getattr(error, "errno", None) for error in errors] == [errno.ENETDOWN]

    with_a_bound = trio.fail_after  # real time only: what hangs would do so for ever

    async def bounded() -> None:
        with with_a_bound(30):
            await main()

    run_it(bounded)


def test_a_server_that_cannot_be_found_on_the_link_is_left_when_arp_gives_up() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            w.client.dns = ["10.0.0.99", "ns1"]
            assert await took(w.client.look_up(WWW)) == (parse_ip4("10.0.0.80"), 3.08)
            w.client.dns = ["192.0.2.1", "ns1"]  # no route there
            assert await took(w.client.look_up(WWW)) == (parse_ip4("10.0.0.80"), 0.08)
            assert w.client.counters["dns_server_unreachable"] == 2

    run(main)


def test_a_name_server_may_ask_itself() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            for words in ("ns1", "127.0.0.1"):
                w.servers[0].dns = words
                assert await took(w.servers[0].look_up(WWW)) == (parse_ip4("10.0.0.80"), 0.0)
            assert len(zone.asked) == 2

    run(main)


def test_by_tcp_too_a_wrong_message_is_dropped_and_the_right_one_behind_it_counts() -> None:
    async def main() -> None:
        async with world(use_tcp=True) as w:
            zone = Zone.of(*ZONE)

            async def converse(stream: trio.SocketStream) -> None:
                framer = dns.Framer()
                async for data in stream:
                    framer.feed(data)
                    query = dns.parse_message(framer.next() or b"")
                    right, wrong = zone.reply(query), zone.reply(query)
                    wrong.ident ^= 1
                    messages = (b"?", dns.pack_message(wrong), dns.pack_message(right))
                    await stream.send_all(b"".join(map(dns.frame, messages)))

            await w.servers[0].start(trio.serve_tcp, converse, 53)
            assert await took(w.client.look_up(WWW)) == (parse_ip4("10.0.0.80"), 0.16)
            assert w.client.counters["dns_answer_malformed"] == 1
            assert w.client.counters["dns_answer_wrong_ident"] == 1

    run(main)


@pytest.mark.parametrize("is_powered", [True, False])
def test_who_tries_again_and_again_lets_others_run_where_a_look_up_fails_at_once(
    is_powered: bool,
) -> None:
    """In virtual time nothing else would: a program that retries would hold up the world."""

    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client = net.host("client", address="10.0.0.1/24", dns="10.9.9.9")
            net.link(client, net.host("other"))
            if not is_powered:
                client.power_off()
            for call in (client.look_up, client.dig):
                with trio.testing.assert_checkpoints(), pytest.raises(OSError):  # noqa: PT011
                    await call(WWW)

    run(main)
