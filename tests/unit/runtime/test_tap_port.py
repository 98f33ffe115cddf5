"""TapPort where its device is a socket: what happens when it takes no more, without any TAP."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest
import trio
import trio.testing
from tcp_frames import headers_of

from pystack.core.addresses import parse_ip4
from pystack.runtime.device.tap import TapPort
from pystack.runtime.device.tap_device import TapDevice, takes_big_tcp
from pystack.runtime.device.virtio_net import header_of
from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame, SuperFrame, completed, cut_down, split

A, B = parse_ip4("10.77.0.1"), parse_ip4("10.77.0.2")
QUEUE_FRAMES = 1000


class SocketDevice:
    """What TapPort uses of a device, over a socket that keeps frames apart as a TAP does."""

    def __init__(self, end: socket.socket) -> None:
        self.name, self.addr, self.netmask, self.mtu = "tap0", "", "", 1500
        self._end = end

    def up(self) -> None: ...

    def close(self) -> None:
        self._end.close()

    def fileno(self) -> int:
        return self._end.fileno()


class Driver:
    """A driver whose time is the number of batches so far."""

    paused = False

    def __init__(self) -> None:
        self.batches = 0

    async def goes_on(self) -> None: ...

    def batch_begins(self) -> float:
        return float(self.batches)

    def batch_done(self, now: float) -> None:
        assert now == self.batches
        self.batches += 1


class Ends(NamedTuple):
    """The device's two ends: the port's, and the kernel's."""

    port: socket.socket
    kernel: socket.socket


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Return a device that is a pair of sockets."""
    port, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with port, kernel:
        port.setblocking(False)
        kernel.setblocking(False)
        yield Ends(port, kernel)


def port_on(ends: Ends, *, offload: bool = False) -> TapPort:
    return TapPort(TapDevice(SocketDevice(ends.port), offload=offload), 1500)


def numbered(number: int) -> Frame:
    return Frame(number.to_bytes(4, "big") + bytes(996))


def super_frame() -> Frame:
    segment = tcp.Segment(1, 2, 2**32 - 100, 4, tcp.ACK, 5, b"", bytes(range(250)) * 16)
    body = tcp.pack_header(segment, A, B, partial=True) + segment.payload
    packet = ipv4.pack_header(A, B, ipv4.TCP, len(body)) + body
    return Frame(ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, packet), CHECKSUM_PARTIAL, 1460)


def big_frame() -> SuperFrame:
    """Return a super-frame of more than 64 KiB, in two pieces."""
    text = memoryview(bytes(range(250)) * 900)
    segment = tcp.Segment(1, 2, 2**32 - 100, 4, tcp.ACK, 5, b"", text[:90_000])
    segment.more = (text[90_000:],)
    headers = headers_of(segment, A, B, bytes(6), bytes(6), partial=True)
    return SuperFrame(headers, segment.payload, CHECKSUM_PARTIAL, 1460, segment.more)


def test_where_the_kernel_has_no_room_for_a_big_super_frame_it_gets_smaller_ones(
    ends: Ends,
) -> None:
    # 225,000 bytes are more than the socket's buffer takes at once: EMSGSIZE.
    ends.port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 80_000)
    port = TapPort(TapDevice(SocketDevice(ends.port), offload=True), 1500, big=True)
    assert port.gso_max_bytes == 524_288
    frame = big_frame()
    port.send(frame, 0.0)
    assert port.counters == {"tap_cut_down": 1}
    got = []
    while len(got) < 4:
        with suppress(BlockingIOError):
            got.append(ends.kernel.recv(70_000))
        while port._backlog and port._written(port._backlog[0]):
            port._backlog.popleft()
    assert b"".join(data[10 + 54 :] for data in got) == frame.data[54:]
    assert [data[:10] for data in got] == [header_of(piece) for piece in cut_down(frame, 65_455)]


@pytest.mark.parametrize(
    ("release", "big"),
    [
        ("6.2.16", False),
        ("6.3.0-rc1", True),
        ("6.18.44-fc", True),
        ("7.0", True),
        ("5.15", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_packets_beyond_64_kib_are_for_kernels_since_6_3(release: str, big: bool) -> None:
    assert takes_big_tcp(release) is big


@pytest.mark.trio
async def test_frames_wait_while_the_device_is_full_and_go_in_order(ends: Ends) -> None:
    port = port_on(ends)
    sent = 0
    while not port._backlog:
        port.send(numbered(sent), 0.0)
        sent += 1
    for _ in range(QUEUE_FRAMES + 7 - 1):
        port.send(numbered(sent), 0.0)
        sent += 1
    assert port.counters == {"tap_queue_full": 7}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.run, Driver())
        for number in range(sent - 7):
            await trio.lowlevel.wait_readable(ends.kernel)
            assert ends.kernel.recv(2000)[:4] == number.to_bytes(4, "big")
        port.close()


@pytest.mark.trio
async def test_closing_gives_up_what_waits_and_ends_the_run(ends: Ends) -> None:
    port = port_on(ends)
    while len(port._backlog) < 5:
        port.send(numbered(0), 0.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.run, Driver())
        await trio.testing.wait_all_tasks_blocked()
        port.close()
    port.send(numbered(1), 0.0)
    port.close()
    assert port.counters == {"tap_closed": 6}


@pytest.mark.trio
async def test_a_batch_is_64_frames_at_one_instant_and_others_get_their_turn(
    ends: Ends,
) -> None:
    port = port_on(ends)
    driver = Driver()
    times: list[float] = []
    other_turns: list[int] = []

    async def other() -> None:
        while True:
            other_turns.append(len(times))
            await trio.lowlevel.checkpoint()

    port.attach(lambda frame, now: times.append(now))
    for _ in range(130):
        ends.kernel.send(b"frame")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.run, driver)
        nursery.start_soon(other)
        while driver.batches < 3:
            await trio.lowlevel.checkpoint()
        port.close()
        nursery.cancel_scope.cancel()
    assert times == [0.0] * 64 + [1.0] * 64 + [2.0] * 2
    # Trio runs both in each of its rounds, in random order: one of the pauses is seen for sure.
    assert {64, 128} & set(other_turns)


@pytest.mark.trio
async def test_a_port_closed_by_who_is_given_a_frame_delivers_no_more(
    ends: Ends,
) -> None:
    port = port_on(ends)
    frames: list[bytes] = []

    def close_at_once(frame: Frame, now: float) -> None:
        frames.append(frame.data)
        port.close()

    port.attach(close_at_once)
    ends.kernel.send(b"first")
    ends.kernel.send(b"second")
    await port.run(Driver())
    assert frames == [b"first"]


@pytest.mark.trio
async def test_frames_that_nobody_takes_are_counted(ends: Ends) -> None:
    port = port_on(ends)
    driver = Driver()
    ends.kernel.send(b"frame")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.run, driver)
        while not driver.batches:
            await trio.lowlevel.checkpoint()
        port.close()
    assert port.counters == {"port_unplugged": 1}


def test_a_super_frame_goes_out_whole_with_offload_and_in_pieces_without(
    ends: Ends,
) -> None:
    frame = super_frame()
    port_on(ends, offload=True).send(frame, 0.0)
    written = ends.kernel.recv(70000)
    assert written[10:] == frame.data
    assert written[:10] == bytes.fromhex("0101") + (54).to_bytes(2, "little") + (1460).to_bytes(
        2, "little"
    ) + (34).to_bytes(2, "little") + (16).to_bytes(2, "little")

    port_on(ends).send(frame, 0.0)
    assert [ends.kernel.recv(70000) for _ in range(3)] == [piece.data for piece in split(frame)]


def test_without_offload_an_open_checksum_is_filled_in(ends: Ends) -> None:
    frame = Frame(super_frame().data, CHECKSUM_PARTIAL)
    port_on(ends).send(frame, 0.0)
    assert ends.kernel.recv(70000) == completed(frame).data


def test_what_cannot_be_split_is_counted_by_the_reason(ends: Ends) -> None:
    port = port_on(ends)
    port.send(Frame(bytes(100), CHECKSUM_PARTIAL, 1460), 0.0)
    assert port.counters == {"ip_bad_version": 1}


def test_closing_leaves_no_descriptor_open(ends: Ends) -> None:
    port = port_on(ends)
    fd = ends.port.fileno()
    port.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
