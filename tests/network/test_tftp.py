"""TFTP over emulated lines: files there and back, options, refusals, and who asks too much."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import tftp_client
import trio
from tftp_client import TftpError

import pystack
from pystack.apps.tftp import packets
from pystack.core.addresses import parse_ip6, parse_prefix

Program = Callable[[pystack.Host, pystack.Host], Awaitable[None]]
TEXT = Random(1).randbytes(5000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "text").write_bytes(TEXT)
    (tmp_path / "even").write_bytes(TEXT[:1024])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "lines").write_bytes(b"one\ntwo\r\nthree\r")
    (tmp_path / ".hidden").write_bytes(b"hidden")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "deep").write_bytes(b"deep")
    return tmp_path


def run(root: Path, program: Program, *, writable: bool = False, **line: object) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, **{"delay": "10ms", **line})  # type: ignore[arg-type]
            await pystack.serve(server, "tftp", root=root, writable=writable)
            await program(client, server)

    pystack.run(main, until=3600)


@asynccontextmanager
async def asking(
    client: pystack.Host, server: pystack.Host, request: packets.Request
) -> AsyncIterator[pystack.UdpSocket]:
    """Give a socket from which a transfer has been asked for."""
    async with await client.open_udp_socket() as socket:
        await socket.send_to(packets.pack_request(request), (server.address, 69))
        yield socket


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"blksize": "1000"},
        {"blksize": "60000", "tsize": "0", "timeout": "2"},
        {"windowsize": "4"},
        {"blksize": "8", "windowsize": "64"},
        {"unknown": "x", "blksize": "7", "windowsize": "0", "timeout": "256"},
    ],
)
def test_files_come_whole(root: Path, options: dict[str, str]) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        for name in ("text", "even", "empty", "/text", "below/../below//deep"):
            found = await tftp_client.fetch(client, server.address, name.encode(), options)
            assert found == (root / name.lstrip("/")).read_bytes()

    run(root, program)


def test_options_are_told_as_they_are_taken(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        asked = {"blksize": "60000", "TSIZE": "0", "timeout": "3", "windowsize": "99", "x": "y"}
        async with asking(
            client, server, packets.Request(False, b"text", "OCTET", asked)
        ) as socket:
            packet = packets.parse((await socket.receive_from())[0])
        assert packet == packets.OptionAck(
            {"blksize": "1468", "tsize": "5000", "timeout": "3", "windowsize": "32"}
        )

    run(root, program)


@pytest.mark.parametrize("options", [{}, {"blksize": "1468", "windowsize": "1"}])
def test_files_are_taken_whole(root: Path, options: dict[str, str]) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        for size in (0, 1, 511, 512, 513, 5000, 1468 * 2):
            await tftp_client.bring(client, server.address, b"new", TEXT[:size], options)
            assert (root / "new").read_bytes() == TEXT[:size]

    run(root, program, writable=True)
    assert not list(root.glob(".*part"))


def test_who_has_been_stopped_takes_up_no_room(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        for _ in range(20):
            async with asking(
                client, server, packets.Request(False, b"text", "octet", {})
            ) as socket:
                data, peer = await socket.receive_from()
                assert isinstance(packets.parse(data), packets.Data)
                await socket.send_to(packets.pack_ack(1), peer)  # and its port is closed
            await trio.sleep(0.1)  # the next block is answered by ICMP
        assert server.counters["tftp_transfers_refused"] == 0

    run(root, program)


def test_a_stranger_who_has_gone_disturbs_no_transfer(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        async with asking(client, server, packets.Request(False, b"even", "octet", {})) as socket:
            _, peer = await socket.receive_from()
            async with await client.open_udp_socket() as stranger:
                await stranger.send_to(packets.pack_ack(1), peer)
            await trio.sleep(0.1)  # the refusal has found a closed port
            began = trio.current_time()
            await socket.send_to(packets.pack_ack(1), peer)
            data, _ = await socket.receive_from()
            assert packets.parse(data) == packets.Data(2, TEXT[512:1024])
            assert trio.current_time() - began == pytest.approx(0.02)

    run(root, program)


def test_a_window_of_blocks_is_acknowledged_once(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        asked = {"windowsize": "4"}
        async with asking(client, server, packets.Request(True, b"new", "octet", asked)) as socket:
            offer, peer = await socket.receive_from()
            assert packets.parse(offer) == packets.OptionAck(asked)
            for block in range(1, 10):
                payload = TEXT[(block - 1) * 512 : block * 512]
                await socket.send_to(packets.pack_data(block, payload), peer)
            answers = [packets.parse((await socket.receive_from())[0]) for _ in range(2)]
            assert answers == [packets.Ack(4), packets.Ack(8)]
            await socket.send_to(packets.pack_data(10, b""), peer)
            assert packets.parse((await socket.receive_from())[0]) == packets.Ack(10)
        assert (root / "new").read_bytes() == TEXT[: 9 * 512]

    run(root, program, writable=True)


def test_netascii_has_lines_of_the_net_on_the_way_and_those_of_here_in_files(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        found = await tftp_client.fetch(client, server.address, b"lines", mode="netascii")
        assert found == b"one\r\ntwo\r\0\r\nthree\r\0"
        for size in (8, 9, 10, 11):  # a CR LF is cut in two somewhere
            options = {"blksize": str(size)}
            await tftp_client.bring(client, server.address, b"new", found, options, "netascii")
            assert (root / "new").read_bytes() == (root / "lines").read_bytes()

    run(root, program, writable=True)


@pytest.mark.parametrize(
    ("name", "is_write", "mode", "code"),
    [
        (b"nothing", False, "octet", packets.NOT_FOUND),
        (b"", False, "octet", packets.NOT_FOUND),
        (b"../../../etc/passwd", False, "octet", packets.NOT_FOUND),
        (b".hidden", False, "octet", packets.NOT_FOUND),
        (b"below", False, "octet", packets.ACCESS_VIOLATION),
        (b"text", False, "mail", packets.ILLEGAL),
        (b"x" * 300, False, "octet", packets.NOT_FOUND),
        (b"new", True, "octet", packets.ACCESS_VIOLATION),
    ],
)
def test_what_cannot_be_is_refused_by_its_code(
    root: Path, name: bytes, is_write: bool, mode: str, code: int
) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        asking = (
            tftp_client.bring(client, server.address, name, b"x", mode=mode)
            if is_write
            else tftp_client.fetch(client, server.address, name, mode=mode)
        )
        with pytest.raises(TftpError, match=f"^{code}: "):
            await asking

    run(root, program)


@pytest.mark.parametrize("name", [b".new", b"below", b"nowhere/new", b"text/new"])
def test_not_everything_can_be_written(root: Path, name: bytes) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        with pytest.raises(TftpError, match=r"^[12]: "):
            await tftp_client.bring(client, server.address, name, b"x")

    run(root, program, writable=True)
    assert not list(root.glob(".*part"))


def test_an_upload_that_is_given_up_leaves_nothing(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        async with asking(client, server, packets.Request(True, b"text", "octet", {})) as socket:
            _, peer = await socket.receive_from()
            await socket.send_to(packets.pack_data(1, b"x" * 512), peer)
            await trio.sleep(60)
        assert (root / "text").read_bytes() == TEXT

    run(root, program, writable=True)
    assert not list(root.glob(".*part"))


def test_an_acknowledgment_that_comes_twice_is_answered_once(root: Path) -> None:
    """Else every packet is repeated to the end of the file: the Sorcerer's Apprentice."""

    async def program(client: pystack.Host, server: pystack.Host) -> None:
        async with asking(client, server, packets.Request(False, b"text", "octet", {})) as socket:
            blocks = []
            with trio.move_on_after(0.9):
                while True:
                    payload, peer = await socket.receive_from()
                    packet = packets.parse(payload)
                    assert isinstance(packet, packets.Data)
                    blocks.append(packet.block)
                    for _ in range(2):
                        await socket.send_to(packets.pack_ack(packet.block), peer)
        assert blocks == list(range(1, 11))

    run(root, program)


def test_what_is_lost_is_sent_again_later_and_later_and_given_up(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        async with asking(client, server, packets.Request(False, b"text", "octet", {})) as socket:
            at = []
            with trio.move_on_after(100):
                while True:
                    _, peer = await socket.receive_from()
                    at.append(round(trio.current_time(), 3))
                    if len(at) == 1:
                        await socket.send_to(packets.pack_ack(1), peer)
            _, *later = at
            assert [round(each - later[0], 3) for each in later] == [0, 1, 3, 7, 15, 23]

    run(root, program)


def test_somebody_who_was_never_heard_gets_little(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        request = packets.pack_request(packets.Request(False, b"text", "octet", {}))
        async with AsyncExitStack() as ports:
            for _ in range(50):  # as if from a victim's ports, which are there and say nothing
                socket = await ports.enter_async_context(await client.open_udp_socket())
                await socket.send_to(request, (server.address, 69))
                await trio.sleep(0.1)
            await trio.sleep(100)
        # 8 transfers at once of one address; what they send is bounded by bytes besides.
        assert server.counters["tftp_transfers_refused"] > 20
        assert server.counters["udp_datagrams_out"] < 100

    run(root, program)


def test_a_network_full_of_addresses_has_no_more_transfers_than_one(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        request = packets.pack_request(packets.Request(False, b"text", "octet", {}))
        interface, block = client.stack.interfaces[1], parse_prefix("fd00::/64")
        async with AsyncExitStack() as ports:
            for number in range(0x100, 0x132):  # one /64
                address = f"fd00::{number:x}"
                client.stack.add_address(interface, parse_ip6(address), block)
                opening = client.open_udp_socket(host=address)
                socket = await ports.enter_async_context(await opening)
                await socket.send_to(request, (server.address6, 69))
                await trio.sleep(0.01)
        assert server.counters["tftp_transfers_refused"] == 42

    run(root, program)


def test_a_stranger_does_not_disturb_a_transfer(root: Path) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        request = packets.Request(False, b"even", "octet", {})
        async with asking(client, server, request) as socket, await client.open_udp_socket() as odd:
            _, peer = await socket.receive_from()
            await odd.send_to(packets.pack_ack(1), peer)
            packet = packets.parse((await odd.receive_from())[0])
            assert packet == packets.Error(packets.UNKNOWN_ID, "unknown transfer")
            await odd.send_to(packets.pack_error(0, "stop"), peer)
            await socket.send_to(packets.pack_ack(1), peer)
            assert packets.parse((await socket.receive_from())[0]) == packets.Data(
                2, TEXT[512:1024]
            )

    run(root, program)


def test_a_file_of_more_blocks_than_numbers_comes_whole(root: Path) -> None:
    size = 8 * 65_600 + 3
    (root / "long").write_bytes(TEXT[:1000] * (size // 1000) + TEXT[: size % 1000])

    async def program(client: pystack.Host, server: pystack.Host) -> None:
        options = {"blksize": "8", "windowsize": "32"}
        found = await tftp_client.fetch(client, server.address, b"long", options)
        assert found == (root / "long").read_bytes()

    run(root, program, delay="0.1ms")


@pytest.mark.parametrize("options", [{}, {"windowsize": "8"}, {"blksize": "1400", "tsize": "0"}])
@pytest.mark.parametrize("seed", range(8))
def test_bad_lines_only_take_longer(root: Path, options: dict[str, str], seed: int) -> None:
    async def program(client: pystack.Host, server: pystack.Host) -> None:
        assert await tftp_client.fetch(client, server.address, b"text", options) == TEXT
        await tftp_client.bring(client, server.address, b"new", TEXT, {"blksize": "700"})
        assert (root / "new").read_bytes() == TEXT

    line = {"loss": "10%", "duplicate": "10%", "reorder": "10%", "corrupt": "1%", "seed": seed}
    run(root, program, writable=True, **line)


def test_what_lingers_does_not_end_the_next_transfer_of_its_peer(root: Path) -> None:
    """A client may use one port for all: who wrote a file and reads another has one transfer."""

    async def program(client: pystack.Host, server: pystack.Host) -> None:
        async with await client.open_udp_socket() as socket:
            write = packets.pack_request(packets.Request(True, b"new", "octet", {}))
            read = packets.pack_request(packets.Request(False, b"text", "octet", {}))
            await socket.send_to(write, (server.address, 69))
            _, peer = await socket.receive_from()
            await socket.send_to(packets.pack_data(1, b"all of it"), peer)
            assert packets.parse((await socket.receive_from())[0]) == packets.Ack(1)
            await socket.send_to(read, (server.address, 69))
            await trio.sleep(6)  # the first one does not linger any more
            before = server.counters["udp_datagrams_out"]
            await socket.send_to(read, (server.address, 69))
            await trio.sleep(0.5)
            # It is the same request: nothing is begun, nothing sent.
            assert server.counters["udp_datagrams_out"] == before

    run(root, program, writable=True)


def test_those_who_never_asked_make_room_for_those_who_do(root: Path) -> None:
    """64 requests with made-up senders would hold all places, for 90 s where they say so."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            server, switch = net.host("server"), net.switch("switch")
            net.link(server, switch, delay="10ms")
            hosts = [net.host(f"h{number}") for number in range(9)]
            for host in hosts:
                net.link(host, switch)
            await pystack.serve(server, "tftp", root=root)
            request = packets.Request(False, b"text", "octet", {"timeout": "30"})
            async with trio.open_nursery() as nursery:
                for host in hosts[:8]:
                    for _ in range(8):
                        socket = await host.open_udp_socket()
                        nursery.start_soon(
                            socket.send_to, packets.pack_request(request), (server.address, 69)
                        )
            await trio.sleep(1.5)
            assert await tftp_client.fetch(hosts[8], server.address, b"text") == TEXT
            assert server.counters["tftp_transfers_shed"] == 1

    pystack.run(main, until=3600)
