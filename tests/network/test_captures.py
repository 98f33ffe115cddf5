"""Captures of whole runs, and what Wireshark makes of them."""

import signal
import ssl
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import trio
import wireshark

import pystack
from pystack.apps.tls_stream import tls_client
from pystack.observe.captures.capture_file import CaptureFile
from pystack.topology.addressing import IpVersions

SIZE = 300_000


async def answer(stream: pystack.TcpStream) -> None:
    async with stream:
        while await stream.receive_some():
            await stream.send_all(b"y" * SIZE)


async def ask(client: pystack.Host) -> None:
    async with await client.open_tcp_stream("server", 46464) as stream:
        await stream.send_all(b"x")
        left = SIZE
        while left:
            left -= len(await stream.receive_some())


def build(net: pystack.Network, *, far: bool, **words: object) -> tuple[pystack.Host, pystack.Host]:
    """Join two hosts by a line, or let it lie between two routers, with a switch at the end."""
    client, server = net.host("client"), net.host("server")
    if not far:
        net.link(client, server, **words)  # type: ignore[arg-type]
        return client, server
    home, provider, switch = net.router("home"), net.router("provider"), net.switch("switch")
    net.link(client, home, delay="1ms")
    net.link(home, provider, **words)  # type: ignore[arg-type]
    net.link(provider, switch)
    net.link(switch, server)
    return client, server


def transfer(
    path: Path, *, far: bool, ip: IpVersions = "both", **words: object
) -> dict[str, Counter[str]]:
    """Capture a transfer, of the network, and of the server; return what was counted."""
    counted: dict[str, Counter[str]] = {}

    async def main() -> None:
        async with pystack.Network(seed=3, ip=ip) as net:
            client, server = build(net, far=far, **words)
            net.capture(path)
            server.capture(path.with_name("server.pcapng"))
            (listener,) = await server.open_tcp_listeners(46464)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, answer, [listener])
                await ask(client)
                await trio.sleep(5)
                nursery.cancel_scope.cancel()
            counted["server"] = Counter(server.counters)
            counted["links"] = Counter()
            for link in net.links:
                counted["links"].update(link.counters)

    pystack.run(main)
    return counted


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("ip", ["4", "6"])
def test_wireshark_has_nothing_to_say_about_a_clean_run(
    tmp_path: Path, ip: IpVersions, far: bool
) -> None:
    path = tmp_path / "run.pcapng"
    transfer(path, far=far, ip=ip, delay="20ms", rate="20mbit", limit=1000)
    assert not wireshark.experts(path)
    assert not wireshark.experts(tmp_path / "server.pcapng")
    assert not wireshark.fields(path, "frame.number", where="tcp.analysis.flags")


@pytest.mark.parametrize("far", [False, True])
def test_wireshark_counts_the_retransmissions_that_we_count(tmp_path: Path, far: bool) -> None:
    path = tmp_path / "run.pcapng"
    counted = transfer(path, far=far, delay="20ms", rate="20mbit", limit=1000, loss="4%")
    names = ("rto", "rack", "tlp", "sack", "dupack")
    ours = sum(counted["server"][f"tcp_retransmits_{name}"] for name in names)
    assert ours > 2
    again = (
        "tcp.srcport == 46464 && (tcp.analysis.retransmission || "
        "tcp.analysis.fast_retransmission || tcp.analysis.out_of_order)"
    )
    assert len(wireshark.fields(path, "frame.number", where=again)) == ours
    server = tmp_path / "server.pcapng"
    assert len(wireshark.fields(server, "frame.number", where=again)) == ours
    lost = wireshark.fields(path, "frame.comment", where='frame.comment contains "lost"')
    assert len(lost) == counted["links"]["loss"]
    where = " on home-provider" if far else ""
    assert all(f"lost{where}: by chance (loss)" in comment for (comment,) in lost)


def test_what_befell_a_frame_is_beside_it(tmp_path: Path) -> None:
    path, host_path = tmp_path / "run.pcapng", tmp_path / "server.pcapng"

    async def main() -> None:
        async with pystack.Network(seed=3, ip="4") as net:
            client, server = net.host("client"), net.host("server")
            link = net.link(client, server, delay="20ms", rate="1mbit", limit=2)
            socket = await client.open_udp_socket()
            await socket.send_to(b"first", ("server", 9))  # ARP
            await trio.sleep(1)
            net.capture(path)
            server.capture(host_path)
            for _ in range(4):
                socket.send_to_nowait(bytes(958), (server.addresses[0], 9))
            await trio.sleep(1)
            link.set(a_to_b={"duplicate": "100%"})
            await socket.send_to(b"twice", ("server", 9))
            await trio.sleep(1)
            link.set(a_to_b={"duplicate": None, "corrupt": "100%"})
            await socket.send_to(b"damaged" * 100, ("server", 9))
            await trio.sleep(1)
            link.down()
            await socket.send_to(b"cut", ("server", 9))
            await trio.sleep(1)

    pystack.run(main)
    sent = [(frame.data[42:47], frame.comments) for frame in CaptureFile(path)]
    comments = [said for data, said in sent if data in (b"twice", b"damag", b"cut")]
    queued = [said for data, said in sent if data == bytes(5)]
    assert "delayed 36 ms: 8 ms in the queue, 8 ms to send, 20 ms on the line" in queued[1][0]
    assert queued[3] == ("lost: queue full (pfifo_full)",)
    assert queued[0] == ()
    assert comments == [
        ("duplicated; the copy arrived too",),
        ("bit 3 of byte 301 turned; dropped by server: udp_bad_checksum",),
        ("lost: the link was down (link_down)",),
    ]
    seen = list(CaptureFile(host_path))
    twice = [frame for frame in seen if frame.data[42:47] == b"twice"]
    assert [frame.direction for frame in twice] == ["in", "in"]
    number = seen.index(twice[0]) + 1
    assert f"duplicate of frame {number}" in twice[1].comments[0]


def test_places_and_hosts_have_their_names(tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    transfer(path, far=True, delay="1ms")
    file = CaptureFile(path)
    frames = list(file)
    assert {interface.name for interface in file.interfaces} >= {"client-home", "switch-server"}
    assert set(file.names.values()) == {"client", "home", "provider", "server"}
    assert sum(":" in address for address in file.names) >= 4
    assert file.trouble == ""
    (info,) = [line for line in wireshark.infos(path).splitlines() if "Number of packets:" in line]
    assert int(info.split()[-1]) == len(frames)
    argv = [wireshark.need(), "-r", str(path), "-N", "n", "-T", "fields", "-e", "ip.src_host"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    assert {"client", "server"} <= set(said.split())


def test_each_link_has_its_own_frames_if_they_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"

    async def main() -> None:
        async with pystack.Network(seed=3, ip="4") as net:
            client, _ = build(net, far=True, delay="5ms")
            await client.ping("server")
            net.capture(path, links=True)
            await client.ping("server")

    pystack.run(main)
    file = CaptureFile(path)
    assert [frame.place for frame in file] == [
        *("client-home", "home-provider", "provider-switch", "switch-server"),
        *("switch-server", "provider-switch", "home-provider", "client-home"),
    ]


@pytest.mark.parametrize("name", ["run.pcap", "run.CAP"])
def test_the_name_of_the_file_asks_for_the_old_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    transfer(path, far=False, delay="1ms")
    assert path.read_bytes()[:4] == bytes.fromhex("4d3cb2a1")
    assert not wireshark.experts(path)


@pytest.mark.parametrize("name", ["run.pcapng", "run.pcap"])
def test_of_each_frame_no_more_is_kept_than_was_asked_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = build(net, far=False)
            net.capture(path, snaplen=96)
            await server.start(trio.serve_tcp, answer, 46464)
            await client.run(ask, client)

    pystack.run(main)
    with path.open("rb") as file:
        frames = list(CaptureFile(file))
    assert max(len(frame.data) for frame in frames) == 96
    assert max(frame.original_length for frame in frames) == 1514


@pytest.mark.parametrize("snaplen", [63, 262_145, 96.0, "96", True])
def test_a_snaplen_is_a_number_of_bytes(tmp_path: Path, snaplen: object) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(pystack.ConfigError, match="snaplen"):
                net.capture(tmp_path / "x.pcapng", snaplen=snaplen)  # type: ignore[arg-type]
            with pytest.raises(pystack.ConfigError, match="snaplen"):
                net.observe(f"pcap file {tmp_path}/x.pcapng snaplen 1")

    pystack.run(main)


def test_a_capture_ends_when_it_is_closed_and_another_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with pystack.Network(seed=3, ip="4") as net:
            client, _ = build(net, far=False, delay="5ms")
            first = net.capture(tmp_path / "1.pcapng")
            host = client.capture(tmp_path / "2.pcapng")
            link = net.links[0].capture(tmp_path / "3.pcapng")
            await client.ping("server")
            for capture in (first, host, link):
                capture.close()
                capture.close()
            assert not client.observers
            await client.ping("server")

    pystack.run(main)
    counts = [len(list(CaptureFile(tmp_path / f"{each}.pcapng"))) for each in (1, 2, 3)]
    assert counts == [4, 4, 4]  # ARP and echo


RING = """
import pystack, trio
async def main():
    async with pystack.Network(seed=3, ip="4") as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="1ms", rate="100mbit")
        net.capture({path!r}, ring="1mb")
        socket = await client.open_udp_socket()
        for number in range(3000):
            await socket.send_to(number.to_bytes(4, "big") + bytes(996), ("server", 9))
            await trio.sleep(0.001)
        print("sent", flush=True)
        {last}
pystack.run(main)
"""


def run_ring(path: Path, last: str, status: int) -> list[Path]:
    code = RING.format(path=str(path), last=last)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    return sorted(path.parent.glob("run-*.pcapng"))


@pytest.mark.parametrize(
    ("last", "status"),
    [("pass", 0), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)],
)
def test_a_ring_holds_the_last_of_a_run_in_files_of_which_each_can_be_read(
    tmp_path: Path, last: str, status: int
) -> None:
    files = run_ring(tmp_path / "run.pcapng", last, status)
    assert [file.name for file in files] == [f"run-{number}.pcapng" for number in (1, 2, 3, 4)]
    size = sum(file.stat().st_size for file in files)
    assert 0.7 * 2**20 < size <= 2**20
    numbers = []
    for path in files:
        file = CaptureFile(path)
        numbers += [
            int.from_bytes(frame.data[42:46], "big")
            for frame in file
            if frame.data[23:24] == b"\x11"  # UDP
        ]
        assert [interface.name for interface in file.interfaces] == ["client-server"]
        assert "client" in file.names.values()
        assert file.trouble == ""
    numbers.sort()
    # None is missing, up to the last; the answers that nobody listens take room as well.
    assert numbers[-1] >= 2999 - (status != 0) * 10
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert not wireshark.experts(files[0], "warn")


@pytest.mark.parametrize("ring", ["1kb", "no", -1, 1.5, True])
def test_a_ring_has_to_be_a_size(tmp_path: Path, ring: object) -> None:
    async def main() -> None:
        async with pystack.Network(seed=3) as net:
            net.capture(tmp_path / "x.pcapng", ring=ring)  # type: ignore[arg-type]

    with pytest.raises(pystack.ConfigError):
        pystack.run(main)
    assert list(tmp_path.iterdir()) == []


def test_what_a_capture_is_told_has_to_be_possible(tmp_path: Path) -> None:
    async def main() -> None:
        async with pystack.Network(seed=3) as net:
            net.capture(tmp_path / "x.pcap", secrets=True)

    with pytest.raises(pystack.ConfigError, match="classic pcap has no place for secrets"):
        pystack.run(main)
    assert list(tmp_path.iterdir()) == []


def https(path: Path, *, secrets: bool) -> None:
    async def main() -> None:
        async with pystack.Network(seed=3, ip="4") as net:
            client, server = build(net, far=True, delay="5ms")
            net.capture(path, secrets=secrets)
            await pystack.serve(server, "https")
            await fetch(client)

    pystack.run(main)


async def fetch(client: pystack.Host) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stream = await client.open_tcp_stream("server", 443)
    tls = await tls_client(stream, context, "server")
    await tls.send_all(b"GET /bytes/500 HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")
    received = b""
    while data := await tls.receive_some():
        received += data
    assert received.startswith(b"HTTP/1.1 200")
    await tls.aclose()


def test_wireshark_decrypts_tls_with_the_one_file_if_the_user_allows_it(tmp_path: Path) -> None:
    for secrets in (True, False):
        path = tmp_path / f"{secrets}.pcapng"
        https(path, secrets=secrets)
        requests = wireshark.fields(path, "http.request.uri", where="http.request")
        assert requests == ([["/bytes/500"]] if secrets else [])
        assert b"CLIENT_TRAFFIC_SECRET" in path.read_bytes() or not secrets
        assert not wireshark.experts(path, "warn")
