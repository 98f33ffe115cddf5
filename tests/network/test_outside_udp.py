"""Datagrams from inside to real servers, by the machine's own sockets."""

import socket
import struct
import sys

import pytest
import trio
from outside_rig import (
    INSIDE,
    V4,
    V6,
    Unwatched,
    free_port,
    held,
    open_place,
    udp_socket,
    until,
)

from pystack.core.addresses import parse_ip
from pystack.core.scheduler import Scheduler
from pystack.runtime.outside.ground import Ground
from pystack.runtime.outside.reach import Reach
from pystack.runtime.outside.sessions import Sessions, bursts
from pystack.stack.host import Host

BOTH = pytest.mark.parametrize("address", [V4, V6], ids=["IPv4", "IPv6"])


@BOTH
@pytest.mark.parametrize("size", [0, 1, 1400, 1472, 9000, 60000])
def test_datagrams_of_every_size_come_back_from_where_they_went(address: str, size: int) -> None:
    async def main() -> None:
        async with open_place() as place:
            where = await place.serve_udp(lambda data, _: data[::-1], address)
            sock = await place.client.open_udp_socket(0)
            payload = bytes(range(256)) * 256
            await sock.send_to(payload[:size], where)
            assert await sock.receive_from() == (payload[:size][::-1], where)
            assert len(place.outside.sessions) == 1

    trio.run(main)


def test_a_port_inside_is_one_port_outside_whoever_it_sends_to() -> None:
    async def main() -> None:
        async with open_place() as place:
            seen: list[tuple[str, int]] = []

            def note(data: bytes, peer: tuple[str, int]) -> bytes:
                seen.append(peer)
                return data

            one, other = await place.serve_udp(note), await place.serve_udp(note)
            sock = await place.client.open_udp_socket(0)
            for where in (one, other, one):
                await sock.send_to(b"x", where)
                assert await sock.receive_from() == (b"x", where)
            assert len(set(seen)) == 1
            another = await place.client.open_udp_socket(0)
            await another.send_to(b"x", one)
            await another.receive_from()
            assert len(set(seen)) == 2

    trio.run(main)


def test_another_port_of_whom_it_sent_to_may_answer_and_strangers_may_not() -> None:
    async def main() -> None:
        with udp_socket(V4) as other, udp_socket("127.0.0.2") as stranger:
            async with open_place() as place:
                peers: list[tuple[str, int]] = []

                def note(data: bytes, peer: tuple[str, int]) -> None:
                    peers.append(peer)

                where = await place.serve_udp(note)
                sock = await place.client.open_udp_socket(0)
                await sock.send_to(b"x", where)
                await until(lambda: bool(peers))
                await stranger.sendto(b"let me in", peers[0])
                await until(lambda: place.count("udp_stranger") == 1)
                await other.sendto(b"as in TFTP", peers[0])
                port = other.getsockname()[1]
                assert await sock.receive_from() == (b"as in TFTP", (INSIDE[V4], port))

    trio.run(main)


@BOTH
def test_whoever_sends_to_a_closed_port_is_told(address: str) -> None:
    async def main() -> None:
        async with open_place() as place:
            sock = await place.client.open_udp_socket(0)
            where = INSIDE[address], free_port(socket.SOCK_DGRAM)
            sock.connect(where)
            await sock.send_to(b"x", where)
            with pytest.raises(ConnectionRefusedError):
                await sock.receive_from()
            assert place.count("udp_errors") == 1

    trio.run(main)


def test_an_error_about_one_does_not_keep_the_next_from_another() -> None:
    async def main() -> None:
        async with open_place() as place:
            where = await place.serve_udp(lambda data, _: data)
            closed = INSIDE[V4], free_port(socket.SOCK_DGRAM)
            sock = await place.client.open_udp_socket(0)
            for number in range(20):
                await sock.send_to(b"lost", closed)
                await sock.send_to(b"%d" % number, where)
                assert await sock.receive_from() == (b"%d" % number, where)
            assert place.count("udp_not_sent") == 0

    trio.run(main)


def test_many_datagrams_arrive_in_order_and_come_back() -> None:
    async def main() -> None:
        async with open_place() as place:
            where = await place.serve_udp(lambda data, _: data)
            sock = await place.client.open_udp_socket(0)
            for start in range(0, 400, 40):
                sent = [b"%4d" % number * 300 for number in range(start, start + 40)]
                await sock.send_many_to(sent, where)
                got = [(await sock.receive_from())[0] for _ in sent]
                assert got == sent
            assert place.count("udp_in") == place.count("udp_out") == 400

    trio.run(main)


def test_without_descriptors_the_most_silent_session_goes() -> None:
    async def main() -> None:
        async with open_place(sockets=2) as place:
            where = await place.serve_udp(lambda data, _: data)
            socks = [await place.client.open_udp_socket(0) for _ in range(3)]
            for sock in (socks[0], socks[1], socks[0], socks[2], socks[0], socks[1]):
                await sock.send_to(b"x", where)
                assert await sock.receive_from() == (b"x", where)
            # The second went for the third, and the third for the second.
            assert place.count("udp_evicted") == 2
            assert place.count("udp_sessions") == 4
            assert len(place.outside.sessions) == 2

    trio.run(main)


def test_sessions_age_and_those_that_only_ask_for_names_sooner() -> None:
    scheduler = Scheduler()
    host = Host("gateway", scheduler, 7)
    ground = Ground(host, Unwatched(), Reach(), 10)  # type: ignore[arg-type]
    sessions = Sessions(ground)
    real = parse_ip(V4)

    def at(now: float, port: int, dst_port: int) -> None:
        scheduler.run_due(now)
        sessions.datagram_arrived(held(port, dst_port, host), real, now)

    at(0.0, 1000, 9)
    at(1.0, 2000, 53)
    at(2.0, 3000, 53)
    at(15.0, 3000, 53)
    assert (len(sessions), ground.left) == (3, 7)
    scheduler.run_due(20.9)
    assert len(sessions) == 3
    scheduler.run_due(21.0)  # 20 s after its only question
    assert len(sessions) == 2
    at(30.0, 3000, 9)  # it is more than that now
    scheduler.run_due(179.9)
    assert len(sessions) == 2
    scheduler.run_due(180.0)
    assert len(sessions) == 1
    scheduler.run_due(210.0)
    assert (len(sessions), ground.left, len(scheduler)) == (0, 10, 0)
    assert host.counters["outside_udp_expired"] == 3


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ([], []),
        ([5], [(5, 0)]),
        ([5, 5, 5], [(15, 5)]),
        ([5, 5, 3], [(13, 5)]),
        ([5, 3, 5], [(8, 5), (5, 0)]),
        ([3, 5], [(3, 0), (5, 0)]),
        ([5, 5, 0, 5], [(10, 5), (0, 0), (5, 0)]),
        ([40000, 40000], [(40000, 0), (40000, 0)]),
        ([30000, 30000, 30000], [(60000, 30000), (30000, 0)]),
        ([1] * 70, [(64, 1), (6, 1)]),
    ],
)
def test_datagrams_of_one_size_are_a_burst(sizes: list[int], found: list[tuple[int, int]]) -> None:
    assert [(len(data), each) for data, each in bursts([bytes(size) for size in sizes])] == found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="UDP_SEGMENT and UDP_GRO of Linux")
def test_bursts_of_the_kernel_stay_bursts() -> None:
    async def main() -> None:
        async with open_place() as place:
            peers: list[tuple[str, int]] = []
            where = await place.serve_udp(lambda _, peer: peers.append(peer))  # type: ignore[func-returns-value]
            sock = await place.client.open_udp_socket(0)
            await sock.send_to(b"x", where)
            await until(lambda: bool(peers))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((V4, 0))
                size = struct.pack("=H", 1200)
                sender.sendmsg([bytes(30 * 1200 + 7)], [(17, 103, size)], 0, peers[0])
                port = sender.getsockname()[1]
            for count in [1200] * 30 + [7]:
                assert await sock.receive_from() == (bytes(count), (INSIDE[V4], port))
            assert place.count("udp_in") == 31

    trio.run(main)
