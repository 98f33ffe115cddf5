"""Frames of links to other machines: those that wait, tags, marks, ports, and NATs on the way."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

import pytest
import trio
from other_machine import (
    KEY,
    VERSIONS,
    free_ports,
    run,
    stranger,
    two_sides,
    until,
)

import pystack
from pystack.core.addresses import Ip, parse_ip
from pystack.runtime.vxlan.endpoint import Endpoints
from pystack.wire import ethernet, ipv4, ipv6, ipv6_ext, tcp, udp, vxlan
from pystack.wire.checksum import address_sum
from pystack.wire.frame import CHECKSUM_PARTIAL as PARTIAL
from pystack.wire.frame import Frame, completed


def test_what_is_sent_before_the_ends_have_met_arrives_when_they_have() -> None:
    async def main(net: pystack.Network) -> None:
        here, there = free_ports(2)
        a = net.host("a", address="10.0.0.1/24")
        link = net.link(a, f"udp://127.0.0.1:{there}", listen=f"127.0.0.1:{here}", key=KEY)
        frame = ethernet.pack(b"\xff" * 6, bytes(6), 0x9000, b"%d")
        for number in range(100):
            link.a.send(Frame(frame[:-2] + b"%02d" % number), net.now())
        async with pystack.Network(seed=8) as other:
            b = other.host("b", address="10.0.0.2/24")
            back = other.link(b, f"udp://127.0.0.1:{here}", listen=f"127.0.0.1:{there}", key=KEY)
            other.settle()  # from here on it is another station
            seen: list[bytes] = []
            back.a.attach(lambda arrived, _now: seen.append(arrived.data[-2:]))
            port = next(iter(net.driver.kept[Endpoints]._open.values()))  # type: ignore[attr-defined]
            await until(lambda: b"99" in seen)
            own = [text for text in seen if text.isdigit()]  # the host has had its say as well
            assert 50 <= len(own) <= 64
            assert own == [b"%02d" % number for number in range(100 - len(own), 100)]
            assert link.counters["vxlan_no_session"] == link.counters["vxlan_held"] - 64
            (member,) = port._members.values()
            assert not member._held
            assert member._held.held_bytes == 0

    run(main)


def test_what_waits_is_no_more_than_a_few_frames_and_not_for_long() -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, key=KEY) as there:
            frame = Frame(ethernet.pack(bytes(6), bytes(6), 0x9000, bytes(60_000)))
            (endpoint,) = net.driver.kept[Endpoints]._open.values()  # type: ignore[attr-defined]
            (port,) = endpoint._members.values()
            port.counters.clear()
            now = net.now()
            for _ in range(10):
                port.send(frame, now)
            assert port.counters["vxlan_held"] == 10
            assert len(port._held) == 4  # 256 KiB
            port._greet(now + 3)
            assert not port._held
            port.send(frame, now + 3)
            there.link.close()
            assert port.counters["vxlan_no_session"] == 11
            port.send(frame, now + 3)
            assert port.counters["port_closed"] == 1
            assert not port._held

    run(main)


class Nat:
    """Between two sockets of UDP: the one behind it comes from a port that may be another."""

    def __init__(self, inside: int, outside: int) -> None:
        self.inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.inner.bind(("127.0.0.1", 0))
        self.inner.connect(("127.0.0.1", inside))
        self._outside = outside
        self.outer = self.mapping()

    def mapping(self) -> socket.socket:
        outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        outer.bind(("127.0.0.1", 0))
        outer.connect(("127.0.0.1", self._outside))
        return outer

    async def run(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            for one, other in ((self.inner, self.outer), (self.outer, self.inner)):
                with suppress(BlockingIOError, ConnectionRefusedError):
                    other.send(one.recv(65536, socket.MSG_DONTWAIT))


def test_a_nat_may_choose_the_port_and_change_its_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pystack.runtime.vxlan.port.KEEP_EVERY_S", 0.05)

    async def main(net: pystack.Network) -> None:
        behind, before, nowhere = free_ports(3)
        nat = Nat(behind, before)
        inner = nat.inner.getsockname()[1]
        a = net.host("a", address="10.0.0.1/24")
        net.link(a, f"udp://127.0.0.1:{inner}", listen=f"127.0.0.1:{behind}", key=KEY)
        async with pystack.Network(seed=8) as other, trio.open_nursery() as nursery:
            nursery.start_soon(nat.run)
            b = other.host("b", address="10.0.0.2/24")
            other.link(b, f"udp://127.0.0.1:{nowhere}", listen=f"127.0.0.1:{before}", key=KEY)
            other.settle()
            for _ in range(2):
                assert await a.ping("10.0.0.2", timeout_s=9) < 9
                assert await b.ping("10.0.0.1", timeout_s=9) < 9
                nat.outer.close()
                nat.outer = nat.mapping()
                (port,) = next(iter(other.driver.kept[Endpoints]._open.values()))._members.values()  # type: ignore[attr-defined]
                await until(lambda port=port: port._to[1] == nat.outer.getsockname()[1])
            nursery.cancel_scope.cancel()
        nat.inner.close()
        nat.outer.close()

    run(main)


def test_a_nat_that_has_forgotten_is_followed_when_a_frame_comes() -> None:
    async def main(net: pystack.Network) -> None:
        behind, before, nowhere = free_ports(3)
        nat = Nat(behind, before)
        inner = nat.inner.getsockname()[1]
        a = net.host("a", address="10.0.0.1/24")
        link = net.link(a, f"udp://127.0.0.1:{inner}", listen=f"127.0.0.1:{behind}", key=KEY)
        async with pystack.Network(seed=8) as other, trio.open_nursery() as nursery:
            nursery.start_soon(nat.run)
            b = other.host("b", address="10.0.0.2/24")
            other.link(b, f"udp://127.0.0.1:{nowhere}", listen=f"127.0.0.1:{before}", key=KEY)
            other.settle()
            assert await a.ping("10.0.0.2", timeout_s=9) < 9
            ports = []
            for network in (net, other):
                (endpoint,) = network.driver.kept[Endpoints]._open.values()  # type: ignore[attr-defined]
                (port,) = endpoint._members.values()
                port._timer.cancel()  # no HELLO will say where it is
                ports.append(port)
            nat.outer.close()
            nat.outer = nat.mapping()
            link.a.send(Frame(ethernet.pack(b"\xff" * 6, bytes(6), 0x9000, bytes(50))), net.now())
            await until(lambda: ports[1]._to[1] == nat.outer.getsockname()[1])
            assert await b.ping("10.0.0.1", timeout_s=9) < 9
            nursery.cancel_scope.cancel()
        nat.inner.close()
        nat.outer.close()

    run(main)


def test_who_hears_nothing_greets_every_5_s_and_who_does_every_20() -> None:
    async def main(_net: pystack.Network) -> None:
        async with two_sides(keys=(KEY, KEY)) as (left, _right):
            (endpoint,) = left.network.driver.kept[Endpoints]._open.values()  # type: ignore[attr-defined]
            (port,) = endpoint._members.values()
            await until(lambda: port._session.is_open)
            ahead = left.network.now() + 1000  # nothing that really comes is as late
            greeted = []
            for heard, at in ((0, 0), (0, 4), (0, 5), (9, 10), (9, 14), (33, 33.5), (33, 34)):
                port._heard_at = ahead + heard
                port._timer.cancel()
                port._greet(ahead + at)
                greeted.append(port._greeted_at - ahead)
            # The last one before it was long ago: one is due at once.
            assert greeted == [0, 0, 5, 5, 14, 14, 34]

    run(main)


def test_flows_leave_from_ports_of_their_own_if_asked_to() -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, source_ports=4) as there:
            here = there.socket.getpeername()[1]
            there.socket.close()
            there.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            (endpoint,) = net.driver.kept[Endpoints]._open.values()  # type: ignore[attr-defined]
            (port,) = endpoint._members.values()
            there.socket.bind(port._to)
            for number in range(60):
                frame = ipv4.pack_header(number << 8 | 1, 2, 17, 8) + bytes(8)
                port.send(Frame(ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, frame)), 0.0)
                port.send(Frame(ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, frame)), 0.0)
            port._depart(0.0)
            flows: dict[bytes, set[int]] = {}
            for _ in range(120):
                datagram, sender = there.socket.recvfrom(65536)
                flows.setdefault(datagram[8 + 14 + 12 :], set()).add(sender[1])
            assert all(len(ports) == 1 for ports in flows.values())
            ports = set().union(*flows.values())
            assert len(ports) == 4
            assert here in ports
            assert all(each >= 49152 for each in ports - {here})
            there.link.close()
            there.socket.close()
            for each in ports:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind(("127.0.0.1", each))  # nobody has it

    run(main)


@pytest.mark.parametrize("passes", [False, True])
def test_vlan_tags_pass_only_if_asked_for(*, passes: bool) -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, vni=7, vlan_tags=passes) as there:
            plain = ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, bytes(60))
            tagged = plain[:12] + b"\x81\x00\x00\x05" + plain[12:]
            seen: list[bytes] = []
            there.link.a.attach(lambda arrived, _now: seen.append(arrived.data))
            for frame in (tagged, plain):
                there.send(vxlan.pack_header(7) + frame)
                there.link.a.send(Frame(frame), net.now())
            while (sent := (await there.receive())[8:]) not in (tagged, plain):
                pass
            await until(lambda: plain in seen)
            assert sent == (tagged if passes else plain)
            assert seen == ([tagged, plain] if passes else [plain])
            assert there.link.counters.get("vxlan_vlan_tag", 0) == (0 if passes else 2)

    run(main)


@VERSIONS
def test_marks_go_out_and_come_in(version: int) -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, version, vni=7) as there:
            level, receive, option = (
                (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS)
                if version == 6
                else (socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS)
            )
            there.socket.setsockopt(level, receive, 1)
            seen: list[int] = []
            there.link.a.attach(lambda arrived, _now: seen.append(arrived.data[15]))
            for mark in range(4):
                packet = ipv4.pack_header(1, 2, 17, 8, tos=mark) + bytes(8)
                frame = ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, packet)
                there.link.a.send(Frame(frame), net.now())
                found = None
                while found is None:
                    text, cargo, _flags, _to = await trio.to_thread.run_sync(
                        there.socket.recvmsg, 2000, 100
                    )
                    if text[8:] == frame:
                        found = cargo[0][2][0] & 3
                assert found == mark
                for outer in (3, 0):
                    there.socket.setsockopt(level, option, outer)
                    there.send(text)
            await until(lambda: len(seen) == 7)
            assert seen == [0, 3, 1, 3, 2, 3, 3]
            assert there.link.counters == {"vxlan_congested": 1}

    run(main)


def with_open_checksum(version: int, *, tos: int = 0, options: bytes = b"") -> Frame:
    """Return a datagram whose checksum is to be filled in; `options` of IPv4, or an extension."""
    src, dst = (parse_ip("fd00::8"), parse_ip("fd00::9")) if version == 6 else (Ip(8), Ip(9))
    body = udp.pack_header(5, 6, b"text", address_sum(src, dst), partial=True) + b"text"
    if version == 4:
        header = ipv4.pack_header(src, dst, ipv4.UDP, len(body), tos=tos, options=options)
        return Frame(ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, header + body), PARTIAL)
    proto = ipv6_ext.DESTINATION_OPTIONS if options else ipv4.UDP
    header = ipv6.pack_header(src, dst, proto, len(options) + len(body), tos=tos) + options
    return Frame(ethernet.pack(bytes(6), bytes(6), ethernet.IPV6, header + body), PARTIAL)


@pytest.mark.parametrize("offload", [True, False], ids=["gathers", ""])
@pytest.mark.parametrize(
    "frame",
    [
        with_open_checksum(4),
        with_open_checksum(4, tos=0xB8),
        with_open_checksum(4, options=bytes((1, 1, 1, 0))),
        with_open_checksum(6),
        with_open_checksum(6, tos=0xB8),
        with_open_checksum(6, options=bytes((ipv4.UDP, 0, 1, 4, 0, 0, 0, 0))),
    ],
    ids=["IPv4", "DSCP", "options", "IPv6", "traffic class", "extension"],
)
def test_an_open_checksum_is_seen_at_the_other_end_or_filled_in(
    frame: Frame, offload: bool
) -> None:
    async def main() -> None:
        with trio.fail_after(60):
            async with two_sides(keys=(KEY, KEY), offload=offload) as (near, far):
                seen: list[bytes] = []
                for link in (near, far):
                    link.network.settle()
                far.b.attach(lambda arrived, _now: seen.append(completed(arrived).data))
                near.a.send(frame, near.network.now())
                await until(lambda: completed(frame).data in seen)

    trio.run(main)


def test_what_nobody_has_cut_yet_is_no_piece_of_a_train() -> None:
    """A vxlan device of Linux sends a super-frame over veth as it is."""

    async def main(net: pystack.Network) -> None:
        async with stranger(net, vni=7, offload=True, mtu_bytes=1400) as there:
            src, dst, text = Ip(8), Ip(9), bytes(9000)
            segment = tcp.Segment(5, 6, 1, 1, tcp.ACK, 9, b"", text)
            body = tcp.pack_header(segment, src, dst, partial=True) + text
            packet = ipv4.pack_header(src, dst, 6, len(body), flags_offset=0x4000) + body
            frame = ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, packet)
            seen: list[Frame] = []
            there.link.tunnel.attach(lambda arrived, _now: seen.append(arrived))  # type: ignore[attr-defined]
            there.send(vxlan.pack_header(7) + frame)
            await until(lambda: seen)
            assert [(one.data, one.checksum, one.gso_bytes) for one in seen] == [
                (frame, PARTIAL, 1360)
            ]

    run(main)


def test_flows_leave_from_the_one_port_where_there_can_be_no_more_sockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main(net: pystack.Network) -> None:
        async with stranger(net, vni=7, source_ports=16) as there:
            monkeypatch.setattr("pystack.runtime.vxlan.udp_socket.open_socket", none_left)
            sent = [with_open_checksum(4, tos=tos) for tos in range(0, 32, 4)]
            for frame in sent:
                there.link.a.send(frame, net.now())
            expected = {completed(frame).data for frame in sent}
            while expected:
                expected.discard((await there.receive())[8:])

    run(main)
