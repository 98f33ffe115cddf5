"""Bursts of datagrams (USO) between a real TAP and programs on the kernel's sockets."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dpkt
import pytest
import trio
from netns import NetworkNamespace
from test_tap import A, B, Driver, collect, opened, to_the_kernel
from up import StackUp

import pystack
from pystack.wire import ipv4, udp
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame, split

pytestmark = pytest.mark.kernel

SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
PORT: Final = 7777


def payloads(frames: list[Frame]) -> list[bytes]:
    """Return what the datagrams for our port carry; raises if a checksum is wrong."""
    packets = [
        ipv4.parse(memoryview(piece.data)[14:])
        for frame in frames
        if frame.data[23] == ipv4.UDP
        for piece in split(frame)
    ]
    return [bytes(udp.parse(packet).payload) for packet in packets]


@pytest.fixture
def sender(netns: NetworkNamespace) -> Iterator[socket.socket]:
    """Return a socket of the kernel inside the namespace."""
    with netns.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(30)
    with made:
        yield made


def by_option(sender: socket.socket, data: bytes, each_bytes: int) -> None:
    sender.setsockopt(SOL_UDP, UDP_SEGMENT, each_bytes)
    sender.sendto(data, ("10.77.0.2", PORT))


def by_message(sender: socket.socket, data: bytes, each_bytes: int) -> None:
    message = (SOL_UDP, UDP_SEGMENT, struct.pack("H", each_bytes))
    sender.sendmsg([data], [message], 0, ("10.77.0.2", PORT))


@pytest.mark.parametrize("offload", [True, False])
@pytest.mark.parametrize("send", [by_option, by_message])
def test_what_udp_segment_sends_arrives_whole_or_in_pieces(
    netns: NetworkNamespace,
    sender: socket.socket,
    offload: bool,
    send: Callable[[socket.socket, bytes, int], None],
) -> None:
    data = bytes(range(250)) * 240 + b"end"
    with opened(netns, offload=offload) as port:
        send(sender, data, 1000)
        frames = collect(port, lambda got: got[-1].data.endswith(b"end"))
        assert port.counters == {}
    frames = [frame for frame in frames if frame.data[23] == ipv4.UDP]
    assert len(frames) == (1 if offload else 61)
    assert frames[0].gso_bytes == (1000 if offload else 0)
    parts = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    assert payloads(frames) == parts


@pytest.mark.parametrize("offload", [True, False])
@pytest.mark.parametrize(("size", "each_bytes"), [(3004, 1000), (65507, 1472), (640, 10), (2, 1)])
def test_a_burst_reaches_a_socket_datagram_by_datagram(
    netns: NetworkNamespace, sender: socket.socket, offload: bool, size: int, each_bytes: int
) -> None:
    payload = bytes(range(256)) * 256
    with opened(netns, offload=offload) as port:
        sender.bind(("10.77.0.1", PORT))
        port.send(burst(netns, payload[:size], each_bytes), 0.0)
        assert port.counters == {}
        for at in range(0, size, each_bytes):
            got = sender.recvfrom(2000)
            assert got == (payload[at : min(at + each_bytes, size)], ("10.77.0.2", 7))


def test_a_socket_that_wants_bursts_whole_gets_one(
    netns: NetworkNamespace, sender: socket.socket
) -> None:
    with opened(netns) as port:
        sender.bind(("10.77.0.1", PORT))
        sender.setsockopt(SOL_UDP, UDP_GRO, 1)
        port.send(burst(netns, bytes(60000), 1000), 0.0)
        data, messages, _, _ = sender.recvmsg(65535, 100)
        assert len(data) == 60000
        assert [message[:2] for message in messages] == [(SOL_UDP, UDP_GRO)]


def test_more_pieces_than_a_kernel_takes_are_cut_before(
    netns: NetworkNamespace, sender: socket.socket
) -> None:
    with opened(netns) as port:
        sender.bind(("10.77.0.1", PORT))
        port.send(burst(netns, bytes(200), 1), 0.0)
        assert port.counters == {}
        assert [len(sender.recv(2000)) for _ in range(200)] == [1] * 200


def test_a_batch_ends_before_bursts_fill_a_receive_buffer(
    netns: NetworkNamespace, sender: socket.socket
) -> None:
    driver = Driver()
    batches: list[int] = []
    with opened(netns) as port:
        for _ in range(20):
            by_message(sender, bytes(60_000), 1000)

        def sink(frame: Frame, now: float) -> None:
            if frame.gso_bytes:
                batches.append(driver.batches)
                if len(batches) == 20:
                    port.close()

        async def main() -> None:
            with trio.fail_after(30):
                await port.run(driver)

        port.attach(sink)
        trio.run(main)
    assert max(batches.count(batch) for batch in batches) == 8


def burst(netns: NetworkNamespace, payload: bytes, each_bytes: int) -> Frame:
    """Return a burst from port 7 to ours, its checksum left open."""
    body = bytearray(udp.pack(B, A, 7, PORT, payload))
    length = len(body)
    total = sum((B >> 16, B & 0xFFFF, A >> 16, A & 0xFFFF, 17, length))
    body[6:8] = ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
    frame = to_the_kernel(netns, ipv4.UDP, bytes(body), gso_bytes=each_bytes)
    assert frame.checksum == CHECKSUM_PARTIAL
    return frame


def test_v_says_what_the_kernel_has_granted(stack_up: StackUp) -> None:
    stack = stack_up("-v")
    assert stack.stop() == 0
    assert "tap0: offload: checksums, TSO, TSO with ECN, USO" in stack.log


def test_the_echo_service_answers_a_burst(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, sender: socket.socket
) -> None:
    stack = stack_up("--serve", "echo", "-v", offload)
    sender.connect(("10.77.0.2", 7))
    sender.send(b"hello")
    assert sender.recv(100) == b"hello"
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sender.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
    data = bytes(range(250)) * 240 + b"end"
    sender.send(data)
    parts = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    assert [sender.recv(2000) for _ in parts] == parts
    sender.connect(("10.77.0.2", 9))
    sender.send(data)
    with pytest.raises(ConnectionRefusedError):
        sender.recv(100)
    assert stack.stop() == 0
    assert "'udp_datagrams_in': 62" in stack.log
    assert "'udp_no_port': 61" in stack.log
    assert "'udp_datagrams_out': 62" in stack.log


def test_a_capture_has_each_datagram_with_its_checksum(
    stack_up: StackUp, tmp_path: Path, sender: socket.socket
) -> None:
    path = tmp_path / "run.pcap"
    stack = stack_up("--serve", "echo", "--pcap", str(path))
    sender.connect(("10.77.0.2", 7))
    sender.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
    sender.send(bytes(2500))
    assert [len(sender.recv(2000)) for _ in range(3)] == [1000, 1000, 500]
    assert stack.stop() == 0
    with path.open("rb") as file:
        frames = [Frame(data) for _, data in dpkt.pcap.Reader(file)]
    assert [len(payload) for payload in payloads(frames)] == [1000, 1000, 500] * 2


@contextmanager
def inside(netns: NetworkNamespace) -> Iterator[pystack.TapHostConfig]:
    """Let a host of ours open its TAP inside the namespace."""
    with netns.entered():
        yield pystack.TapHostConfig("tap0", seed=1)


def test_without_observers_bursts_go_in_and_out_whole(
    netns: NetworkNamespace, sender: socket.socket
) -> None:
    async def main(config: pystack.TapHostConfig) -> None:
        async with pystack.tap_host(config) as host, await host.open_udp_socket(PORT) as ours:
            await trio.to_thread.run_sync(sender.sendto, b"hello", ("10.77.0.2", PORT))
            _, peer = await ours.receive_from()
            await trio.to_thread.run_sync(by_option, sender, b"".join(datagrams), 1000)
            assert [await ours.receive_from() for _ in datagrams] == [
                (datagram, peer) for datagram in datagrams
            ]
            assert host.counters["udp_datagrams_in"] == 51
            await ours.send_many_to(datagrams, peer)
            for datagram in datagrams:
                assert await trio.to_thread.run_sync(sender.recv, 2000) == datagram
            assert host.counters["udp_datagrams_out"] == 50

    datagrams = [bytes([number]) * 1000 for number in range(49)] + [b"the last is shorter"]
    with inside(netns) as config:
        trio.run(main, config)
