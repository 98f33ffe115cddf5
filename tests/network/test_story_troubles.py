"""Stories of what rarely happens: closed windows, marks, copies, resets, silence, known names."""

from collections.abc import Awaitable, Callable

import pytest
import trio

import pystack
from pystack import NetemWords, TcpConfig
from pystack.apps.explain.record import record
from pystack.observe.explain.story import Step, Story
from pystack.observe.explain.telling import tell
from pystack.observe.recording import Recording

Program = Callable[[trio.SocketStream], Awaitable[None]]


def talk(
    client_does: Program,
    server_does: Program,
    words: NetemWords | None = None,
    tcp: TcpConfig | None = None,
) -> Story:
    """Return the story of two programs on one connection."""

    async def main() -> Recording:
        async with pystack.Network(seed=3) as net:
            client, server = net.host("client", tcp=tcp), net.host("server", tcp=tcp)
            net.link(client, server, **(words or {"delay": "10ms", "rate": "10mbit"}))
            net.record()
            await server.start(trio.serve_tcp, server_does, 80)
            await client.run(connect)
            await trio.sleep(1)
            return net.recording()

    async def connect() -> None:
        async with await trio.open_tcp_stream("server", 80) as stream:
            await client_does(stream)

    recording = pystack.run(main)
    return tell(recording.items, recording)


def step(told: Story, kind: str) -> Step:
    found = [each for each in told.steps if each.kind == kind]
    assert found, [each.kind for each in told.steps]
    return found[0]


async def read_all(stream: trio.SocketStream) -> None:
    async for _ in stream:
        pass


def sends(size: int) -> Program:
    async def send(stream: trio.SocketStream) -> None:
        await stream.send_all(bytes(size))

    return send


def test_a_reader_that_sleeps_closes_its_window_and_opens_it_again() -> None:
    async def sleep_then_read(stream: trio.SocketStream) -> None:
        await trio.sleep(3)
        await read_all(stream)

    small = TcpConfig(receive_buffer_bytes=20_000, receive_buffer_max_bytes=20_000)
    told = talk(sleep_then_read, sends(100_000), tcp=small)
    closed = step(told, "zero_window")
    assert closed.actors == ("client", "server")
    assert closed.is_trouble
    assert closed.until == pytest.approx(3.0, abs=0.2)
    assert "asks" in closed.text


def test_a_queue_that_marks_is_told_where_ecn_was_agreed_on() -> None:
    queue = "codel target 1ms interval 5ms ecn"
    words: NetemWords = {"delay": "10ms", "rate": "4mbit", "qdisc": queue}
    told = talk(read_all, sends(300_000), words, TcpConfig(ecn="request"))
    assert ("ECN", "yes") in [each[:2] for each in step(told, "handshake").details]
    assert "marked" in step(told, "marked").title


def test_copies_and_overtaking_are_told() -> None:
    words: NetemWords = {"delay": "10ms", "duplicate": "10%", "reorder": "10%", "rate": "20mbit"}
    told = talk(read_all, sends(200_000), words)
    assert step(told, "duplicate").is_trouble
    assert step(told, "reordering").is_trouble


def test_a_reset_is_told_with_what_both_programs_get() -> None:
    async def never_reads(stream: trio.SocketStream) -> None:
        await stream.wait_send_all_might_not_block()
        await trio.sleep(1)

    told = talk(never_reads, sends(10_000))
    reset = step(told, "reset")
    assert reset.title == "RST: client throws the connection away"
    assert "ECONNRESET" in reset.text


def test_who_hears_nothing_gives_up() -> None:
    async def main() -> Recording:
        async with pystack.Network(seed=3) as net:
            tcp = TcpConfig(syn_retries=2)
            client, server = net.host("client", tcp=tcp), net.host("server")
            link = net.link(client, server, delay="1ms")
            assert await client.ping("server")
            net.record()
            link.down()
            with pytest.raises(OSError, match="attempts to connect"):
                await client.run(trio.open_tcp_stream, server.address, 80)
            return net.recording()

    recording = pystack.run(main)
    told = tell(recording.items, recording)
    assert [each.title for each in told.steps if each.kind == "repair_rto"] == [
        "Time-out after 1 s: client sends the SYN again",
        "Time-out after 2 s: client sends the SYN again",
    ]
    assert step(told, "give_up").title == "client gives up after 7 s: nothing came from server"
    assert step(told, "loss").title == "Lost on client to server: a SYN (link_down)"


def test_a_name_that_is_known_needs_no_packet() -> None:
    async def main() -> Recording:
        async with pystack.Network(seed=3, ip="4") as net:
            resolver = net.host("resolver")
            client = net.host("client")
            net.link(client, resolver, delay="5ms")
            await net.dns(resolver, ttl="1min")
            net.record()
            for _ in range(2):
                await client.look_up("resolver")
            return net.recording()

    recording = pystack.run(main)
    told = tell(recording.items, recording)
    kinds = [each.kind for each in told.steps]
    assert (kinds.count("resolve"), kinds.count("resolve_cached")) == (1, 1)
    cached = step(told, "resolve_cached")
    assert cached.until == cached.at
    assert cached.frames == []
    assert "still knows it" in cached.title


def test_both_versions_are_offered_and_one_is_chosen_by_rule() -> None:
    recording = record("http://server/", version=None)
    told = tell(recording.items, recording)
    chosen = step(told, "address")
    assert chosen.title == "client chooses 2001:db8:0:3::a of 2 for server"
    assert "RFC 6724" in chosen.text
    assert {value for _, value, _ in chosen.details} == {"2001:db8:0:3::a", "198.51.100.10"}


def test_a_small_window_is_what_limits() -> None:
    words: NetemWords = {"delay": "100ms", "rate": "100mbit"}
    small = TcpConfig(receive_buffer_bytes=30_000, receive_buffer_max_bytes=30_000)
    told = talk(read_all, sends(300_000), words, small)
    window = step(told, "window")
    assert window.title.startswith("server has as much in flight as client has room for: ")


def test_a_refused_checksum_is_a_loss_with_its_reason() -> None:
    told = talk(read_all, sends(300_000), {"delay": "10ms", "corrupt": "3%", "rate": "20mbit"})
    lost = [each for each in told.steps if each.kind == "loss"]
    assert lost
    assert "arrived damaged" in lost[0].text
    assert {each.kind for each in told.steps} & {"repair_rack", "repair_tlp", "repair_rto"}
