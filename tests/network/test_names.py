"""Names looked up over the network: what it takes, what is kept, and what goes wrong how."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
from name_server import Zone, response, world

import pystack
from pystack.core.addresses import parse_ip4
from pystack.wire import dns

WWW = "www.example.test"
ZONE = (
    f"{WWW} 60 A 10.0.0.80",
    "six.example.test 60 AAAA 2001:db8::80",
    "both.example.test 60 A 10.0.0.80",
    "both.example.test 60 AAAA 2001:db8::80",
    "alias.example.test 60 CNAME www.example.test",
    "away.example.test 60 CNAME www.elsewhere.test",
    "text.example.test 60 TXT hello",
    "80.0.0.10.in-addr.arpa 60 PTR www.example.test",
)


def run(program: Callable[[], Awaitable[None]], seed: int = 7) -> None:
    """Run it in virtual time."""
    pystack.run(program, seed=seed)


async def took(call: Awaitable[object]) -> tuple[object, float]:
    """Return what a call gives (or its error) and how long it took."""
    began_at = trio.current_time()
    try:
        result = await call
    except OSError as error:
        result = error
    return result, round(trio.current_time() - began_at, 9)


def asked(zone: Zone) -> list[tuple[str, str]]:
    """Return names and kinds that a server was asked for."""
    return [(name, kind) for _, name, kind in zone.asked]


def test_a_look_up_takes_the_way_there_and_back() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            assert await took(w.client.look_up(WWW)) == (parse_ip4("10.0.0.80"), 0.08)
            assert asked(zone) == [(WWW, "A")]
            found = await took(w.client.run(trio.socket.getaddrinfo, "both.example.test", 80))
            assert found == (
                [
                    # The host has no address of IPv6, so that comes last (RFC 6724, rule 1).
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.80", 80)),
                    (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("10.0.0.80", 80)),
                    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::80", 80, 0, 0)),
                    (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("2001:db8::80", 80, 0, 0)),
                ],
                0.08,
            )
            assert w.client.counters["dns_queries"] == 3

    run(main)


def test_with_no_server_said_names_take_no_time_and_no_packet() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="40ms")
            assert await took(client.look_up("server")) == (parse_ip4("10.0.0.2"), 0.0)
            assert client.dns is None
            assert client.counters["udp_datagrams_out"] == 0

    run(main)


def test_an_answer_is_kept_for_its_time_to_live() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            await w.client.look_up(WWW)
            heard_at = trio.current_time()
            await trio.sleep_until(heard_at + 59.9)
            assert await took(w.client.look_up(WWW)) == (parse_ip4("10.0.0.80"), 0.0)
            assert w.client.counters["dns_cache_hits"] == 1
            await trio.sleep_until(heard_at + 60)
            assert (await took(w.client.look_up(WWW)))[1] == 0.08
            assert len(zone.asked) == 2

    run(main)


def test_that_there_is_no_such_name_is_kept_as_well() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE, minimum_s=20)
            await w.serve(zone.reply)
            for after_s, takes_s in ((0.0, 0.08), (19.9, 0.0), (0.1, 0.08)):
                await trio.sleep(after_s)
                error, took_s = await took(w.client.look_up("nobody.example.test"))
                assert isinstance(error, socket.gaierror)
                assert error.errno == socket.EAI_NONAME
                assert "no such name as 'nobody.example.test', says 10.0.0.53" in str(error)
                assert took_s == takes_s

    run(main)


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


def test_ports_and_idents_are_the_seeds_and_nobody_elses() -> None:
    def queries(seed: int) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []

        async def main() -> None:
            async with world(seed=seed, cache=0) as w:
                zone = Zone.of(*ZONE)

                def reply(query: dns.Message) -> dns.Message:
                    seen.append((query.ident, next(iter(w.client.stack.udp.sockets))))
                    return zone.reply(query)

                await w.serve(reply)
                for _ in range(5):
                    await w.client.look_up(WWW)

        run(main, seed)
        return seen

    assert queries(1) == queries(1)
    assert len({*queries(1), *queries(2)}) == 10


def test_two_who_want_the_same_share_a_query_and_one_may_go() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            results: list[object] = []

            async def ask() -> None:
                results.append(await took(w.client.look_up(WWW)))

            async with trio.open_nursery() as nursery:
                with trio.move_on_after(0.01) as first:
                    nursery.start_soon(ask)
                    await w.client.look_up(WWW)
            assert first.cancelled_caught
            assert results == [(parse_ip4("10.0.0.80"), 0.08)]
            assert len(zone.asked) == 1
            assert w.client.counters["dns_shared"] == 1

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


def test_search_list_and_ndots() -> None:
    async def main() -> None:
        async with world(search=["nowhere.test", "example.test"]) as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            assert await took(w.client.look_up("www")) == (parse_ip4("10.0.0.80"), 0.16)
            assert asked(zone) == [("www.nowhere.test", "A"), (WWW, "A")]
            await w.client.look_up(WWW)  # has dots enough
            assert len(zone.asked) == 2
            with pytest.raises(socket.gaierror):
                await w.client.look_up("www.")  # the whole name
            assert asked(zone)[2:] == [("www", "A")]

    run(main)


def test_no_address_is_told_from_no_name() -> None:
    async def main() -> None:
        async with world() as w:
            await w.serve(Zone.of(*ZONE).reply)
            for name, family, number in (
                ("text.example.test", 0, socket.EAI_NODATA),
                (WWW, socket.AF_INET6, socket.EAI_NODATA),
                ("none.example.test", 0, socket.EAI_NONAME),
                ("a b", 0, socket.EAI_NONAME),
                ("client", socket.AF_INET6, socket.EAI_ADDRFAMILY),
            ):
                with pytest.raises(socket.gaierror) as caught:
                    await w.client.run(trio.socket.getaddrinfo, name, 80, family)
                assert caught.value.errno == number, name

    run(main)


def test_aliases_are_followed_also_where_the_server_does_not() -> None:
    async def main() -> None:
        async with world(servers=1) as w:
            zone = Zone.of(*ZONE)
            elsewhere = Zone.of("www.elsewhere.test 60 A 10.0.0.80")

            def reply(query: dns.Message) -> dns.Message:
                if query.questions[0].name.endswith("elsewhere.test"):
                    return elsewhere.reply(query)
                said = zone.reply(query)
                if said.answers and said.answers[-1].kind == dns.CNAME:
                    said.rcode, said.authority = dns.NO_ERROR, ()
                return said

            await w.serve(reply)
            assert await took(w.client.look_up("alias.example.test")) == (
                parse_ip4("10.0.0.80"),
                0.08,
            )
            assert await took(w.client.look_up("away.example.test")) == (
                parse_ip4("10.0.0.80"),
                0.16,
            )
            found = await w.client.run(
                trio.socket.getaddrinfo, "away.example.test", 80, 0, 1, 0, socket.AI_CANONNAME
            )
            assert found[0][3] == "www.elsewhere.test"

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


def test_what_a_host_knows_of_itself_is_not_asked() -> None:
    async def main() -> None:
        async with world() as w:
            for name, address in (
                ("client", w.client.address),
                ("CLIENT.", w.client.address),
                ("localhost", "127.0.0.1"),
                ("api.localhost", "127.0.0.1"),
                ("10.9.8.7", "10.9.8.7"),
            ):
                assert await took(w.client.look_up(name)) == (parse_ip4(address), 0.0)
                found = await w.client.run(trio.socket.getaddrinfo, name, 80)
                assert found[0][4] == (address, 80)
            assert w.client.counters["dns_queries"] == 0
            # other hosts' names are for the servers to know
            with pytest.raises(socket.gaierror):
                await w.client.look_up("web")

    run(main)


def test_getnameinfo_asks_for_the_name_of_an_address() -> None:
    async def main() -> None:
        async with world() as w:
            await w.serve(Zone.of(*ZONE).reply)

            async def name_of(address: str, flags: int = 0) -> str:
                flags |= socket.NI_NUMERICSERV
                return (await w.client.run(trio.socket.getnameinfo, (address, 80), flags))[0]

            assert await took(name_of("10.0.0.80")) == (WWW, 0.08)
            assert await name_of("10.0.0.99") == "10.0.0.99"
            assert await name_of("127.0.0.1") == "localhost"
            assert await name_of(w.client.address) == "client"
            assert await name_of("10.0.0.80", socket.NI_NUMERICHOST) == "10.0.0.80"
            with pytest.raises(socket.gaierror, match="no name"):
                await name_of("10.0.0.99", socket.NI_NAMEREQD)

    run(main)


def test_all_that_takes_a_name_asks_for_it() -> None:
    async def main() -> None:
        async with world(cache=0) as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            web = w.net.hosts["web"]
            listener = (await web.open_tcp_listeners(80))[0]
            async with await w.client.open_tcp_stream(WWW, 80) as stream, await listener.accept():
                assert stream.remote_address == ("10.0.0.80", 80)
            assert await w.client.ping(WWW) == pytest.approx(0.08)
            assert (await w.client.traceroute(WWW))[0].address == "10.0.0.80"
            there, here = await web.open_udp_socket(9), await w.client.open_udp_socket()
            async with there, here:
                await here.send_to(b"x", (WWW, 9))
                await there.receive_from()
                with pytest.raises(OSError, match="look_up"):
                    here.connect((WWW, 9))
                here.connect(("10.0.0.80", 9))

            async def program() -> None:
                async with await trio.open_tcp_stream(WWW, 80), await listener.accept():
                    pass
                with trio.socket.socket(type=socket.SOCK_DGRAM) as datagrams:
                    await datagrams.sendto(b"x", (WWW, 9))

            await w.client.run(program)
            assert asked(zone) == [(WWW, "A")] * 5 + [(WWW, "AAAA")] + [(WWW, "A")]

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
            with pytest.raises(OSError, match="Network is down"):
                await w.client.look_up("six.example.test")
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


def test_a_host_may_change_whom_it_asks() -> None:
    async def main() -> None:
        async with world(servers=2) as w:
            zones = [Zone.of(f"{WWW} 60 A 10.0.0.{last}") for last in (1, 2)]
            for number, zone in enumerate(zones):
                await w.serve(zone.reply, number)
            assert await w.client.look_up(WWW) == parse_ip4("10.0.0.1")
            w.client.dns = "ns2"
            assert await w.client.look_up(WWW) == parse_ip4("10.0.0.2")
            w.client.dns = None
            assert await took(w.client.look_up("web")) == (parse_ip4("10.0.0.80"), 0.0)

    run(main)


def test_dig_says_all_that_there_is_and_keeps_nothing() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply, by_tcp=zone.reply)
            said, took_s = await took(w.client.dig("alias.example.test", server="ns1"))
            assert isinstance(said, pystack.runtime.dig.DigAnswer)  # type: ignore[attr-defined]
            assert (said.status, said.flags, said.over) == ("NOERROR", ("qr", "aa", "rd"), "udp")
            assert [str(record) for record in said.answer] == [
                "alias.example.test.\t60\tIN\tCNAME\twww.example.test.",
                "www.example.test.\t60\tIN\tA\t10.0.0.80",
            ]
            assert said.took_s == pytest.approx(took_s) == pytest.approx(0.08)
            assert ";; SERVER: 10.0.0.53#53 (UDP)" in said.to_text()
            assert (await w.client.dig("nobody.test")).status == "NXDOMAIN"
            assert (await w.client.dig("10.0.0.80", "PTR")).answer[0].text == "www.example.test."
            assert (await w.client.dig(WWW, tcp=True)).over == "tcp"
            assert len(await took(w.client.look_up(WWW))) == 2
            assert w.client.counters["dns_cache_hits"] == 0
            with pytest.raises(pystack.ConfigError, match="no type"):
                await w.client.dig(WWW, "B")
            with pytest.raises(pystack.ConfigError, match="say which to ask"):
                await w.net.hosts["web"].dig(WWW)
            with pytest.raises(TimeoutError, match=r"no answer from .*:54 to 2 queries"):
                await w.client.dig(WWW, server="10.0.0.80:54", attempts=2)

    run(main)
