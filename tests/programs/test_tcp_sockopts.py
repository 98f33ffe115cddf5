"""The options of tcp(7) and socket(7), as programs set and read them."""

import errno
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio
from worlds import DELAY_S, echo, in_virtual_time, pair

import pystack

TCP = socket.IPPROTO_TCP
MSG_FASTOPEN = 0x20000000
TCP_FASTOPEN_CONNECT = 30
TCP_FASTOPEN_NO_COOKIE = 34
CLEAN = {"delay": "20ms"}


def run(check: Callable[[trio.socket.SocketType], Awaitable[None]]) -> None:
    async def main() -> None:
        async with pair(**CLEAN) as (_net, client, server, _link):

            async def serve() -> trio.socket.SocketType:
                listening = trio.socket.socket()
                await listening.bind(("", 80))
                listening.listen()
                return listening

            listening = await server.run(serve)
            await client.run(check, listening)

    in_virtual_time(main)


NUMBERS = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0, 1),
    (TCP, socket.TCP_NODELAY, 0, 1),
    (TCP, socket.TCP_CORK, 0, 1),
    (TCP, socket.TCP_KEEPIDLE, 7200, 5),
    (TCP, socket.TCP_KEEPINTVL, 75, 2),
    (TCP, socket.TCP_KEEPCNT, 9, 3),
    (TCP, socket.TCP_SYNCNT, 7, 2),
    (TCP, socket.TCP_LINGER2, 60, 7),
    (TCP, socket.TCP_USER_TIMEOUT, 0, 1500),
    (TCP, socket.TCP_NOTSENT_LOWAT, 0, 16384),
]


@pytest.mark.parametrize(("level", "name", "default", "value"), NUMBERS)
@pytest.mark.parametrize("early", [True, False])
def test_what_is_set_before_or_after_connecting_is_read_back(
    level: int, name: int, default: int, value: int, early: bool
) -> None:
    async def check(_listening: trio.socket.SocketType) -> None:
        with trio.socket.socket() as opened:
            assert opened.getsockopt(level, name) == default
            if early:
                opened.setsockopt(level, name, value)
            await opened.connect(("server", 80))
            if not early:
                opened.setsockopt(level, name, value)
            assert opened.getsockopt(level, name) == value

    run(check)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (socket.TCP_KEEPIDLE, 0),
        (socket.TCP_KEEPIDLE, 40_000),
        (socket.TCP_KEEPCNT, 200),
        (socket.TCP_SYNCNT, 0),
        (socket.TCP_USER_TIMEOUT, -1),
    ],
)
def test_what_linux_refuses_is_refused(name: int, value: int) -> None:
    async def check(_listening: trio.socket.SocketType) -> None:
        with trio.socket.socket() as opened, pytest.raises(OSError) as caught:  # noqa: PT011
            opened.setsockopt(TCP, name, value)
        assert caught.value.errno == errno.EINVAL

    run(check)


def test_a_congestion_control_is_chosen_by_name_before_and_after() -> None:
    async def check(_listening: trio.socket.SocketType) -> None:
        with trio.socket.socket() as opened:
            opened.setsockopt(TCP, socket.TCP_CONGESTION, b"newreno")
            await opened.connect(("server", 80))
            name = opened.getsockopt(TCP, socket.TCP_CONGESTION, 16)
            assert name == b"reno".ljust(16, b"\0")  # as Linux calls it
            opened.setsockopt(TCP, socket.TCP_CONGESTION, b"bbr")
            assert opened.getsockopt(TCP, socket.TCP_CONGESTION, 16).startswith(b"bbr\0")
            with pytest.raises(OSError) as caught:  # noqa: PT011
                opened.setsockopt(TCP, socket.TCP_CONGESTION, b"nobody")
            assert caught.value.errno == errno.ENOENT

    run(check)


def test_a_listener_s_options_are_its_connections_options() -> None:
    async def check(listening: trio.socket.SocketType) -> None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listening.setsockopt(TCP, socket.TCP_KEEPIDLE, 11)
        with trio.socket.socket() as opened:
            await opened.connect(("server", 80))
            accepted, _ = await listening.accept()
            with accepted:
                assert accepted.getsockopt(TCP, socket.TCP_KEEPIDLE) == 11
                connection = accepted._end.socket.connection  # type: ignore[attr-defined]
                due_at = connection.next_timeout()
                assert due_at == pytest.approx(trio.current_time() + 11, abs=2 * DELAY_S)

    run(check)


def test_more_comes_holds_a_short_segment_back() -> None:
    async def check(listening: trio.socket.SocketType) -> None:
        with trio.socket.socket() as opened:
            opened.setsockopt(TCP, socket.TCP_NODELAY, 1)
            await opened.connect(("server", 80))
            accepted, _ = await listening.accept()
            with accepted:
                await opened.send(b"one", socket.MSG_MORE)
                await opened.send(b"two")
                assert await accepted.recv(100) == b"onetwo"

    run(check)


def test_tcp_info_is_linux_s_struct() -> None:
    async def check(listening: trio.socket.SocketType) -> None:
        with trio.socket.socket() as opened:
            await opened.connect(("server", 80))
            await opened.send(bytes(5000))
            data = opened.getsockopt(TCP, socket.TCP_INFO, 256)
            state, ca_state, *_rest, options, scales, _limited = struct.unpack_from("=8B", data)
            words = struct.unpack_from("=24I", data, 8)
            assert (state, ca_state) == (1, 0)
            assert options == 1 | 2 | 4  # timestamps, SACK, window scale
            assert scales & 0xF == scales >> 4
            assert words[2:4] == (1448, 1460)
            assert words[4] == 4  # unacked: 5000 bytes
            assert words[15] == pytest.approx(40_000, abs=40_000)  # rtt, with ARP's
            assert words[18] == 10  # snd_cwnd
            bytes_acked, bytes_received = struct.unpack_from("=2Q", data, 120)
            assert (bytes_acked, bytes_received) == (0, 0)
            assert len(data) == 232
            accepted, _ = await listening.accept()
            accepted.close()

    run(check)


def test_a_stream_with_linger_zero_resets_when_it_is_closed() -> None:
    async def main() -> None:
        async with pair(**CLEAN) as (_net, client, server, _link):
            (listener,) = await server.open_tcp_listeners(80)
            stream = await client.open_tcp_stream("server", 80)
            accepted = await listener.accept()
            stream.set_linger(0)
            await stream.aclose()
            with pytest.raises(trio.BrokenResourceError) as caught:
                await accepted.receive_some()
            assert isinstance(caught.value.__cause__, ConnectionResetError)

    in_virtual_time(main)


def test_a_stream_refuses_what_is_out_of_range() -> None:
    async def main() -> None:
        async with pair(**CLEAN) as (_net, client, server, _link):
            await server.open_tcp_listeners(80)
            stream = await client.open_tcp_stream("server", 80)
            for seconds in (-3, -0.1, float("nan")):
                with pytest.raises(pystack.ConfigError, match="lingers"):
                    stream.set_linger(seconds)
            for ttl in (-1, 0, 256):
                with pytest.raises(pystack.ConfigError, match="TTL"):
                    stream.set_ttl(ttl)
            with pytest.raises(pystack.ConfigError, match="Diffserv"):
                stream.set_diffserv(64)
            stream.set_linger(None)
            with pytest.raises(TypeError):
                stream.set_no_delay(False)  # type: ignore[misc]

    in_virtual_time(main)


def test_a_stream_finds_out_that_its_peer_has_lost_power() -> None:
    async def main() -> None:
        async with pair(**CLEAN) as (_net, client, server, link):
            (listener,) = await server.open_tcp_listeners(80)
            stream = await client.open_tcp_stream("server", 80)
            await listener.accept()
            stream.set_keepalive(idle_s=10, interval_s=1, probes=3)
            link.down()
            began_at = trio.current_time()
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            assert trio.current_time() - began_at == pytest.approx(13, abs=0.1)

    in_virtual_time(main)


def test_a_user_timeout_ends_a_stream_that_gets_no_answer() -> None:
    async def main() -> None:
        async with pair(**CLEAN) as (_net, client, server, link):
            (listener,) = await server.open_tcp_listeners(80)
            stream = await client.open_tcp_stream("server", 80)
            await listener.accept()
            stream.set_user_timeout(5)
            link.down()
            began_at = trio.current_time()
            await stream.send_all(b"anybody there?")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            assert 4.5 < trio.current_time() - began_at <= 5.5

    in_virtual_time(main)


def test_a_listener_s_largest_segment_is_offered_and_used() -> None:
    async def check(listening: trio.socket.SocketType) -> None:
        listening.setsockopt(TCP, socket.TCP_MAXSEG, 512)
        with trio.socket.socket() as opened:
            await opened.connect(("server", 80))
            accepted, _ = await listening.accept()
            with accepted:
                sizes = [one.getsockopt(TCP, socket.TCP_MAXSEG) for one in (opened, accepted)]
                assert sizes == [500, 500]  # with timestamps

    run(check)


def test_a_listener_that_defers_accepts_when_text_comes_or_the_time_is_over() -> None:
    async def check(listening: trio.socket.SocketType) -> None:
        listening.setsockopt(TCP, socket.TCP_DEFER_ACCEPT, 5)
        accepted_at = []
        for text in (b"hello", b""):
            with trio.socket.socket() as opened:
                await opened.connect(("server", 80))
                began_at = trio.current_time()
                if text:
                    await trio.sleep(2)
                    await opened.send(text)
                accepted, _ = await listening.accept()
                accepted_at.append(trio.current_time() - began_at)
                if text:
                    assert await accepted.recv(10) == text
                accepted.close()
        assert accepted_at == [pytest.approx(2, abs=0.1), pytest.approx(7, abs=0.1)]

    run(check)


def test_a_record_that_ends_shares_no_segment_with_what_comes_later() -> None:
    async def check(listening: trio.socket.SocketType) -> None:
        with trio.socket.socket() as opened:
            await opened.connect(("server", 80))
            opened.setsockopt(TCP, socket.TCP_CORK, 1)
            accepted, _ = await listening.accept()
            with accepted:
                for record in (b"one", b"two", b"three"):
                    await opened.send(record, socket.MSG_EOR)
                connection = opened._end.socket.connection  # type: ignore[attr-defined]
                before = connection.segments_sent
                opened.setsockopt(TCP, socket.TCP_CORK, 0)
                got = b""
                while len(got) < 11:
                    got += await accepted.recv(100)
                assert got == b"onetwothree"
                assert connection.segments_sent == before + 1  # the last: a cork held it alone

    run(check)


def test_a_clamp_bounds_every_window() -> None:
    async def check(listening: trio.socket.SocketType) -> None:
        listening.setsockopt(TCP, socket.TCP_WINDOW_CLAMP, 5000)
        with trio.socket.socket() as opened:
            await opened.connect(("server", 80))
            accepted, _ = await listening.accept()
            with accepted:
                windows = set()
                for _ in range(20):
                    await opened.send(bytes(20_000))
                    await accepted.recv(20_000)
                    windows.add(opened._end.socket.connection.tcb.snd_wnd)  # type: ignore[attr-defined]
                assert max(windows) <= 5000
                assert accepted.getsockopt(TCP, socket.TCP_WINDOW_CLAMP) == 5000

    run(check)


@pytest.mark.parametrize("pending", [0, 5])
def test_a_listener_takes_text_in_syns_where_it_says_so(pending: int) -> None:
    async def main() -> None:
        async with pair(**CLEAN) as (_net, client, server, _link):
            client.tcp.config = replace(client.tcp.config, fast_open="client")

            async def serve() -> trio.socket.SocketType:
                listening = trio.socket.socket()
                await listening.bind(("", 80))
                listening.setsockopt(TCP, socket.TCP_FASTOPEN, pending)
                listening.listen()
                assert listening.getsockopt(TCP, socket.TCP_FASTOPEN) == pending
                return listening

            listening = await server.run(serve)
            for _ in range(2):  # the first gets a cookie
                stream = await client.open_tcp_stream("server", 80, fast_open=b"hello")
                accepted, _ = await listening.accept()
                assert await accepted.recv(10) == b"hello"
                accepted.close()
                await stream.aclose()
            assert server.counters["tcp_fast_opens_in"] == int(pending > 0)

    in_virtual_time(main)


def _fast_opens(open_and_send: Callable[[trio.socket.SocketType], Awaitable[None]]) -> list[float]:
    """Let a client send "hello" four times; return how long each answer took, in round trips."""
    took: list[float] = []

    async def main() -> None:
        async with pair(**CLEAN) as (_net, client, server, _link):
            server.tcp.config = replace(server.tcp.config, fast_open="server")

            async def ask() -> None:
                for _ in range(4):
                    began_at = trio.current_time()
                    with trio.socket.socket() as opened:
                        await open_and_send(opened)
                        assert await opened.recv(100) == b"hello"
                        took.append(round((trio.current_time() - began_at) / (2 * DELAY_S), 1))

            await client.ping("server")
            await server.start(trio.serve_tcp, echo, 80)
            await client.run(ask)

    in_virtual_time(main)
    return took


def test_a_connect_that_waits_for_the_first_text_saves_a_round_trip() -> None:
    async def open_and_send(opened: trio.socket.SocketType) -> None:
        opened.setsockopt(TCP, TCP_FASTOPEN_CONNECT, 1)
        await opened.connect(("server", 80))
        await opened.send(b"hello")

    assert _fast_opens(open_and_send) == [2, 1, 1, 1]


def test_msg_fastopen_connects_with_the_first_text_in_the_syn() -> None:
    async def open_and_send(opened: trio.socket.SocketType) -> None:
        assert await opened.sendto(b"hello", MSG_FASTOPEN, ("server", 80)) == 5

    assert _fast_opens(open_and_send) == [2, 1, 1, 1]


def test_a_connect_that_waits_for_text_has_no_connection_before() -> None:
    async def check(listening: trio.socket.SocketType) -> None:
        for _ in range(2):
            listening.setsockopt(TCP, socket.TCP_FASTOPEN, 5)
            with trio.socket.socket() as opened:
                await opened.sendto(b"x", MSG_FASTOPEN, ("server", 80))
                accepted, _ = await listening.accept()
                accepted.close()
        with trio.socket.socket() as opened:
            opened.setsockopt(TCP, TCP_FASTOPEN_CONNECT, 1)
            await opened.connect(("server", 80))
            with pytest.raises(OSError, match="not connected"):
                opened.getpeername()
            with pytest.raises(OSError, match="not connected"):
                await opened.recv(1)

    run(check)


def test_text_in_the_syn_to_a_closed_port_is_refused() -> None:
    async def check(_listening: trio.socket.SocketType) -> None:
        with trio.socket.socket() as opened, pytest.raises(ConnectionRefusedError):
            await opened.sendto(b"hello", MSG_FASTOPEN, ("server", 81))

    run(check)


def test_without_cookies_the_first_connection_saves_a_round_trip_too() -> None:
    async def check(listening: trio.socket.SocketType) -> None:
        listening.setsockopt(TCP, socket.TCP_FASTOPEN, 5)
        listening.setsockopt(TCP, TCP_FASTOPEN_NO_COOKIE, 1)
        with trio.socket.socket() as opened:
            opened.setsockopt(TCP, TCP_FASTOPEN_NO_COOKIE, 1)
            await opened.sendto(b"hello", MSG_FASTOPEN, ("server", 80))
            accepted, _ = await listening.accept()
            with accepted:
                assert await accepted.recv(10) == b"hello"
                assert opened._end.socket.connection.info().syn_data_acked  # type: ignore[attr-defined]

    run(check)
