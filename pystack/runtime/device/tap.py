"""TapPort: a Port whose other end is the kernel's network interface of that name.

Frames come in batches, all of which have one `now`; they go out at once, each with one write. With
offload, super-frames of up to 64 KiB pass in one piece, and checksums are the kernel's business.
"""

import errno
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol, Self

import trio

from pystack.core.addresses import Ip, Prefix
from pystack.core.errors import DeviceError, WireError
from pystack.link.port import PortBase
from pystack.runtime.device import virtio_net
from pystack.runtime.device.tap_device import VNET_HEADER_BYTES, TapDevice, open_tap, takes_big_tcp
from pystack.runtime.driver.freed_memory import keep_freed_memory
from pystack.wire import ipv4, udp
from pystack.wire.checksum import Buffer
from pystack.wire.frame import (
    BIG_TEXT_BYTES,
    CHECKSUM_PARTIAL,
    SUPER_TEXT_BYTES,
    Frame,
    SuperFrame,
    cut_down,
    is_burst,
    split,
)

# A batch is worth one wait (14 us) and one run of the pump; more would keep other tasks waiting.
_BATCH_FRAMES: Final = 64
# Nothing holds a sender of datagrams back: its bursts are handed on before they fill the receive
# buffer (1 MiB). With 64 of them in a batch 88 % were lost there, with 8 a third.
_BURSTS_BYTES: Final = 448 << 10
_QUEUE_FRAMES: Final = 1000  # as the kernel's txqueuelen
# The largest IP packet, and room for what may stand before it (Ethernet, VLAN tags).
_MOST_BYTES: Final = ipv4.MAX_PACKET_BYTES + 64
_BULK_BYTES: Final = 65536  # a batch of more than that is part of a bulk transfer
_SMALL_BYTES: Final = 2048  # not worth looking whether it can be had without a copy
# It has no such pieces at the moment; what was to be written may be cut down, and is.
_TOO_BIG: Final = frozenset((errno.ENOBUFS, errno.ENOMEM, errno.EMSGSIZE, errno.EINVAL))


class BatchDriver(Protocol):
    """What the port needs of a driver (`pystack.runtime.driver.driver`)."""

    def batch_begins(self) -> float:
        """Return the world's time: a batch comes, and `batch_done` after it."""
        ...

    def batch_done(self, now: float) -> None:
        """Run what has become due, and what the batch of frames has left to do."""
        ...

    @property
    def paused(self) -> bool:
        """Tell whether time stands still, so that nothing is to be delivered."""
        ...

    async def goes_on(self) -> None:
        """Return when it does not."""
        ...


class TapPort(PortBase):
    """A TAP device of Linux as a Port."""

    __slots__ = (
        "_backlog",
        "_device",
        "_fd",
        "_has_backlog",
        "_header_of",
        "_offload",
        "fills_checksums",
        "gso_max_bytes",
        "name",
        "offloads",
        "uso_max_bytes",
    )

    def __init__(self, device: TapDevice, mtu_bytes: int, *, big: bool = False) -> None:
        """`big`: the kernel takes super-frames of more than 64 KiB."""
        super().__init__(mtu_bytes)
        self.name = device.name
        self.uso_max_bytes = udp.MAX_PAYLOAD_BYTES if device.cuts_datagrams else 0
        self.gso_max_bytes = 0
        if device.offload:
            self.gso_max_bytes = BIG_TEXT_BYTES if big else SUPER_TEXT_BYTES
        self.fills_checksums = device.offload
        self.offloads = device.granted + ", packets of 512 KiB" * big  # in words
        # tap_down, tap_gone, tap_closed, tap_refused, tap_queue_full: frames that were not sent;
        # tap_cut_down: one of more than 64 KiB that was sent in smaller ones;
        # tap_oversize, tap_unknown_gso, tap_bad_gso: frames that were not delivered
        self._device: TapDevice | None = device  # None: closed
        self._fd = device.fd
        self._offload = device.offload
        self._header_of = (
            virtio_net.header_of if device.cuts_datagrams else virtio_net.header_without_uso
        )
        self._backlog: deque[tuple[Buffer, ...]] = deque()
        self._has_backlog = trio.Event()

    @classmethod
    def open(
        cls,
        name: str,
        *,
        mtu_bytes: int = 1500,
        host_addresses: Sequence[tuple[Ip, Prefix]],  # of the kernel's end; (): leave it as it is
        offload: bool = True,
        peers: Sequence[Ip] = (),  # on our side: the kernel must send what is for them here
        tap: bool = True,
    ) -> Self:
        """Make or take over the TAP (else: the TUN) of that name. `ConfigError`, `DeviceError`."""
        device = open_tap(
            name,
            mtu_bytes=mtu_bytes,
            host_addresses=host_addresses,
            offload=offload,
            peers=peers,
            tap=tap,
        )
        if device.offload:
            keep_freed_memory()
        # Only for the kernel itself, where it has an address: not for whoever is behind a bridge.
        new_enough = tap and device.offload and takes_big_tcp(os.uname().release)
        big = new_enough and bool(host_addresses)
        return cls(device, mtu_bytes, big=big)

    def send(self, frame: Frame, now: float) -> None:
        """Write one frame, queue it, or count its loss. Never raises, never waits."""
        if self._offload:
            header = self._header_of(frame)
            if header is not None:
                if isinstance(frame, SuperFrame):
                    self._send_super(header, frame)
                else:
                    self._put((header, frame.data))
                return
        elif not frame.gso_bytes and frame.checksum != CHECKSUM_PARTIAL:
            self._put((frame.data,))
            return
        try:
            pieces = split(frame)
        except WireError as error:
            self.counters.add(error.reason)
            return
        lead = (bytes(VNET_HEADER_BYTES),) if self._offload else ()
        for piece in pieces:
            self._put((*lead, piece.data))

    def _send_super(self, header: bytes, frame: SuperFrame) -> None:
        parts = (header, frame.head, frame.payload, *frame.more)
        if len(frame) <= ipv4.MAX_PACKET_BYTES:
            self._put(parts)
        elif self._backlog or not self._written_big(parts):
            try:
                pieces = cut_down(frame, SUPER_TEXT_BYTES)
            except WireError as error:
                self.counters.add(error.reason)
                return
            for piece in pieces:
                self._put((header, piece.head, piece.payload))

    def _written_big(self, parts: tuple[Buffer, ...]) -> bool:
        """Write a super-frame of more than 64 KiB; False if it is to be tried in smaller ones."""
        try:
            os.writev(self._fd, parts)
        except OSError as error:
            if error.errno in _TOO_BIG:
                self.counters.add("tap_cut_down")
            return False
        return True

    async def run(self, driver: BatchDriver) -> None:
        """Deliver what arrives until the port is closed. Raises `DeviceError` if it vanishes."""
        problem: DeviceError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_backlog)
            try:
                await self._deliver_batches(driver)
            except DeviceError as error:
                problem = error
            nursery.cancel_scope.cancel()
        # Out here, for the nursery would wrap it into a group.
        if problem is not None:
            raise problem

    def close(self) -> None:
        """Give the device back. A second close does nothing."""
        if self._device is None:
            return
        super().close()
        if self._backlog:
            self.counters.add("tap_closed", len(self._backlog))
            self._backlog.clear()
        with suppress(RuntimeError):  # outside of Trio nobody waits for it
            trio.lowlevel.notify_closing(self._fd)
        self._fd = -1  # a number that nobody gets after us: what is still sent is counted
        self._device.close()
        self._device = None

    def _put(self, parts: tuple[Buffer, ...]) -> None:
        if not self._backlog and self._written(parts):
            return
        if len(self._backlog) >= _QUEUE_FRAMES:
            self.counters.add("tap_queue_full")
            return
        self._backlog.append(parts)
        self._has_backlog.set()

    def _written(self, parts: tuple[Buffer, ...]) -> bool:
        """Write; True also if the frame is lost for good, False if it is to be tried again."""
        try:
            os.writev(self._fd, parts)
        except BlockingIOError:
            return False
        except OSError as error:
            self.counters.add(self._why_lost(error.errno))
        return True

    def _why_lost(self, number: int | None) -> str:
        """Return the counter of a frame that the kernel did not take."""
        match number:
            case errno.EBADF:
                return "tap_closed"
            case errno.EIO:
                return "tap_down"
            case errno.EBADFD:
                return "tap_gone"
        return "tap_refused"

    async def _send_backlog(self) -> None:
        while True:
            await self._has_backlog.wait()
            while self._backlog:
                try:
                    await trio.lowlevel.wait_writable(self._fd)
                except trio.ClosedResourceError:
                    return
                while self._backlog and self._written(self._backlog[0]):
                    self._backlog.popleft()
            self._has_backlog = trio.Event()

    async def _deliver_batches(self, driver: BatchDriver) -> None:
        """Deliver until the port is closed; raises `DeviceError` when nothing can come any more."""
        while self._device is not None:
            try:
                await trio.lowlevel.wait_readable(self._fd)
            except trio.ClosedResourceError:
                return
            if driver.paused:
                await driver.goes_on()  # the kernel's queue holds it, and counts what it drops
            more = True
            while more:
                now = driver.batch_begins()
                try:
                    more = self._deliver_batch(now)
                finally:
                    driver.batch_done(now)
                if more:
                    await trio.lowlevel.checkpoint()

    def _read(self, most_bytes: int) -> bytes:
        return os.read(self._fd, most_bytes)

    def _deliver_batch(self, now: float) -> bool:
        """Deliver what is there, up to a batch; True if there may be more, or soon will be."""
        lead_bytes = VNET_HEADER_BYTES if self._offload else 0
        most = lead_bytes + _MOST_BYTES
        taken_bytes = burst_bytes = 0
        for _ in range(_BATCH_FRAMES):
            try:
                # As fast as to read into a buffer that is there already, and what was read needs
                # no second copy.
                raw = self._read(most)
            except BlockingIOError:
                # In a bulk transfer, to look once more costs less than to wait for what comes
                # next, and meanwhile those run who were woken.
                return taken_bytes > _BULK_BYTES
            except OSError as error:
                if self._device is None:  # closed by the receiver of the last frame
                    return False
                raise DeviceError(_why_ended(self.name, error)) from None
            size = len(raw)
            taken_bytes += size
            if size == most:
                self.counters.add("tap_oversize")  # and cut off by the kernel, without a word
                continue
            frame: Frame | None
            if not lead_bytes:
                frame = Frame(raw)
            elif size <= _SMALL_BYTES or (frame := virtio_net.super_frame_of(raw)) is None:
                try:
                    frame = virtio_net.frame_of(raw[:lead_bytes], raw[lead_bytes:])
                except WireError as error:
                    self.counters.add(error.reason)
                    continue
            self.sink(frame, now)
            if frame.gso_bytes and is_burst(frame):
                burst_bytes += size
                if burst_bytes > _BURSTS_BYTES:
                    return True
        return True


def _why_ended(name: str, error: OSError) -> str:
    if error.errno == errno.EBADFD:
        return f"{name} has gone (was it deleted?)"
    return f"reading from {name} failed: {error.strerror or error}"
