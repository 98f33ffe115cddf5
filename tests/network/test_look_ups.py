"""Names looked up over the network: what it takes, what is kept, and who all asks."""

from __future__ import annotations

import socket

import pytest
import trio
from name_server import WWW, ZONE, Zone, asked, run, took, world

import pystack
from pystack.core.addresses import parse_ip4
from pystack.wire import dns


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
            assert await name_of("fe80::1%eth0") == "fe80::1%eth0"
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
            assert isinstance(said, pystack.runtime.names.dig.DigAnswer)  # type: ignore[attr-defined]
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
            with pytest.raises(pystack.ConfigError, match="not a type"):
                await w.client.dig(WWW, "B")
            with pytest.raises(pystack.ConfigError, match="name one to ask"):
                await w.net.hosts["web"].dig(WWW)
            with pytest.raises(TimeoutError, match=r"no answer from .*:54 to 2 queries"):
                await w.client.dig(WWW, server="10.0.0.80:54", attempts=2)

    run(main)


def test_addresses_of_the_own_network_come_first_and_equals_as_the_server_has_them() -> None:
    async def main() -> None:
        async with world() as w:
            far, near = ("203.0.113.9", "198.51.100.9"), ("10.0.0.81", "10.0.0.80")
            lines = [f"{WWW} 60 A {address}" for address in (*far, *near)]
            await w.serve(Zone.of(f"{WWW} 60 AAAA 2001:db8::1", *lines).reply)
            w.client.route("default", via="10.0.0.80")
            found = await w.client.run(trio.socket.getaddrinfo, WWW, 80, 0, socket.SOCK_STREAM)
            assert [entry[4][0] for entry in found] == [*near, *far, "2001:db8::1"]

    run(main)


def test_iperf3_finds_its_server_by_packets() -> None:
    async def main() -> None:
        async with world(delay="1ms") as w:
            zone = Zone.of(*ZONE)
            await w.serve(zone.reply)
            await pystack.serve(w.net.hosts["web"], "iperf3")
            result = await w.client.iperf3(WWW, time_s=1, udp=True)
            assert result.received.total_bytes > 100_000
            assert asked(zone) == [(WWW, "A")]

    run(main)
