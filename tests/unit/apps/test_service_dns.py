"""The service `dns` on a host: names of its network, given records, and who asks too much."""

from collections.abc import Awaitable, Callable

import dns.flags
import dns.message
import dns.rcode
import pytest
import trio

import pystack
from pystack.apps.dns import DnsService
from pystack.apps.service import ServiceOptions, make_service
from pystack.core.errors import ConfigError
from pystack.wire.dns import Framer, frame

RECORDS = [
    "www.example.test 60 A 10.77.0.5",
    *(f"www.example.test 60 A 10.77.1.{n}" for n in range(20)),
]
Ask = Callable[[str], Awaitable[dns.message.Message]]


def serving(program: Callable[[pystack.Host, Ask], Awaitable[None]], *faults: str) -> None:
    """Run a program beside a host that serves records; `Ask` asks it by UDP."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, host = net.host("client"), net.host("server")
            net.link(client, host, delay="10ms")
            await pystack.serve(host, "dns", records=RECORDS, faults=faults)
            async with await client.open_udp_socket() as socket:

                async def ask(name: str) -> dns.message.Message:
                    query = dns.message.make_query(name, "A", use_edns=0)
                    await socket.send_to(query.to_wire(), (host.address, 53))
                    return dns.message.from_wire((await socket.receive_from())[0])

                await program(client, ask)

    pystack.run(main)


def test_it_knows_its_records_and_the_names_of_its_network() -> None:
    async def program(_client: pystack.Host, ask: Ask) -> None:
        assert len((await ask("www.example.test")).answer[0]) == 21
        assert (await ask("client")).answer[0][0].to_text() == "10.0.0.1"
        assert (await ask("example.org")).rcode() == dns.rcode.NXDOMAIN

    serving(program)


def test_who_asks_for_more_than_an_address_may_have_is_sent_to_tcp() -> None:
    async def program(client: pystack.Host, ask: Ask) -> None:
        answers = [await ask("www.example.test") for _ in range(100)]
        whole = [each for each in answers if each.answer]
        short = [each for each in answers if each.flags & dns.flags.TC]
        assert len(whole) + len(short) == 100
        # 336 bytes more than the question each: 16 KiB, and 4 KiB for each of two seconds
        assert len(whole) == 72
        async with await client.open_tcp_stream("server", 53) as stream:
            query = dns.message.make_query("www.example.test", "A").to_wire()
            await stream.send_all(frame(query) * 100)
            framer, count = Framer(), 0
            while count < 100:
                framer.feed(await stream.receive_some())
                while (message := framer.next()) is not None:
                    assert len(dns.message.from_wire(message).answer[0]) == 21
                    count += 1

    serving(program)


def test_what_is_late_is_bounded_as_well() -> None:
    async def program(client: pystack.Host, _ask: Ask) -> None:
        query = dns.message.make_query("www.example.test", "A", use_edns=0).to_wire()
        async with await client.open_udp_socket() as socket:
            for _ in range(100):
                await socket.send_to(query, ("10.0.0.2", 53))
            answers = [(await socket.receive_from())[0] for _ in range(100)]
        whole = sum(len(answer) > len(query) for answer in answers)
        assert whole == 48  # 16 KiB of them

    serving(program, "www.example.test late 2s")


def test_what_is_late_leaves_late_and_holds_up_nothing() -> None:
    async def program(_client: pystack.Host, ask: Ask) -> None:
        await ask("client")
        began = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def late() -> None:
                assert (await ask("www.example.test")).answer
                assert round(trio.current_time() - began, 3) == 2.02

            nursery.start_soon(late)
            await trio.sleep(2.5)
        assert trio.current_time() - began < 2.6

    serving(program, "www.example.test late 2s")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ServiceOptions(records=("www",)), "'www' is not a record"),
        (ServiceOptions(faults=("www slow",)), "there is no fault 'slow'"),
    ],
)
def test_bad_words_are_told_when_it_is_made(options: ServiceOptions, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_service("dns", options)


def test_chance_is_the_seeds() -> None:
    def answered(seed: int) -> list[bool]:
        got: list[bool] = []

        async def main() -> None:
            async with pystack.Network(seed=seed) as net:
                client, host = net.host("client"), net.host("server")
                net.link(client, host, delay="10ms")
                await pystack.serve(host, "dns", records=RECORDS, faults=["* lost 50%"])
                async with await client.open_udp_socket() as socket:
                    for _ in range(40):
                        query = dns.message.make_query("www.example.test", "A", id=7)
                        await socket.send_to(query.to_wire(), (host.address, 53))
                        with trio.move_on_after(1) as waiting:
                            await socket.receive_from()
                        got.append(not waiting.cancelled_caught)

        pystack.run(main)
        return got

    assert answered(1) == answered(1)
    assert answered(1) != answered(2)
    assert 10 < sum(answered(1)) < 30


def test_a_program_looks_into_it() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, host = net.host("client"), net.host("server")
            net.link(client, host)
            (service,) = await pystack.serve(host, "dns", records=RECORDS)
            assert isinstance(service, DnsService)
            service.server.set("www.example.test 60 A 10.77.0.99")
            found = await client.dig("www.example.test", server=host.address)
            assert [each.text for each in found.answer] == ["10.77.0.99"]

    pystack.run(main)


def test_no_one_is_told_an_address_of_one_link_alone() -> None:
    options = ServiceOptions(addresses=("10.0.0.2", "fd00::2", "fe80::ff:fe00:2%eth0"))
    assert options.addresses == ("10.0.0.2", "fd00::2")
