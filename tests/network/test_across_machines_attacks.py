"""Links to other machines, whatever the machine's socket says and whoever sends what."""

from __future__ import annotations

import errno
import gc
import os
import random
import socket
import struct
import sys
from collections.abc import Callable, Sequence

import pytest
import trio
from other_machine import KEY, Stranger, free_ports, hosts, run, stranger, two_sides, until

import pystack
from pystack.core.addresses import parse_ip
from pystack.runtime.vxlan.endpoint import Endpoint, Endpoints
from pystack.runtime.vxlan.session import Session, key_of
from pystack.runtime.vxlan.udp_socket import SOL_UDP, UDP_SEGMENT
from pystack.wire import ethernet, ipv4, tcp, vxlan
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame


class Troubled:
    """A socket that says what it is told to; None: it sends."""

    def __init__(self, real: socket.socket, says: Sequence[int | None], *, cuts: bool) -> None:
        self._real, self._says, self._cuts = real, list(says), cuts
        self.sent: list[int] = []  # the lengths

    def sendmsg(self, parts: Sequence[bytes], ancillary: Sequence[object], *rest: object) -> int:
        if ancillary and not self._cuts:
            raise OSError(errno.EINVAL, "no UDP_SEGMENT here")
        number = self._says.pop(0) if self._says else None
        if number is not None:
            raise OSError(number, os.strerror(number))  # EAGAIN: BlockingIOError
        self.sent.append(sum(map(len, parts)))
        return self.sent[-1]

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def the_endpoint(net: pystack.Network) -> Endpoint:
    found = net.driver.kept[Endpoints]
    assert isinstance(found, Endpoints)
    (endpoint,) = found._open.values()
    return endpoint


TRAIN = [Frame(ethernet.pack(bytes(6), bytes(6), 0x9000, bytes(100))) for _ in range(5)]


@pytest.mark.parametrize(
    ("says", "cuts", "sent", "counted"),
    [
        ([], True, [610], {}),
        ([], False, [122] * 5, {}),
        ([errno.EAGAIN], True, [], {"vxlan_buffer_full": 5}),
        ([errno.ENOBUFS] * 2, True, [], {"vxlan_buffer_full": 5}),
        ([errno.ENOBUFS] * 4, False, [122] * 3, {"vxlan_buffer_full": 2}),
        ([errno.ECONNREFUSED], True, [610], {}),  # of what was sent before
        ([errno.ENETUNREACH] * 2, True, [], {"vxlan_not_sent": 5}),
        ([errno.ENETDOWN] * 4, False, [122] * 3, {"vxlan_not_sent": 2}),
        ([errno.EPERM] * 2, True, [], {"vxlan_not_sent": 5}),
        ([errno.EMSGSIZE] * 2, True, [122] * 5, {}),  # of the train alone
        ([errno.EMSGSIZE] * 12, True, [], {"vxlan_too_large": 5}),
        ([errno.EIO] * 2, True, [122] * 5, {}),
    ],
)
def test_whatever_the_socket_says_is_counted_by_name(
    says: list[int | None],
    cuts: bool,
    sent: list[int],
    counted: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net) as there:
            endpoint = the_endpoint(net)
            (port,) = endpoint._members.values()
            port._depart(net.now())  # type: ignore[attr-defined]
            port.counters.clear()
            troubled = Troubled(endpoint.socket, says, cuts=cuts)
            with monkeypatch.context() as patch:
                patch.setattr(endpoint, "socket", troubled)
                for frame in TRAIN:
                    port.send(frame, net.now())  # type: ignore[attr-defined]
                port._depart(net.now())  # type: ignore[attr-defined]
            assert troubled.sent == sent
            assert there.link.counters == counted

    run(main)


def hostile(rng: random.Random, size: int, mac: bytes) -> bytes:
    """Return a frame of that size that is nearly right."""
    frame = bytearray(rng.randbytes(size))
    if size >= 60:
        frame[:12] = mac + bytes(5) + b"\x02"
        frame[12:14] = rng.choice((b"\x08\x00", b"\x86\xdd", b"\x08\x06"))
        frame[14] = 0x45 if frame[12] == 8 else 0x60
        frame[20:24] = bytes((0x40, 0, 64, rng.choice((1, 6, 17))))
        frame[16:18] = (size - rng.choice((14, 0, 15))).to_bytes(2, "big")
        if frame[12] == 0x86:
            frame[18:21] = (size - 54 & 0xFFFF).to_bytes(2, "big") + bytes(
                (rng.choice((0, 6, 44)),)
            )
        else:
            total = int.from_bytes(frame[26:34], "big") + frame[23] + size - 34
            for at in (40, 50):  # the sum of the pseudo-header alone
                frame[at : at + 2] = (total % 0xFFFF).to_bytes(2, "big")
            frame[24:26] = bytes(2)
            frame[24:26] = ipv4.checksum(frame[14:34]).to_bytes(2, "big")
    return bytes(frame)


async def met(there: Stranger, key: str | None) -> Callable[[bytes], bytes]:
    """Meet the other end, where there is a key, and return what wraps a frame for it."""
    if key is None:
        return lambda frame: vxlan.pack_header(7) + frame
    mine = Session(key_of(key), 7)
    there.send(mine.hello())
    while not mine.is_open:
        _, answer = mine.open(memoryview(await there.receive()), 0.0)
        if answer is not None:
            there.send(answer)
    return lambda frame: b"".join(mine.seal((frame,)))


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "keyed"])
def test_frames_of_all_lengths_end_nothing(key: str | None) -> None:
    async def main(net: pystack.Network) -> None:
        words = {} if key is None else {"key": key}
        async with stranger(net, vni=7, offload=True, **words) as there:
            mac, rng = bytes(there.host.interfaces[1].mac), random.Random(1)
            datagram = await met(there, key)
            number = 0
            for size in (*range(200), *range(200, 9000, 97)):
                frame = hostile(rng, size, mac)
                there.send(datagram(frame))
                there.send(rng.randbytes(size))
                if not (number := number + 1) % 20:
                    await trio.lowlevel.checkpoint()
            last = ethernet.pack(mac, b"\2" + bytes(5), 0x9000, b"last")
            there.send(datagram(last))
            await until(lambda: there.host.counters["eth_unknown_type"])
            assert there.link.counters["vxlan_truncated"]

    run(main)


def send_train(sock: socket.socket, datagrams: list[bytes]) -> None:
    """Send datagrams of one length but the last as the kernel hands them on: in one piece."""
    each = struct.pack("=H", len(datagrams[0]))
    sock.sendmsg([b"".join(datagrams)], [(SOL_UDP, UDP_SEGMENT, each)])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands datagrams on in one piece")
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "keyed"])
def test_trains_of_any_datagrams_end_nothing(key: str | None) -> None:
    async def main(net: pystack.Network) -> None:
        words = {} if key is None else {"key": key}
        async with stranger(net, vni=7, offload=True, **words) as there:
            mac, rng = bytes(there.host.interfaces[1].mac), random.Random(1)
            datagram = await met(there, key)
            for size in (*range(100), *range(100, 1200, 97)):
                train = [datagram(hostile(rng, size, mac)) for _ in range(6)]
                one, each = rng.randrange(6), len(train[0])
                train[one] = rng.choice(
                    (
                        rng.randbytes(each),
                        train[one - 1],
                        vxlan.pack_header(8) + train[one][8:],
                        train[one][:-1] + b"?",
                    )
                )
                train.append(train[-1][: rng.randrange(1, each + 1)])
                send_train(there.socket, train)
                await trio.lowlevel.checkpoint()
            frame = ethernet.pack(mac, b"\2" + bytes(5), 0x9000, b"last")
            send_train(there.socket, [datagram(frame) for _ in range(3)])
            await until(lambda: there.host.counters["eth_unknown_type"] >= 3)
            counters = there.link.counters
            assert counters["vxlan_wrong_vni"]
            assert counters["vxlan_bad_flags"]
            assert counters["vxlan_truncated"]

    run(main)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands datagrams on in one piece")
def test_each_of_a_train_goes_to_the_link_of_its_vni() -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, vni=7) as there:
            mac = bytes(there.host.interfaces[1].mac)
            frame = ethernet.pack(mac, b"\2" + bytes(5), 0x9000, b"one")
            vnis = [7, 7, 8, 7, 9, 9, 7]
            send_train(there.socket, [vxlan.pack_header(vni) + frame for vni in vnis])
            await until(lambda: there.host.counters["eth_unknown_type"] == 4)
            assert there.link.counters == {"vxlan_wrong_vni": 3}

    run(main)


def test_a_flood_of_strangers_leaves_nothing_behind() -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, vni=7, key=KEY, source_ports=4) as there:
            to, rng = there.socket.getpeername(), random.Random(1)
            (port,) = the_endpoint(net)._members.values()
            sent = 0
            for number in range(100):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind((f"127.0.{number % 2}.{number % 50 + 1}", 0))
                    for kind in (vxlan.DATA, vxlan.HELLO, 7):
                        head = vxlan.pack_keyed(7, kind, rng.randbytes(8), number)
                        sock.sendto(head + rng.randbytes(100), to)
                        sent += 1
                if number % 10 == 0:
                    await trio.lowlevel.checkpoint()

            def refused() -> int:
                counters = there.link.counters
                return sum(counters.values()) - counters.get("vxlan_held", 0)

            await until(lambda: refused() >= sent)
            assert there.link.counters["vxlan_wrong_source"] == 3 * 98
            assert len(port._held) < 10  # type: ignore[attr-defined]
            assert not the_endpoint(net)._sources

    run(main)


def test_it_may_be_cancelled_at_any_step() -> None:
    class At(trio.abc.Instrument):
        def __init__(self, step: int) -> None:
            self.step, self.steps = step, 0
            self.scope: trio.CancelScope | None = None

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.steps += 1
            if self.steps == self.step and self.scope is not None:
                self.scope.cancel()

    async def main(instrument: At) -> None:
        with trio.CancelScope() as scope:
            instrument.scope = scope
            async with two_sides(source_ports=2) as links:
                a, _ = hosts(*links)
                await a.ping("10.0.0.2", timeout_s=9)
                for link in links:
                    link.close()
                    await trio.lowlevel.checkpoint()

    before, step = len(os.listdir("/proc/self/fd")), 0
    while True:
        instrument = At(step := step + 1)
        trio.run(main, instrument, instruments=[instrument])
        if instrument.steps < step:
            break
    assert step > 20
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_key_is_changed_by_starting_both_sides_again() -> None:
    async def main(net: pystack.Network) -> None:
        here, there = free_ports(2)
        b = net.host("b", address="10.0.0.2/24")
        link = net.link(b, f"udp://127.0.0.1:{here}", listen=f"127.0.0.1:{there}", key=KEY)
        net.settle()
        for key in ("the key of before", KEY):
            async with pystack.Network(seed=8) as other:
                a = other.host("a", address="10.0.0.1/24")
                other.link(a, f"udp://127.0.0.1:{there}", listen=f"127.0.0.1:{here}", key=key)
                other.settle()
                if key == KEY:
                    assert await a.ping("10.0.0.2", timeout_s=9) < 9
                else:
                    await until(lambda: link.counters.get("vxlan_bad_tag"))

    run(main)


def test_a_frame_with_an_open_checksum_arrives_as_one() -> None:
    """Where there is a key nobody computes it: the tag vouches for what is in it."""

    async def main() -> None:
        with trio.fail_after(30):
            async with two_sides(keys=(KEY, KEY)) as (link, other):
                a, b = hosts(link, other)
                await a.ping("10.0.0.2", timeout_s=9)
                src, dst = parse_ip("10.0.0.1"), parse_ip("10.0.0.2")
                segment = tcp.Segment(1, 2, 3, 4, tcp.ACK, 5, b"", b"text")
                body = tcp.pack_header(segment, src, dst, partial=True) + b"text"
                head = ipv4.pack_header(src, dst, 6, len(body))
                macs = (bytes(host.interfaces[1].mac) for host in (b, a))
                frame = ethernet.pack(*macs, ethernet.IPV4, head + body)
                seen: list[Frame] = []
                other.b.attach(lambda arrived, _now: seen.append(arrived))
                link.a.send(Frame(frame, CHECKSUM_PARTIAL), link.network.now())
                await until(lambda: seen)
                assert (seen[0].data, seen[0].checksum) == (frame, CHECKSUM_PARTIAL)

    trio.run(main)
