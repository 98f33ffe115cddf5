"""TapPort on a real TAP: what the kernel and the port make of each other."""

import array
import fcntl
import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import trio
import trio.testing
from netns import NetworkNamespace

from pystack.core.addresses import parse_interface_address, parse_ip4, parse_mac
from pystack.core.errors import DeviceError
from pystack.runtime.device.tap import TapPort
from pystack.runtime.device.tap_device import takes_big_tcp
from pystack.wire import arp, ethernet, ipv4, tcp, udp
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame, completed

pytestmark = pytest.mark.kernel

HOST: Final = parse_interface_address("10.77.0.1/24")
A, B = parse_ip4("10.77.0.1"), parse_ip4("10.77.0.2")
MAC_B: Final = parse_mac("02:00:00:00:00:02")


class Driver:
    """Counts batches; the time is the number of batches so far."""

    paused = False

    def __init__(self) -> None:
        self.batches = 0

    async def goes_on(self) -> None: ...

    def batch_begins(self) -> float:
        return float(self.batches)

    def batch_done(self, now: float) -> None:
        self.batches += 1


@contextmanager
def opened(
    netns: NetworkNamespace, *, offload: bool = True, mtu_bytes: int = 1500
) -> Iterator[TapPort]:
    """Open tap0 with the kernel's usual address, and tell the kernel where 10.77.0.2 is."""
    with netns.entered():
        port = TapPort.open("tap0", host_addresses=[HOST], offload=offload, mtu_bytes=mtu_bytes)
    try:
        netns.run(["ip", "neigh", "replace", "10.77.0.2", "lladdr", MAC_B.hex(":"), "dev", "tap0"])
        yield port
    finally:
        port.close()


def interface(netns: NetworkNamespace, name: str = "tap0") -> dict[str, Any]:
    """Return what `ip address show` tells; empty if there is no such interface."""
    result = netns.run(["ip", "-j", "address", "show", "dev", name], expect=None)
    return dict(json.loads(result.stdout)[0]) if result.returncode == 0 else {}


def ip4_addresses(netns: NetworkNamespace) -> list[str]:
    return [
        f"{address['local']}/{address['prefixlen']}"
        for address in interface(netns)["addr_info"]
        if address["family"] == "inet"
    ]


def segments_for_us(netns: NetworkNamespace) -> bool:
    """Tell whether the kernel would make super-frames for tap0 (ETHTOOL_GTSO)."""
    value = array.array("I", [0x1E, 0])
    request = struct.pack("16sP16x", b"tap0", value.buffer_info()[0])
    with netns.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, 0x8946, request)  # SIOCETHTOOL
    return bool(value[1])


def collect(port: TapPort, enough: Callable[[list[Frame]], bool]) -> list[Frame]:
    """Run the port until what has arrived is enough; other frames than IPv4's are left out."""
    frames: list[Frame] = []

    def sink(frame: Frame, now: float) -> None:
        if frame.data[12:14] == b"\x08\x00":
            frames.append(frame)
            if enough(frames):
                port.close()

    async def main() -> None:
        with trio.fail_after(30):
            await port.run(Driver())

    port.attach(sink)
    trio.run(main)
    return frames


def test_the_kernels_end_has_its_address_and_mtu_and_is_up(netns: NetworkNamespace) -> None:
    with opened(netns, mtu_bytes=1400) as port:
        found = interface(netns)
        assert ip4_addresses(netns) == ["10.77.0.1/24"]
        assert (found["mtu"], port.mtu_bytes) == (1400, 1400)
        assert "UP" in found["flags"]
        route = "10.77.0.0/24 dev tap0 proto kernel scope link src 10.77.0.1"
        assert netns.run(["ip", "route"]).stdout.decode().strip() == route
        assert not os.get_inheritable(port._fd)
        assert not os.get_blocking(port._fd)


def test_without_a_host_address_the_kernels_end_has_none(netns: NetworkNamespace) -> None:
    with netns.entered():
        port = TapPort.open("tap0", host_addresses=())
    assert ip4_addresses(netns) == []
    assert "UP" in interface(netns)["flags"]
    assert port.gso_max_bytes == 65_455  # whoever is behind it may not take larger ones
    port.close()


def test_close_removes_the_interface_and_leaves_nothing_open(netns: NetworkNamespace) -> None:
    before = os.listdir("/proc/self/fd")
    with opened(netns) as port:
        pass
    port.close()
    assert interface(netns) == {}
    assert os.listdir("/proc/self/fd") == before


def test_offload_is_what_was_asked_for(netns: NetworkNamespace) -> None:
    with opened(netns) as port:
        assert port.fills_checksums
        assert port.gso_max_bytes == (524_288 if takes_big_tcp(os.uname().release) else 65_455)
        assert segments_for_us(netns)
    with opened(netns, offload=False) as port:
        assert not port.fills_checksums
        assert port.gso_max_bytes == 0
        assert not segments_for_us(netns)


def test_more_frames_wait_for_us_where_they_may_be_super_frames(netns: NetworkNamespace) -> None:
    with opened(netns):
        assert interface(netns)["txqlen"] == 4096
    with opened(netns, offload=False):  # a bulk transfer would only make all else wait longer
        assert interface(netns)["txqlen"] == 1000


def test_a_length_that_somebody_has_chosen_for_the_queue_stays(netns: NetworkNamespace) -> None:
    netns.run(["ip", "tuntap", "add", "tap0", "mode", "tap"])
    netns.run(["ip", "link", "set", "tap0", "txqueuelen", "192"])
    with opened(netns):
        assert interface(netns)["txqlen"] == 192


def test_a_persistent_tap_is_taken_over_and_given_back_as_it_was(netns: NetworkNamespace) -> None:
    netns.run(["ip", "tuntap", "add", "tap0", "mode", "tap"])
    netns.run(["ip", "address", "add", "10.77.0.1/24", "dev", "tap0"])
    with opened(netns) as port:
        assert port.fills_checksums
        assert ip4_addresses(netns) == ["10.77.0.1/24"]
    assert interface(netns)
    assert not segments_for_us(netns)  # the next owner may not understand super-frames


@pytest.mark.parametrize("offload", [True, False])
def test_a_datagram_of_the_kernel_arrives_with_a_checksum_that_can_be_had(
    netns: NetworkNamespace, offload: bool
) -> None:
    with opened(netns, offload=offload) as port:
        with netns.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", ("10.77.0.2", 7777))
        frames = collect(port, lambda got: got[-1].data[23] == ipv4.UDP)
    frame = frames[-1]
    assert (frame.checksum == CHECKSUM_PARTIAL) is offload
    packet = ipv4.parse(memoryview(completed(frame).data)[14:])
    assert bytes(udp.parse(packet).payload) == b"hello"  # raises if the checksum is wrong


@pytest.mark.parametrize("offload", [True, False])
@pytest.mark.parametrize("size", [0, 1, 1472])
def test_a_datagram_with_its_checksum_left_open_reaches_a_socket(
    netns: NetworkNamespace, offload: bool, size: int
) -> None:
    with opened(netns, offload=offload) as port, netns.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.settimeout(30)
        with receiver:
            receiver.bind(("10.77.0.1", 7777))
            body = bytearray(udp.pack(B, A, 7, 7777, bytes(size)))
            body[6:8] = sum((B >> 16, B & 0xFFFF, A >> 16, A & 0xFFFF, 17, 8 + size)).to_bytes(
                3, "big"
            )[1:]
            port.send(to_the_kernel(netns, ipv4.UDP, bytes(body)), 0.0)
            assert receiver.recvfrom(2000) == (bytes(size), ("10.77.0.2", 7))
        assert port.counters == {}


@pytest.mark.parametrize("offload", [True, False])
def test_a_super_frame_is_taken_whole_or_in_pieces(netns: NetworkNamespace, offload: bool) -> None:
    # To a port where nobody listens, and without ACK: its reset acknowledges all that it believed
    # to be a valid segment, data included.
    segment = tcp.Segment(80, 9999, 2**32 - 100, 0, tcp.PSH, 5, b"\1" * 12, bytes(60000))
    body = tcp.pack_header(segment, B, A, partial=True) + segment.payload
    with opened(netns, offload=offload) as port:
        port.send(to_the_kernel(netns, ipv4.TCP, body, gso_bytes=1448), 0.0)
        frames = collect(port, lambda got: reset_ack(got[-1]) == 60000 - 100)
        assert port.counters == {}
    acks = [reset_ack(frame) for frame in frames if frame.data[23] == ipv4.TCP]
    pieces = [(end - 100) & 0xFFFFFFFF for end in (*range(1448, 60000, 1448), 60000)]
    assert acks == ([60000 - 100] if offload else pieces)


def reset_ack(frame: Frame) -> int:
    """Return what the reset in a frame acknowledges; 0 if it is none."""
    packet = ipv4.parse(memoryview(completed(frame).data)[14:])
    if packet.proto != ipv4.TCP:
        return 0
    segment = tcp.parse(packet)
    return segment.ack if segment.flags & tcp.RST else 0


def to_the_kernel(netns: NetworkNamespace, proto: int, body: bytes, gso_bytes: int = 0) -> Frame:
    """Return a frame from 10.77.0.2 to tap0 whose checksum is still to be filled in."""
    mac = bytes.fromhex(interface(netns)["address"].replace(":", ""))
    packet = ipv4.pack_header(B, A, proto, len(body)) + body
    return Frame(ethernet.pack(mac, MAC_B, ethernet.IPV4, packet), CHECKSUM_PARTIAL, gso_bytes)


def test_many_frames_come_in_batches_and_none_is_lost(netns: NetworkNamespace) -> None:
    with opened(netns) as port:
        with netns.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(400):
                sender.sendto(number.to_bytes(2, "big"), ("10.77.0.2", 7777))
        frames = collect(port, lambda got: got[-1].data[42:44] == (399).to_bytes(2, "big"))
    numbers = [frame.data[42:44] for frame in frames if frame.data[23] == ipv4.UDP]
    assert numbers == [number.to_bytes(2, "big") for number in range(400)]


def test_frames_for_an_interface_that_is_down_are_counted(netns: NetworkNamespace) -> None:
    reply = arp.pack(arp.REPLY, MAC_B, B, A)
    frame = Frame(ethernet.pack(b"\xff" * 6, MAC_B, ethernet.ARP, reply))
    with opened(netns) as port:
        port.send(frame, 0.0)
        assert port.counters == {}
        netns.run(["ip", "link", "set", "tap0", "down"])
        port.send(frame, 0.0)
        port.send(frame, 0.0)
        assert port.counters == {"tap_down": 2}
        netns.run(["ip", "link", "set", "tap0", "up"])
        port.send(frame, 0.0)
        assert port.counters == {"tap_down": 2}


def test_what_the_kernel_refuses_is_counted(netns: NetworkNamespace) -> None:
    with opened(netns) as port:
        port.send(Frame(b"too short"), 0.0)
        assert port.counters == {"tap_refused": 1}


def test_a_device_that_is_deleted_ends_the_run_with_one_sentence(netns: NetworkNamespace) -> None:
    async def delete() -> None:
        await trio.testing.wait_all_tasks_blocked()
        netns.run(["ip", "link", "del", "tap0"])

    async def main(port: TapPort) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(delete)
            with pytest.raises(DeviceError, match=r"^tap0 has gone \(was it deleted\?\)$"):
                await port.run(Driver())

    with opened(netns) as port:
        port.attach(lambda frame, now: None)  # the kernel has things to say over IPv6
        trio.run(main, port)
        port.send(Frame(bytes(60)), 0.0)
        assert port.counters == {"tap_gone": 1}
