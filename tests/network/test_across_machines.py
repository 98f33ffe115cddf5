"""Links to other machines: both ends, or one and a stranger, on the machine's loopback."""

from __future__ import annotations

import logging
import re
import socket
from pathlib import Path

import pytest
import trio
from other_machine import (
    KEY,
    VERSIONS,
    free_ports,
    hosts,
    place,
    run,
    stranger,
    two_sides,
    until,
)

import pystack
from pystack.core.addresses import Mac, parse_ip4
from pystack.link.link import Link
from pystack.runtime.vxlan.endpoint import Endpoints
from pystack.runtime.vxlan.session import Session, key_of
from pystack.topology.tunnels import read_tunnel
from pystack.wire import arp, ethernet, vxlan
from pystack.wire.frame import Frame


@VERSIONS
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "keyed"])
def test_two_processes_share_a_segment(version: int, key: str | None) -> None:
    async def main() -> None:
        with trio.fail_after(30):
            async with two_sides(version, (key, key), delay="20ms") as links:
                a, b = hosts(*links)
                assert 0.02 <= await a.ping("10.0.0.2", timeout_s=9) < 9
                assert 0.02 <= await b.ping("fd00::1", timeout_s=9) < 9

                async def swap(stream: trio.SocketStream) -> None:
                    await stream.send_all(b"".join([data async for data in stream])[::-1])
                    await stream.aclose()

                await b.start(trio.serve_tcp, swap, 80)
                text = bytes(range(256)) * 2000
                stream = await a.open_tcp_stream("10.0.0.2", 80)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stream.send_all, text)
                    await trio.lowlevel.checkpoint()
                await stream.send_eof()
                assert b"".join([data async for data in stream]) == text[::-1]
                for link in links:
                    # Of a busy machine, and of what was sent before the ends knew each other
                    assert link.counters.keys() <= {"late", "vxlan_held"}

    trio.run(main)


def test_each_side_does_to_the_link_what_it_sends() -> None:
    async def main() -> None:
        with trio.fail_after(30):
            async with two_sides(loss="100%") as (link, other):
                a, b = hosts(link, other)
                assert link.said == f"{link.ends[0]} > {link.ends[1]}: loss 100%; " + (
                    f"{link.ends[1]} > {link.ends[0]}: nothing"
                )
                with pytest.raises(TimeoutError):
                    await a.ping("10.0.0.2", timeout_s=0.2)
                link.set(loss=None)
                assert await a.ping("10.0.0.2", timeout_s=9) < 9
                link.set(b_to_a={"loss": "100%"})  # what comes in, said by its direction
                with pytest.raises(TimeoutError):
                    await b.ping("10.0.0.1", timeout_s=0.2)
                link.set(b_to_a={"loss": None})
                link.down()
                with pytest.raises(TimeoutError):
                    await b.ping("10.0.0.1", timeout_s=0.2)
                link.up()
                assert await b.ping("10.0.0.1", timeout_s=9) < 9

    trio.run(main)


def test_hosts_of_one_name_and_seed_have_different_macs() -> None:
    async def main() -> None:
        async with two_sides() as links:
            macs = {link.network.hosts["a"].interfaces[1].mac for link in links}
            assert len(macs) == 2

    trio.run(main)


@VERSIONS
def test_what_leaves_is_rfc_7348(version: int) -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, version, vni=0x123456) as there:
            with pytest.raises((TimeoutError, OSError)):
                await there.host.ping("10.0.0.2", timeout_s=0.1)
            datagram = await there.receive()
            while datagram[8 + 12 : 8 + 14] != ethernet.IS_ARP:  # MLD, before
                datagram = await there.receive()
            assert datagram[:8] == bytes.fromhex("0800000012345600")
            question = arp.parse(memoryview(datagram[8 + 14 :]))
            assert question.tpa == parse_ip4("10.0.0.2")

    run(main)


def test_what_strangers_send_is_counted_by_name() -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, vni=7) as there:
            header = vxlan.pack_header(7)
            for datagram in (b"", b"\x08", bytes(8), b"GET / HTTP/1.1\r\n"):
                there.send(datagram)
            there.send(vxlan.pack_header(8) + bytes(60))
            there.send(header + bytes(13))
            there.send(Session(key_of(KEY), 7).hello())
            await there.counted(
                vxlan_truncated=2,
                vxlan_bad_flags=2,
                vxlan_wrong_vni=1,
                vxlan_runt=1,
                vxlan_unexpected_tag=1,
            )
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(("127.0.0.2", 0))
                for _ in range(500):
                    other.sendto(header + bytes(60), there.socket.getpeername())
                await until(lambda: there.link.counters["vxlan_wrong_source"] == 500)

    run(main)


def test_without_the_key_nothing_gets_in(caplog: pytest.LogCaptureFixture) -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, vni=7, key=KEY) as there:
            theirs = Session(key_of("a guess of theirs"), 7)
            hello = vxlan.parse_keyed(await there.receive())
            assert hello.kind == vxlan.HELLO
            there.send(vxlan.pack_header(7) + bytes(60))
            there.send(theirs.hello())
            there.send(vxlan.pack_keyed(7, vxlan.DATA, hello.session, 1) + bytes(76))
            there.send(vxlan.pack_keyed(7, vxlan.DATA, bytes(8), 1) + bytes(76))
            there.send(vxlan.pack_keyed(7, vxlan.DATA, bytes(8), 1) + bytes(15))
            await until(lambda: there.link.counters["vxlan_truncated"])
            with pytest.raises((TimeoutError, OSError)):
                await there.host.ping("10.0.0.2", timeout_s=0.1)
            counters = there.link.counters
            assert counters.pop("vxlan_held") >= 1
            assert counters == {
                "vxlan_no_tag": 1,
                "vxlan_bad_tag": 1,
                "vxlan_reflected": 1,
                "vxlan_unknown_session": 1,
                "vxlan_truncated": 1,
            }

    with caplog.at_level(logging.WARNING, "pystack.vxlan"):
        run(main)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2  # once for each reason, however often it happens
    assert "the other end has no key, and this end has one" in said[0]
    assert "the other end has another key, or somebody forges datagrams" in said[1]


def test_who_has_the_key_is_let_in_and_never_twice() -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net, vni=7, key=KEY) as there:
            mine = Session(key_of(KEY), 7)
            there.send(mine.hello())
            while not mine.is_open:
                _, answer = mine.open(memoryview(await there.receive()), 0.0)
                if answer is not None:
                    there.send(answer)
            own = Mac(bytes((2, 0, 0, 0, 0, 2)))
            query = arp.pack(arp.REQUEST, own, parse_ip4("10.0.0.2"), parse_ip4("10.0.0.1"))
            frame = ethernet.pack(b"\xff" * 6, own, ethernet.ARP, query)
            datagram = b"".join(mine.seal((frame,)))
            there.send(datagram)
            there.send(datagram)
            opened = None
            while opened is None or opened[12:14] != ethernet.IS_ARP:
                opened, _ = mine.open(memoryview(await there.receive()), 0.0)
            assert arp.parse(memoryview(opened[14:])).spa == parse_ip4("10.0.0.1")
            await until(lambda: there.link.counters["vxlan_replayed"] == 1)

    run(main)


def test_a_peer_that_is_not_there_yet_is_said_once_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(net: pystack.Network) -> None:
        here, there = free_ports(2)
        a = net.host("a", address="10.0.0.1/24")
        link = net.link(a, f"udp://127.0.0.1:{there}", listen=f"127.0.0.1:{here}")
        for _ in range(3):
            with pytest.raises((TimeoutError, OSError)):
                await a.ping("10.0.0.2", timeout_s=0.05)
        async with pystack.Network(seed=8) as other:
            b = other.host("b", address="10.0.0.2/24")
            other.link(b, f"udp://127.0.0.1:{here}", listen=f"127.0.0.1:{there}")
            other.settle()
            assert await a.ping("10.0.0.2", timeout_s=9) < 9
        assert link.counters == {}

    with caplog.at_level(logging.WARNING, "pystack.vxlan"):
        run(main)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.endswith("vni 1: nobody listens there yet; it goes on when somebody does")


def test_a_peer_that_starts_again_is_met_again() -> None:
    async def main(net: pystack.Network) -> None:
        here, there = free_ports(2)
        a = net.host("a", address="10.0.0.1/24")
        net.link(a, f"udp://127.0.0.1:{there}", listen=f"127.0.0.1:{here}", key=KEY)
        for seed in (8, 9):
            async with pystack.Network(seed=seed) as other:
                b = other.host("b", address="10.0.0.2/24")
                other.link(b, f"udp://127.0.0.1:{here}", listen=f"127.0.0.1:{there}", key=KEY)
                assert await b.ping("10.0.0.1", timeout_s=9) < 9

    run(main)


def test_what_does_not_fit_is_told_to_its_sender() -> None:
    async def main() -> None:
        with trio.fail_after(30):
            async with two_sides(mtu_bytes=1300) as (link, other):
                a, b = hosts(link, other)
                assert (link.mtu_bytes, other.mtu_bytes) == (1300, 1500)

                async def swap(stream: trio.SocketStream) -> None:
                    text = b"".join([data async for data in stream])
                    await stream.send_all(text)
                    await stream.aclose()

                await a.start(trio.serve_tcp, swap, 80)
                stream = await b.open_tcp_stream("10.0.0.1", 80)
                await stream.send_all(bytes(50_000))
                await stream.send_eof()
                assert len(b"".join([data async for data in stream])) == 50_000
                # From a switch, or another router, packets come that its link alone would take.
                frame = ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, bytes(1301))
                link.a.send(Frame(frame), link.network.now())
                await until(lambda: link.counters["vxlan_too_large"] == 1)

    trio.run(main)


def test_a_full_buffer_loses_frames_and_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(net: pystack.Network) -> None:
        async with stranger(net) as there:
            port = next(iter(net.driver.kept[Endpoints]._open.values()))  # type: ignore[attr-defined]
            full = Full(port.socket)
            monkeypatch.setattr(port, "socket", full)
            frame = ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, bytes(100))
            for _ in range(5):
                there.link.a.send(Frame(frame), net.now())
            await until(lambda: there.link.counters["vxlan_buffer_full"] == 5)
            monkeypatch.undo()

    run(main)


class Full:
    """A socket whose buffer is full."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real

    def sendmsg(self, *_given: object) -> int:
        raise BlockingIOError

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def test_links_to_one_machine_share_a_socket() -> None:
    async def main(net: pystack.Network) -> None:
        here, there = free_ports(2)
        async with pystack.Network(seed=8) as other:
            for vni in (1, 2):
                one = net.host(f"a{vni}", address=f"10.0.{vni}.1/24")
                two = other.host(f"b{vni}", address=f"10.0.{vni}.2/24")
                net.link(one, f"udp://127.0.0.1:{there}", listen=f"127.0.0.1:{here}", vni=vni)
                other.link(two, f"udp://127.0.0.1:{here}", listen=f"127.0.0.1:{there}", vni=vni)
            other.settle()
            for vni in (1, 2):
                assert await net.hosts[f"a{vni}"].ping(f"10.0.{vni}.2", timeout_s=9) < 9
            with pytest.raises(pystack.ConfigError, match="with vni 2 already"):
                net.link("a1", f"udp://127.0.0.1:{there}", listen=f"127.0.0.1:{here}", vni=2)

    run(main)


def test_a_link_that_is_closed_lets_go_of_its_socket_and_can_be_made_again() -> None:
    async def main(net: pystack.Network) -> None:
        here, there = free_ports(2)
        words = {"listen": f"127.0.0.1:{here}", "vni": 7}
        for number in range(2):
            host = net.host(f"a{number}", address=f"10.0.{number}.1/24")
            link = net.link(host, f"udp://127.0.0.1:{there}", **words)  # type: ignore[arg-type]
            await trio.lowlevel.checkpoint()
            link.close()
            link.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", here))  # nobody has it

    run(main)


def test_a_port_by_its_name_gives_the_far_side_an_address() -> None:
    async def main(net: pystack.Network) -> None:
        here, there = free_ports(2)
        words = {"name": "vxlan", "remote": f"127.0.0.1:{there}", "listen": f"127.0.0.1:{here}"}
        net.link(net.host("a"), net.port("far", words))
        async with pystack.Network(seed=8) as other:
            b = other.host("b", address=f"{net.attached['far'].address}/24")
            other.attach(b, f"vxlan remote 127.0.0.1:{here} listen 127.0.0.1:{there}")
            assert await b.ping(net.hosts["a"].address, timeout_s=9) < 9

    run(main)


@pytest.mark.parametrize(
    ("far", "words", "sentence"),
    [
        ("udp://", {}, "is no address and port"),
        ("udp://127.0.0.1:0", {}, "'0' in '127.0.0.1:0' is no port"),
        ("udp://::1", {}, "an IPv6 address stands in brackets"),
        ("udp://127.0.0.1/24", {}, "is no address and port"),
        ("udp://127.0.0.1", {"vni": 1 << 24}, "from 0 to 16777215"),
        ("udp://127.0.0.1", {"vni": True}, "from 0 to 16777215"),
        ("udp://127.0.0.1", {"key": "short"}, "shorter than 8 characters"),
        ("udp://127.0.0.1", {"key": KEY, "key_file": "x"}, "has one key"),
        ("udp://127.0.0.1", {"key_file": "/nowhere"}, "no key_file /nowhere; make it, and copy it"),
        ("udp://127.0.0.1", {"key_file": "/"}, "cannot read key_file /: Is a directory"),
        ("udp://127.0.0.1", {"listen": "[::1]:5"}, "the machine at 127.0.0.1 is not found"),
        ("udp://127.0.0.1", {"listen": "192.0.2.77:5"}, "cannot listen at 192.0.2.77:5"),
        ("udp://name.invalid", {}, "the machine at name.invalid is not found"),
        ("udp://0.0.0.0", {}, "0.0.0.0:4789 is not one machine"),
        ("udp://224.0.0.1", {}, "is not one machine"),
        ("udp://255.255.255.255", {}, "is not one machine"),
        ("udp://127.0.0.1", {"mtu_bytes": 65536}, "an MTU of 65536 bytes is not possible"),
        ("udp://127.0.0.1", {"delay": "x"}, "x"),
        ("udp://127.0.0.1", {"source_ports": 0}, "source_ports is 1 to 64"),
        ("udp://127.0.0.1", {"source_ports": True}, "source_ports is 1 to 64"),
        ("udp://127.0.0.1", {"vlan_tags": 1}, "vlan_tags is true or false"),
        ("udp://[fe80::1]", {"listen": "[::1]:5"}, "like udp://[fe80::1%eth0]:4789"),
        ("b", {"vni": 7}, "vni belongs to a link that leaves the machine"),
    ],
)
def test_what_cannot_be_is_one_sentence(far: str, words: dict[str, object], sentence: str) -> None:
    async def main(net: pystack.Network) -> None:
        net.host("a", address="10.0.0.1/24")
        net.host("b")
        if far != "b" and "listen" not in words:
            words["listen"] = place(4, *free_ports(1))
        with pytest.raises((pystack.ConfigError, pystack.DeviceError), match=re.escape(sentence)):
            net.link("a", far, **words)  # type: ignore[arg-type]
        assert list(net.topology.nodes) == ["a", "b"]
        assert not net.links

    run(main)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "lab.key"
    secret.write_text(KEY)
    secret.chmod(0o640)
    with pytest.raises(pystack.ConfigError, match=f"(mode 0640).*chmod 600 {secret}"):
        read_tunnel("udp://127.0.0.1", key_file=secret)
    secret.chmod(0o600)
    assert KEY not in repr(read_tunnel("udp://127.0.0.1", key_file=secret))


def test_there_is_none_in_virtual_time() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a = net.host("a", address="10.0.0.1/24")
            with pytest.raises(pystack.ConfigError, match=r"run the program with trio\.run"):
                net.link(a, "udp://127.0.0.1")
            with pytest.raises(pystack.ConfigError, match="vxlan lives in real time"):
                net.attach(a, "vxlan remote 127.0.0.1")

    pystack.run(main)


def test_hosts_without_addresses_are_told_what_to_do() -> None:
    async def main(net: pystack.Network) -> None:
        net.host("a")
        net.topology.far_side("udp://x")
        net.topology.link("a", "udp://x", make=Link)
        with pytest.raises(pystack.ConfigError, match="a needs an address by hand"):
            net.settle()

    run(main)
