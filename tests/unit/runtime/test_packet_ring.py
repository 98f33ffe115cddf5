"""The memory in which the kernel lays frames down for us, and how the port goes round in it."""

import errno
import mmap
import os
import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.runtime.device.packet_device import PacketDevice, Ring, ring_for
from pystack.runtime.device.packet_port import PacketPort

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="packet sockets are Linux's")


@given(st.integers(68, 65535), st.booleans())
def test_any_frame_has_room_in_a_slot_and_slots_lie_within_their_block(
    mtu_bytes: int, offload: bool
) -> None:
    ring = ring_for(mtu_bytes, offload=offload)
    most = 65535 if offload else mtu_bytes
    assert ring.slot_bytes >= 96 + 14 + most
    assert ring.slot_bytes % 16 == 0  # TPACKET_ALIGNMENT
    assert ring.slots == ring.blocks * ring.slots_in_block
    assert ring.total_bytes <= 17 << 20
    starts = ring.starts()
    assert len(set(starts)) == ring.slots
    for start in starts:
        assert start >> 20 == (start + ring.slot_bytes - 1) >> 20
    assert starts[-1] + ring.slot_bytes <= ring.total_bytes


def test_a_device_of_usual_frames_takes_two_megabytes_and_one_with_offload_seventeen() -> None:
    assert ring_for(1500, offload=False).total_bytes == 2 << 20
    assert ring_for(1500, offload=True).total_bytes == 17 << 20


class Kernel:
    """A device of which the test is the kernel: a socket, and memory of the test's own."""

    LEAD = 76

    def __init__(self, ring: Ring, *, offload: bool = False) -> None:
        self.ring, self.starts, self.number = ring, ring.starts(), 0
        ours, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memory = mmap.mmap(-1, ring.total_bytes)
        self.device = PacketDevice("eth0", ours.detach(), ring, memory, offload=offload)

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.device.close()
        self.end.close()

    def lay_down(self, data: bytes, *, length: int | None = None, header: bytes = b"") -> bool:
        """Fill the next slot; False: it is not free."""
        memory, at = self.device.memory, self.starts[self.number]
        assert memory is not None
        if memory[at]:
            return False
        start = at + self.LEAD
        memory[start - len(header) : start + len(data)] = header + data
        length = len(data) if length is None else length
        memory[at : at + 14] = struct.pack("=IIIH", 1, length, len(data), self.LEAD)
        self.number = (self.number + 1) % self.ring.slots
        return True


def read(port: PacketPort) -> bytes:
    return port._read(2000)


def test_frames_are_taken_in_order_and_their_slots_are_free_again() -> None:
    with Kernel(Ring(slot_bytes=1 << 18, slots=8)) as kernel:  # in two blocks
        port = PacketPort(kernel.device, 1500)
        sent = [bytes([number]) * 60 for number in range(20)]
        got = []
        for start in range(0, 20, 5):
            for frame in sent[start : start + 5]:
                assert kernel.lay_down(frame)
            got += [read(port) for _ in range(5)]
            with pytest.raises(BlockingIOError):
                read(port)
        assert got == sent
        port.close()
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            read(port)
        port.close()


def test_a_full_ring_is_the_kernels_trouble_and_goes_on_when_it_is_read() -> None:
    with Kernel(Ring(slot_bytes=1 << 18, slots=4)) as kernel:
        port = PacketPort(kernel.device, 1500)
        taken = [kernel.lay_down(bytes([number]) * 60) for number in range(5)]
        assert taken == [True] * 4 + [False]
        assert read(port)[0] == 0
        assert kernel.lay_down(b"\4" * 60)
        assert [read(port)[0] for _ in range(4)] == [1, 2, 3, 4]
        port.close()


def test_a_frame_that_was_cut_off_is_as_long_as_one_that_is_counted_as_that() -> None:
    with Kernel(Ring(slot_bytes=1 << 18, slots=4)) as kernel:
        port = PacketPort(kernel.device, 1500)
        kernel.lay_down(b"a" * 60, length=70000)
        assert len(read(port)) == 2000
        port.close()


def test_with_offload_the_header_comes_with_the_frame() -> None:
    with Kernel(Ring(slot_bytes=1 << 18, slots=4), offload=True) as kernel:
        port = PacketPort(kernel.device, 1500)
        kernel.lay_down(b"a" * 60, header=b"0123456789")
        assert read(port) == b"0123456789" + b"a" * 60
        port.close()
