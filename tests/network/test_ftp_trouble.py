"""FTP and those who mean no good, or are just gone: it says so, in time, and nothing is left."""

import errno
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from ftp_client import BIG, Control, all_codes, drain, open_below, run

import pystack
from pystack.apps.ftp import limits
from pystack.apps.hosting import serve
from pystack.runtime.streams import TcpStream

HUGE = BIG * 15  # more than the buffers of the two ends hold


@pytest.fixture(autouse=True)
def _huge(root: Path) -> None:
    (root / "huge").write_bytes(HUGE)


def port_of(passive: str) -> int:
    found = re.search(r"\(\|\|\|([0-9]+)\|\)", passive)
    assert found
    return int(found[1])


async def pour(stream: trio.abc.SendStream, part: bytes) -> None:
    """Send it again and again."""
    while True:
        await stream.send_all(part)


Three = Callable[[pystack.Network, Control, pystack.Host], Awaitable[None]]


def run_three(root: Path, talk: Three, **words: object) -> pystack.Host:
    """As `run`, with a third host on the same switch."""
    hosts = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server, other = net.host("client"), net.host("server"), net.host("other")
            switch = net.switch("switch")
            for host in (client, server, other):
                net.link(host, switch, delay="1ms")
            hosts.append(server)
            await serve(server, "ftp", root=root, **words)  # type: ignore[misc]
            control = Control(client, await client.open_tcp_stream("server", 21))
            with trio.fail_after(7200):
                await control.login()
                await talk(net, control, other)

    pystack.run(main)
    return hosts[0]


# data connections


def test_no_bounce(root: Path) -> None:
    async def talk(net: pystack.Network, control: Control, other: pystack.Host) -> None:
        (listener,) = await other.open_tcp_listeners(5000)
        address = other.address.replace(".", ",")
        assert await control.code(f"PORT {address},19,136") == 504
        assert await control.code(f"EPRT |1|{other.address}|5000|") == 504
        own = control.host.address.replace(".", ",")
        assert await control.code(f"PORT {own},0,25") == 504
        assert await control.code("PORT 127,0,0,1,19,136") == 504
        assert await control.code("LIST") == 425
        with trio.move_on_after(60):
            await listener.accept()
            raise AssertionError("it came")

    assert run_three(root, talk).counters["ftp_bounces_refused"] == 4


def test_no_theft(root: Path) -> None:
    async def talk(net: pystack.Network, control: Control, other: pystack.Host) -> None:
        port = port_of((await control.do("EPSV")).text)
        thief = await other.open_tcp_stream("server", port)
        with pytest.raises(trio.BrokenResourceError):
            await thief.receive_some()
        data = await control.host.open_tcp_stream("server", port)
        await control.send("RETR hello")
        assert await data.receive_some() == b"hello\n"
        assert [(await control.answer()).code for _ in range(2)] == [150, 226]
        with pytest.raises(ConnectionRefusedError):
            await other.open_tcp_stream("server", port)

    assert run_three(root, talk).counters["ftp_data_strangers"] == 1


@pytest.mark.parametrize("how", ["passive", "active, refused", "active, silent"])
def test_no_data_connection_comes(root: Path, how: str) -> None:
    async def talk(control: Control) -> None:
        if how == "passive":
            await control.code("EPSV")
        elif how == "active, refused":
            listener = await control.listen()
            listener.close()
        else:
            address = control.host.address.replace(".", ",")
            assert await control.code(f"PORT {address},200,1") == 200
        began = trio.current_time()
        await control.send("RETR hello")
        said = await control.answer()
        if how == "passive":
            assert said.code == 150
            said = await control.answer()
            assert 19 < trio.current_time() - began < 21
        assert said.code == 425
        assert await control.get("RETR hello") == b"hello\n"

    run(root, talk)


def test_a_passive_port_that_nobody_comes_to_is_closed(root: Path) -> None:
    async def talk(control: Control) -> None:
        ports = [port_of((await control.do("EPSV")).text) for _ in range(50)]
        for port in ports[:-1]:  # each takes the place of the one before
            with pytest.raises(ConnectionRefusedError):
                await control.host.open_tcp_stream("server", port)
        await trio.sleep(61)
        with pytest.raises(ConnectionRefusedError):
            await control.host.open_tcp_stream("server", ports[-1])
        assert await control.code("LIST") == 425

    run(root, talk)


def test_a_client_that_takes_nothing_is_told_and_cut_off(root: Path) -> None:
    async def talk(control: Control) -> None:
        data = await control.passive()
        await control.send("RETR huge")
        assert (await control.answer()).code == 150
        began = trio.current_time()
        assert (await control.answer()).code == 426
        assert 200 < trio.current_time() - began < 300
        with pytest.raises(trio.BrokenResourceError):
            await drain(data)
        assert await control.code("NOOP") == 200

    run(root, talk)


def test_an_upload_that_stands_still_ends_and_what_came_stays(root: Path) -> None:
    async def talk(control: Control) -> None:
        data = await control.passive()
        await control.send("STOR up")
        await control.answer()
        await data.send_all(BIG[:300_000])
        began = trio.current_time()
        assert (await control.answer()).code == 426
        assert 59 < trio.current_time() - began < 62
        assert (root / "up").read_bytes() == BIG[:300_000]
        assert (await control.do("SIZE up")).text == "213 300000"
        await control.code("REST 300000")
        await control.put("STOR up", BIG[300_000:])
        assert (root / "up").read_bytes() == BIG

    run(root, talk, writable=True)


@pytest.mark.parametrize("command", ["STOR up", "APPE up", "RETR huge", "LIST", "STOU"])
def test_a_client_whose_power_goes_leaves_nothing(root: Path, command: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="5ms", rate="10mbit")
            await serve(server, "ftp", root=root, writable=True)
            control = Control(client, await client.open_tcp_stream("server", 21))
            await control.login()
            data = await control.passive()
            await control.send(command)
            await control.answer()
            if command[0] != "R":
                await data.send_all(b"x" * 1000)
            await trio.sleep(0.1)
            client.power_off()
            await trio.sleep(2000)
            assert not server.connections()
            assert not open_below(root)

    pystack.run(main)


def test_a_reset_in_an_upload_is_no_end(root: Path) -> None:
    async def talk(control: Control) -> None:
        data = await control.passive()
        await control.send("STOR up")
        await control.answer()
        await data.send_all(b"half")
        await trio.sleep(1)
        assert isinstance(data, TcpStream)
        data.abort()
        assert (await control.answer()).code == 426
        assert (root / "up").read_bytes() == b"half"
        data = await control.passive()
        await control.send("RETR huge")
        await control.answer()
        await data.receive_some(10)
        data.abort()  # type: ignore[attr-defined]
        assert (await control.answer()).code == 426

    run(root, talk, link={"delay": "5ms", "rate": "10mbit"}, writable=True)


def test_active_connections_come_from_the_port_below(root: Path) -> None:
    async def talk(control: Control) -> None:
        listener = await control.listen()
        address = control.host.address.replace(".", ",")
        port = listener.address[1]
        for expected in (20, None):  # the same again: what is left of the first is in the way
            assert await control.code(f"PORT {address},{port >> 8},{port & 255}") == 200
            await control.send("RETR hello")
            data = await listener.accept()
            assert expected in (None, data.remote_address[1])
            assert await drain(data) == b"hello\n"
            assert [(await control.answer()).code for _ in range(2)] == [150, 226]

    run(root, talk)


# ABOR


@pytest.mark.parametrize("synch", [False, True])
@pytest.mark.parametrize("command", ["RETR huge", "STOR up", "APPE up"])
def test_a_transfer_is_aborted(root: Path, command: str, *, synch: bool) -> None:
    async def talk(control: Control) -> None:
        data = await control.passive()
        await control.send(command)
        await control.answer()
        await data.send_all(b"x" * 1000)
        await trio.sleep(0.5)
        if synch:
            stream = control.stream
            assert isinstance(stream, TcpStream)
            await stream.send_all(b"\xff\xf4")
            await stream.send_urgent(b"\xff\xf2")
        await control.send("ABOR")
        assert [(await control.answer()).code for _ in range(2)] == [426, 226]
        with pytest.raises(trio.BrokenResourceError):
            await drain(data)
        assert await control.code("ABOR") == 226
        assert await control.get("RETR hello") == b"hello\n"

    run(root, talk, link={"delay": "5ms", "rate": "10mbit"}, writable=True)


def test_what_comes_during_a_transfer_is_answered_or_kept(root: Path) -> None:
    async def talk(control: Control) -> None:
        data = await control.passive()
        await control.send("RETR huge")
        await control.answer()
        assert await control.code("NOOP") == 200
        status = await control.do("STAT")
        assert b"bytes transferred so far" in status.lines[-2]
        await control.send("PWD", "NOOP", "SYST", "CWD sub", "PWD")
        assert await drain(data) == HUGE
        codes = [(await control.answer()).code for _ in range(6)]
        assert codes == [226, 257, 200, 215, 250, 257]

    run(root, talk, link={"delay": "5ms", "rate": "10mbit"})


@pytest.mark.parametrize("ends", [False, True])
def test_quit_during_a_transfer_waits_for_its_end(root: Path, *, ends: bool) -> None:
    async def talk(control: Control) -> None:
        data = await control.passive()
        await control.send("RETR huge", "QUIT")
        if ends:
            await control.stream.send_eof()
        assert await drain(data) == HUGE
        assert [(await control.answer()).code for _ in range(3)][1:] == [226, 221]

    run(root, talk, link={"delay": "5ms", "rate": "10mbit"})


def test_the_end_of_the_control_connection_ends_the_transfer(root: Path) -> None:
    async def talk(control: Control) -> None:
        data = await control.passive()
        await control.send("RETR huge")
        await control.stream.send_eof()
        with pytest.raises(trio.BrokenResourceError):
            await drain(data)

    run(root, talk, link={"delay": "5ms", "rate": "1mbit"})


# the control connection


def test_whoever_says_nothing_is_sent_away(root: Path) -> None:
    async def talk(control: Control) -> None:
        await control.answer()
        began = trio.current_time()
        assert (await control.answer()).code == 421
        assert 59 < trio.current_time() - began < 61
        with pytest.raises(EOFError):
            await control.line()

    run(root, talk, login=False)


def test_so_is_who_says_nothing_more(root: Path) -> None:
    async def talk(control: Control) -> None:
        began = trio.current_time()
        assert (await control.answer()).code == 421
        assert 299 < trio.current_time() - began < 301

    run(root, talk)


def test_a_byte_at_a_time_is_no_way_to_stay(root: Path) -> None:
    async def talk(control: Control) -> None:
        await control.answer()

        async def dribble() -> None:
            await control.stream.send_all(b"N")
            await trio.sleep(1)
            await dribble()

        with pytest.raises(trio.BrokenResourceError):
            await dribble()
        assert trio.current_time() < 70

    run(root, talk, login=False)


def test_who_speaks_another_protocol_is_sent_away(root: Path) -> None:
    async def talk(control: Control) -> None:
        head = "".join(f"X-Header-{n}: USER anonymous\r\n" for n in range(30))
        await control.send(f"POST / HTTP/1.1\r\nHost: server\r\n{head}\r\nUSER anonymous")
        codes = await all_codes(control)
        assert codes == [220, *[500] * 10, 421]

    assert run(root, talk, login=False).counters["ftp_no_client"] == 1


def test_a_line_without_an_end(root: Path) -> None:
    async def talk(control: Control) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await pour(control.stream, b"A" * 100_000)

    run(root, talk, login=False)


def test_a_long_line_is_refused_and_the_next_one_read(root: Path) -> None:
    async def talk(control: Control) -> None:
        await control.send("CWD " + "a" * 100_000, "NOOP")
        assert [(await control.answer()).code for _ in range(2)] == [500, 200]

    run(root, talk)


def test_telnet_options_are_refused(root: Path) -> None:
    async def talk(control: Control) -> None:
        await control.stream.send_all(b"\xff\xfb\x01\xff\xfd\x06\xff\xfe\x01NO\xff\xf1OP\r\n")
        assert await control.line() == b"\xff\xfe\x01\xff\xfc\x06200 Yes"
        await control.stream.send_all(b"NOOP\nNOOP\r\n")  # LF alone is an end too
        assert [(await control.answer()).code for _ in range(2)] == [200, 200]

    run(root, talk)


def test_pipelined_nonsense(root: Path) -> None:
    async def talk(control: Control) -> None:
        await control.send(*["RETR hello", "LIST", "PASV", "EPSV", "RNTO x", "ABOR"] * 100)
        codes = [(await control.answer()).code for _ in range(600)]
        assert codes == [425, 425, 227, 229, 550, 226] * 100
        assert await control.get("RETR hello") == b"hello\n"

    run(root, talk)


# files that make trouble


def test_a_full_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, room = os.pwrite, [2_500_000]

    def pwrite(descriptor: int, data: memoryview, at: int) -> int:
        if at >= room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[: room[0] - at], at)

    monkeypatch.setattr(os, "pwrite", pwrite)

    async def talk(control: Control) -> None:
        # A client that looks at the control connection only when all is sent hears why, too.
        data = await control.passive()
        await control.send("STOR up")
        await control.answer()
        await data.send_all(HUGE)
        await data.aclose()
        said = await control.answer()
        assert said.text == "452 No space left on device"
        assert (root / "up").stat().st_size == 2_500_000
        # It is told at once, and one that sends for ever is cut off.
        monkeypatch.setattr(limits, "DISCARDED_BYTES", 8_000_000)
        data = await control.passive()
        await control.send("STOR up")
        await control.answer()
        await data.send_all(BIG * 4)
        assert (await control.answer()).text == "452 No space left on device"
        with pytest.raises(trio.BrokenResourceError):
            await pour(data, BIG)
        assert await control.code("NOOP") == 200
        # What fits in what is gathered fails at the end.
        room[0] = 1000
        data = await control.passive()
        await control.send("STOR up")
        await control.answer()
        await data.send_all(b"x" * 2000)
        await data.aclose()
        assert (await control.answer()).code == 452

    run(root, talk, writable=True)


def test_a_file_that_is_changed_while_it_is_sent(root: Path) -> None:
    async def talk(control: Control) -> None:
        data = await control.passive()
        await control.send("RETR huge")
        await control.answer()
        await data.receive_some(10)
        os.truncate(root / "huge", 1000)
        with pytest.raises(trio.BrokenResourceError):
            await drain(data)
        assert (await control.answer()).code == 451

    run(root, talk, link={"delay": "5ms", "rate": "10mbit"})


def test_a_pipe_and_a_directory_are_no_files(root: Path) -> None:
    os.mkfifo(root / "pipe")

    async def talk(control: Control) -> None:
        assert await control.code("RETR pipe") == 550
        assert await control.code("STOR pipe") == 550
        assert await control.code("SIZE pipe") == 550

    run(root, talk, writable=True)
