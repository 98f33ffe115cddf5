"""Partitions with an answer, and those that spare what there is: as a firewall's rules do."""

import errno
from collections.abc import Callable

import pytest
import trio

import pystack

BOTH = pytest.mark.parametrize("version", [4, 6])


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def talks(stream: pystack.TcpStream, word: bytes) -> bool:
    await stream.send_all(word)
    with trio.move_on_after(5):
        return await stream.receive_some() == word
    return False


def in_a_line(net: pystack.Network) -> tuple[pystack.Host, pystack.Host]:
    """Put a router between client and server, 10 ms from each."""
    client, server = net.host("client"), net.host("server")
    net.router("r")
    net.link(client, "r", delay="10ms")
    net.link("r", server, delay="10ms")
    return client, server


def side_by_side(net: pystack.Network) -> tuple[pystack.Host, pystack.Host]:
    client, server = net.host("client"), net.host("server")
    net.link(client, server, delay="10ms")
    return client, server


def by_a_switch(net: pystack.Network) -> tuple[pystack.Host, pystack.Host]:
    client, server = net.host("client"), net.host("server")
    net.switch("s1")
    net.switch("s2")
    net.link(client, "s1", delay="10ms")
    net.link("s1", "s2")
    net.link("s2", server, delay="10ms")
    return client, server


Build = Callable[[pystack.Network], tuple[pystack.Host, pystack.Host]]
PLACES = pytest.mark.parametrize(
    ("build", "groups"),
    [
        pytest.param(side_by_side, ["client", "server"], id="a link"),
        pytest.param(in_a_line, ["client", "server"], id="hosts with a router between"),
        pytest.param(in_a_line, ["client", ["r", "server"]], id="the link to a router"),
        pytest.param(in_a_line, [["client", "r"], "server"], id="the link behind a router"),
        pytest.param(by_a_switch, ["s1", "s2"], id="the link between two switches"),
    ],
)


@BOTH
@PLACES
def test_reject_answers_at_once_with_a_reset_and_icmp(
    version: int, build: Build, groups: list[str | list[str]]
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4" if version == 4 else "6") as net:
            client, server = build(net)
            await server.start(trio.serve_tcp, echo, 7)
            stream = await client.open_tcp_stream("server", 7)
            udp = await client.open_udp_socket()
            udp.connect(("server", 9))
            assert await client.ping("server") > 0
            net.partition(*groups, answer="reject")
            began = trio.current_time()
            with pytest.raises(ConnectionRefusedError):
                await client.open_tcp_stream("server", 7)
            await stream.send_all(b"more")
            with pytest.raises(trio.BrokenResourceError) as reset:
                await stream.receive_some()
            assert isinstance(reset.value.__cause__, ConnectionResetError)
            with pytest.raises(OSError, match=r"says so|\[Errno") as ping:
                await client.ping("server")
            await udp.send(b"anyone?")
            with pytest.raises(OSError, match=r"says so|\[Errno") as told:
                await udp.receive_from()
            # Linux: ICMP_PKT_FILTERED is EHOSTUNREACH, ICMPV6_ADM_PROHIBITED is EACCES
            number = errno.EHOSTUNREACH if version == 4 else errno.EACCES
            assert (ping.value.errno, told.value.errno) == (number, number)
            # At the client's own door, or behind one hop: nothing was waited for.
            assert trio.current_time() - began <= 0.1
            net.heal()
            assert await client.ping("server") > 0

    pystack.run(main)


def test_what_reject_answers_comes_from_the_address_that_was_asked() -> None:
    """A RST with the numbers of RFC 9293 3.10.7.1 (nf_reject_ip_tcphdr_put)."""

    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            client, _server = side_by_side(net)
            await client.ping("server")
            net.partition("client", "server", answer="reject")
            seen: list[str] = []
            client.observe(pystack_log(seen))
            with pytest.raises(ConnectionRefusedError):
                await client.open_tcp_stream("server", 7)
            assert any("server.7 > client" in line and "Flags [R.]" in line for line in seen), seen

    pystack.run(main)


def pystack_log(lines: list[str]) -> pystack.Observer:
    from pystack.observe.summary import summarize

    class Log:
        def on_event(self, event: pystack.Event) -> None:
            if isinstance(event, pystack.events.FrameSeen):
                line = summarize(event.frame)
                lines.append(line.replace("10.0.0.1", "client").replace("10.0.0.2", "server"))

    return Log()


@BOTH
@PLACES
@pytest.mark.parametrize("answer", ["silence", "reject"])
def test_established_connections_may_be_spared(
    version: int, build: Build, groups: list[str | list[str]], answer: str
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4" if version == 4 else "6") as net:
            client, server = build(net)
            await server.start(trio.serve_tcp, echo, 7)
            stream = await client.open_tcp_stream("server", 7)
            old, new = await client.open_udp_socket(), await client.open_udp_socket()
            serving = await server.open_udp_socket(9)
            old.connect(("server", 9))
            net.partition(*groups, answer=answer, spare_established=True)
            assert await talks(stream, b"still here")
            await old.send(b"old")
            data, to = await serving.receive_from()
            assert data == b"old"
            await serving.send_to(b"answer", to)
            assert (await old.receive_from())[0] == b"answer"
            new.connect(("server", 9))
            await new.send(b"new")
            with trio.move_on_after(5) as waited, pytest.raises(OSError, match="Errno"):
                await new.receive_from()
            assert waited.cancelled_caught == (answer == "silence")
            with trio.move_on_after(5) as waited, pytest.raises(OSError, match="Errno"):
                await client.open_tcp_stream("server", 7)
            assert waited.cancelled_caught == (answer == "silence")
            assert await talks(stream, b"and still")
            net.heal()
            assert await talks(await client.open_tcp_stream("server", 7), b"again")

    pystack.run(main)


def test_a_connection_whose_syn_was_answered_is_spared_and_one_whose_was_not_is_not() -> None:
    """As conntrack sees it: a reply makes it ESTABLISHED."""

    async def opened(parts_at: float) -> bool:
        async with pystack.Network(seed=1, ip="4") as net:
            client, server = side_by_side(net)
            await server.start(trio.serve_tcp, echo, 7)
            await client.ping("server")
            began = trio.current_time()
            net.at(
                began + parts_at,
                lambda: net.partition("client", "server", spare_established=True),
            )
            with trio.move_on_after(5):
                await client.open_tcp_stream("server", 7)
                return True
            return False

    async def main() -> None:
        assert not await opened(0.005)  # the SYN is on its way
        assert await opened(0.015)  # the SYN-ACK is

    pystack.run(main)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"answer": "rejct"}, "did you mean 'reject'"),
        ({"answer": 1}, "no answer 1"),
        ({"spare_established": "yes"}, "must be True or False"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: dict[str, object], message: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            side_by_side(net)
            with pytest.raises(pystack.ConfigError, match=message):
                net.partition("client", "server", **words)  # type: ignore[arg-type]

    pystack.run(main)


def test_silence_stays_silent_where_two_partitions_disagree() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, _server = side_by_side(net)
            await client.ping("server")
            net.partition("client", "server", answer="reject")
            silent = net.partition("client", "server")
            with pytest.raises(TimeoutError):
                await client.ping("server", timeout_s=1)
            silent.heal()
            with pytest.raises(OSError, match=r"says so|\[Errno"):
                await client.ping("server", timeout_s=1)

    pystack.run(main)
