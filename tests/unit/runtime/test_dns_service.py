"""The lab's DNS: what is answered, and that it answers on a host in virtual time."""

import dpkt
import pytest

import pystack
from pystack.core.addresses import Ip4, parse_ip4
from pystack.runtime.dns_service import Names, answer, names_of, serve_dns
from pystack.wire import dns

SERVER = parse_ip4("10.0.0.9")


def address_of(name: str) -> Ip4 | None:
    return SERVER if name == "server" else None


def name_of(address: Ip4) -> str | None:
    return {SERVER: "server", SERVER + 1: "x" * 64}.get(address)


def ask(name: str, kind: int, **fields: int) -> dpkt.dns.DNS:
    """Return the answer to one question."""
    klass = fields.pop("klass", dns.IN)
    question = dpkt.dns.DNS.Q(name=name, type=kind, cls=klass)
    query = bytes(dpkt.dns.DNS(id=7, qd=[question], **fields))
    return dpkt.dns.DNS(answer(query, Names(address_of, name_of)))


@pytest.mark.parametrize("kind", [dns.A, dns.ANY])
@pytest.mark.parametrize("name", ["server", "SERVER"])
def test_a_name_of_the_lab_has_its_address(name: str, kind: int) -> None:
    reply = ask(name, kind)
    assert (reply.rcode, [record.ip for record in reply.an]) == (0, [bytes((10, 0, 0, 9))])


@pytest.mark.parametrize("kind", [dns.AAAA, 15])
def test_of_other_kinds_a_name_of_the_lab_has_nothing(kind: int) -> None:
    reply = ask("server", kind)
    assert (reply.rcode, reply.an) == (dns.NO_ERROR, [])


@pytest.mark.parametrize("kind", [dns.A, dns.AAAA, dns.PTR])
def test_any_other_name_does_not_exist(kind: int) -> None:
    reply = ask("example.org", kind)
    assert (reply.rcode, reply.an) == (dns.NAME_ERROR, [])


@pytest.mark.parametrize("kind", [dns.PTR, dns.ANY])
def test_an_address_of_the_lab_has_its_name(kind: int) -> None:
    reply = ask("9.0.0.10.in-addr.arpa", kind)
    assert [(record.type, record.ptrname) for record in reply.an] == [(dns.PTR, "server")]


@pytest.mark.parametrize("address", ["8.0.0.10", "10.0.0.10"])
def test_an_address_without_a_name_that_dns_can_say_does_not_exist(address: str) -> None:
    assert ask(f"{address}.in-addr.arpa", dns.PTR).rcode == dns.NAME_ERROR


def test_of_an_address_only_the_name_is_known() -> None:
    reply = ask("9.0.0.10.in-addr.arpa", dns.A)
    assert (reply.rcode, reply.an) == (dns.NO_ERROR, [])


def test_what_is_no_question_for_this_internet_is_refused() -> None:
    assert ask("server", dns.A, opcode=2).rcode == dns.NOT_IMPLEMENTED
    assert ask("server", dns.A, klass=3).rcode == dns.REFUSED


def test_the_names_are_those_of_the_nodes_and_their_interfaces() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, router, server = net.host("Client"), net.router("r1"), net.host("server")
            net.link(client, router)
            net.link(router, server)
            names = names_of(net.topology)
            assert names.address_of("client") == parse_ip4("10.0.0.1")
            assert names.address_of("r1") == parse_ip4("10.0.0.2")
            assert names.address_of("r1.eth1") == parse_ip4("10.0.1.1")
            assert names.address_of("r1.eth2") is None
            assert names.address_of("eth1") is None
            assert names.name_of(parse_ip4("10.0.0.1")) == "Client"
            assert names.name_of(parse_ip4("10.0.1.1")) == "r1"
            assert names.name_of(parse_ip4("10.0.9.9")) is None

    pystack.run(main)


def test_it_answers_each_client_and_counts_what_is_no_query() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="10ms")
            await server.start(serve_dns, server, Names(address_of, name_of))
            async with await client.open_udp_socket() as socket:
                for _ in range(2):
                    await socket.send_to(b"\0\1\x80" + bytes(9), ("server", 53))
                    query = dpkt.dns.DNS(id=9, qd=[dpkt.dns.DNS.Q(name="server")])
                    await socket.send_to(bytes(query), ("server", 53))
                    data, sender = await socket.receive_from()
                    assert sender == (server.address, 53)
                    assert dpkt.dns.DNS(data).an[0].ip == bytes((10, 0, 0, 9))
            assert server.counters["dns_not_a_query"] == 2

    pystack.run(main)


def test_a_client_that_has_gone_does_not_end_it() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="10ms")
            await server.start(serve_dns, server, Names(address_of, name_of))
            query = bytes(dpkt.dns.DNS(id=9, qd=[dpkt.dns.DNS.Q(name="server")]))
            gone = await client.open_udp_socket()
            await gone.send_to(query, ("server", 53))
            gone.close()
            async with await client.open_udp_socket() as socket:
                await socket.send_to(query, ("server", 53))
                assert (await socket.receive_from())[0][:2] == b"\0\t"

    pystack.run(main)


def test_names_that_come_later_are_known() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            first, second = net.host("First"), net.host("second")
            net.link(first, second)
            names = names_of(net.topology)
            assert names.address_of("first") == parse_ip4(first.address)
            assert names.address_of("third") is None
            third = net.host("Third")
            net.link(second, third)
            assert names.address_of("third") == parse_ip4(third.address)
            assert names.address_of("third.eth0") == parse_ip4(third.address)

    pystack.run(main)
