"""Frames of links to other machines: those that wait, tags, marks, ports, and NATs on the way."""

from __future__ import annotations

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
    until,
)

import pystack
from pystack.runtime.vxlan.endpoint import Endpoints
from pystack.wire import ethernet, ipv4, vxlan
from pystack.wire.frame import Frame


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
            assert member._held_bytes == 0

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
