"""Names with addresses of both versions of IP: who resolves them how, and which is connected to."""

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

import pystack
from pystack.cli.main import main
from pystack.core.addresses import Prefix, format_ip, parse_ip
from pystack.runtime.names.attempts import interleaved
from pystack.runtime.names.zones import owner_of
from pystack.stack.routes import Route

A6, B6 = "fd00::1", "fd00::2"
STREAM = socket.SOCK_STREAM


def on_two(body: Callable[[pystack.Network, pystack.Host, pystack.Host], Awaitable[None]]) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="both") as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="10ms")
            await body(net, a, b)

    pystack.run(main)


def test_a_host_tells_its_addresses_of_both_versions() -> None:
    async def body(_net: pystack.Network, a: pystack.Host, _b: pystack.Host) -> None:
        assert (a.address, a.address6) == ("10.0.0.1", A6)
        assert a.addresses[:2] == ("10.0.0.1", A6)
        (link_local,) = a.addresses[2:]
        assert link_local.startswith("fe80::")
        assert link_local.endswith("%eth0")

    on_two(body)


def test_a_version_can_be_asked_for() -> None:
    async def body(_net: pystack.Network, a: pystack.Host, _b: pystack.Host) -> None:
        found = await a.look_up_all("b")
        assert [format_ip(one) for one in found] == ["10.0.0.2", B6]  # RFC 6724: IPv4 before ULA
        assert format_ip(a.resolve("b", 6)) == B6
        assert format_ip(await a.look_up("b", 4)) == "10.0.0.2"
        with pytest.raises(OSError, match="no IPv6 address"):
            a.resolve("10.0.0.2", 6)
        assert [format_ip(one) for one in await a.look_up_all("localhost")] == ["::1", "127.0.0.1"]

    on_two(body)


def test_getaddrinfo_takes_hints_as_glibc() -> None:
    async def body(_net: pystack.Network, a: pystack.Host, b: pystack.Host) -> None:
        link_local = b.addresses[2].partition("%")[0]

        async def program() -> None:
            async def ask(*words: object, **more: int) -> list[object]:
                found = await trio.socket.getaddrinfo(*words, **more)  # type: ignore[arg-type]
                return [entry[4] for entry in found]

            v4, v6 = ("10.0.0.2", 80), (B6, 80, 0, 0)
            mapped = ("::ffff:10.0.0.2", 80, 0, 0)
            flags = socket.AI_V4MAPPED | socket.AI_ALL
            assert await ask("b", 80, type=STREAM) == [v4, v6]
            assert await ask("b", 80, type=STREAM, family=socket.AF_INET6) == [v6]
            assert await ask("b", 80, socket.AF_INET6, STREAM, 0, flags) == [v6, mapped]
            assert await ask("10.0.0.2", 80, socket.AF_INET6, STREAM, 0, flags) == [mapped]
            assert await ask("::ffff:10.0.0.2", 80, socket.AF_INET, STREAM) == [v4]
            assert await ask(f"{link_local}%eth0", 80, type=STREAM) == [(link_local, 80, 0, 2)]
            assert await ask(None, 80, type=STREAM, flags=socket.AI_PASSIVE) == [
                ("0.0.0.0", 80),
                ("::", 80, 0, 0),
            ]
            wrong = {
                ("::1", 80, socket.AF_INET): getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME),
                ("b", 80, socket.AF_UNIX): socket.EAI_FAMILY,
                ("fe80::1%nowhere", 80, 0): socket.EAI_NONAME,
                ("b", "http", 0, 0, 0, socket.AI_NUMERICSERV): socket.EAI_NONAME,
                (None, 80, 0, 0, 0, socket.AI_CANONNAME): socket.EAI_BADFLAGS,
            }
            for words, number in wrong.items():
                with pytest.raises(socket.gaierror) as caught:
                    await ask(*words)
                assert caught.value.errno == number, words
            number_of = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            name = await trio.socket.getnameinfo((link_local, 80, 0, 2), number_of)
            assert name == (f"{link_local}%eth0", "80")
            assert await trio.socket.getnameinfo(("::1", 80, 0, 0), 0) == ("localhost", "http")

        await a.run(program)

    on_two(body)


@pytest.mark.parametrize("server", ["ns", "10.0.0.2", B6, f"[{B6}]:53"])
def test_name_servers_tell_of_both_versions_and_are_asked_over_both(server: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="both") as net:
            a, ns = net.host("a"), net.dns("ns", records=["www.example 60 AAAA 2001:db8::80"])
            net.link(a, ns.host, delay="10ms")
            await ns.up()
            a.dns = server
            assert [format_ip(one) for one in await a.look_up_all("ns")] == ["10.0.0.2", B6]
            assert [format_ip(one) for one in await a.look_up_all("www.example")] == [
                "2001:db8::80"
            ]
            told = await a.dig("ns", "AAAA", server=server)
            assert [record.text for record in told.answer] == [B6]
            assert told.server[0] == (B6 if ":" in server else "10.0.0.2")
            assert [record.text for record in (await a.dig(B6, "PTR")).answer] == ["ns."]
            asked = await a.dig("ns", server="ns", version=6)
            assert asked.server == (B6, 53)

            async def program() -> None:
                assert (await trio.socket.getnameinfo((B6, 80, 0, 0), 0))[0] == "ns"

            await a.run(program)

    pystack.run(main)


@pytest.mark.parametrize("opener", ["host", "trio"])
def test_a_version_that_is_silent_costs_a_quarter_of_a_second(opener: str) -> None:
    async def body(net: pystack.Network, a: pystack.Host, b: pystack.Host) -> None:
        del net
        listeners = await b.open_tcp_listeners(80, host=B6)
        assert [listener.address for listener in listeners] == [(B6, 80)]
        # What comes for the IPv4 address is lost: nobody is there.
        a.stack.routes.add(_hole(a))
        began_at = a.now()
        if opener == "host":
            stream = await a.open_tcp_stream("b", 80)
            assert stream.remote_address == (B6, 80)
        else:
            opened = await a.run(trio.open_tcp_stream, "b", 80)
            assert opened.socket.getpeername() == (B6, 80, 0, 0)
        took_s = a.now() - began_at
        assert 0.25 + 0.02 <= took_s <= 0.25 + 0.04 + 1e-9  # one round trip, and perhaps ND

    on_two(body)


def _hole(host: pystack.Host) -> Route:
    interface = host.stack.interfaces[1]
    prefix = Prefix.of(parse_ip("10.0.0.2"), 32)
    return Route(prefix, interface, parse_ip("10.0.0.77"), parse_ip("10.0.0.1"))


def test_versions_take_turns() -> None:
    texts = ["fd00::1", "fd00::2", "fd00::3", "10.0.0.1", "10.0.0.2"]
    turns = interleaved(tuple(map(parse_ip, texts)))
    assert [format_ip(one) for one in turns] == [
        "fd00::1",
        "10.0.0.1",
        "fd00::2",
        "10.0.0.2",
        "fd00::3",
    ]
    assert interleaved(()) == ()


@pytest.mark.parametrize("name", ["10.0.0.2", B6, "link-local"])
def test_all_that_a_host_opens_hears_both_versions(name: str) -> None:
    async def body(_net: pystack.Network, a: pystack.Host, b: pystack.Host) -> None:
        address = b.addresses[2] if name == "link-local" else name
        (listener,) = await b.open_tcp_listeners(80)
        udp = await b.open_udp_socket(9)
        assert listener.address == (*udp.address[:1], 80) == ("::", 80)
        stream = await a.open_tcp_stream(address, 80)
        accepted = await listener.accept()
        assert accepted.remote_address == stream.local_address
        assert stream.remote_address == (address, 80)
        await stream.send_all(b"x")
        assert await accepted.receive_some() == b"x"
        async with await a.open_udp_socket() as client:
            await client.send_to(b"y", (address, 9))
            data, sender = await udp.receive_from()
            assert data == b"y"
            await udp.send_to(b"z", sender)
            assert await client.receive_from() == (b"z", (address, 9))
        assert await a.ping(address) == pytest.approx(0.02)
        (hop,) = await a.traceroute(address)
        assert (hop.address, hop.reached) == (address, True)

    on_two(body)


def test_a_ping_of_a_closed_port_or_nobody_says_so_in_words_of_each_version() -> None:
    async def body(_net: pystack.Network, a: pystack.Host, _b: pystack.Host) -> None:
        for nobody in ("10.0.0.99", "fd00::99"):
            with pytest.raises(OSError, match="No route to host"):
                await a.ping(nobody, timeout_s=10)
        assert await a.ping("b", version=6) == pytest.approx(0.04)  # who is it? and then the ping

    on_two(body)


def test_who_is_counted_by_an_ipv6_address_is_its_block() -> None:
    assert owner_of("10.0.0.1") == "10.0.0.1"
    assert owner_of("2001:db8:1:2:3:4:5:6") == owner_of("2001:db8:1:2::9") == "2001:db8:1:2::"
    assert owner_of("fe80::1%eth0") == "fe80::"
    assert owner_of("::ffff:10.0.0.1") == "10.0.0.1" != owner_of("::ffff:10.0.0.2")


def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> str:
    """Run a command to its end; return what it prints."""
    monkeypatch.setattr("sys.argv", ["pystack", *words])
    with pytest.raises(SystemExit):
        main()
    return capsys.readouterr().out


@pytest.mark.parametrize("host", ["server", "[fd00::2]"])
@pytest.mark.parametrize("scheme", ["http", "https", "ftp"])
def test_services_are_reached_by_ipv6(
    scheme: str,
    host: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "hello").write_text("hello\n")
    path = "hello" if scheme == "ftp" else "bytes/9"
    words = ["--root", str(tmp_path)] if scheme == "ftp" else []
    words += ["-6", "-s", "-S", "-w", "%{remote_ip} %{exitcode}", "-o", os.devnull]
    said = command(capsys, monkeypatch, "get", *words, f"{scheme}://{host}/{path}")
    assert said == "fd00::2 0"


def test_ping_and_dig_by_ipv6(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["ping", "-6", "-c", "1", "--delay", "10ms", "server"]
    first, second, *_ = command(capsys, monkeypatch, *words).splitlines()
    assert first == "PING server(fd00::2) 56 data bytes"
    # Twice there and back: who is it, and then the ping
    assert second == "64 bytes from server (fd00::2): icmp_seq=1 ttl=64 time=40.0 ms"
    found = command(capsys, monkeypatch, "dig", "@names", "-6", "+short", "names", "AAAA")
    assert found == "fd00::2\n"
    assert command(capsys, monkeypatch, "ping", "-4", "-6", "server") == ""
