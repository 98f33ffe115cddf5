"""FTP uploads that the disk has no room for: a client hears why, and can go on or leave."""

import errno
import os
from pathlib import Path

import pytest
import trio
from ftp_client import BIG, Control, all_codes, run
from test_ftp_tls import SecretControl
from test_ftp_tls import run as run_tls

from pystack.apps.ftp import limits

PLENTY = BIG * 4
FULL = "452 No space left on device"


@pytest.fixture(autouse=True)
def _full(monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(_descriptor: int, _data: memoryview, _at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", pwrite)


async def begin(control: Control) -> trio.abc.HalfCloseableStream:
    """Begin an upload; return its data connection once the server knows that it has no room."""
    data, _ = await control.opened("STOR up", active=False)
    await data.send_all(BIG * 2)
    assert (await control.answer()).text == FULL
    return data


async def is_cut(data: trio.abc.HalfCloseableStream) -> bool:
    """Send a little until that is answered by a reset, or for a second."""
    try:
        for _ in range(10):
            await data.send_all(b"x")
            await trio.sleep(0.1)
    except trio.BrokenResourceError:
        return True
    return False


def test_on_a_slow_line_too(root: Path) -> None:
    async def talk(control: Control) -> None:
        data, _ = await control.opened("STOR up", active=False)
        began_at = trio.current_time()
        await data.send_all(PLENTY)
        await data.aclose()
        assert trio.current_time() - began_at > limits.DATA_S
        assert (await control.answer()).text == FULL
        assert await control.code("NOOP") == 200

    run(root, talk, writable=True, link={"delay": "5ms", "rate": "200kbit"})


def test_in_tls(root: Path) -> None:
    async def talk(control: SecretControl) -> None:
        await control.log_in()
        for ends in (True, False):
            raw = await control.passive()
            await control.send("STOR up")
            assert (await control.answer()).code == 150
            data = await control.secret(raw)
            await data.send_all(PLENTY)
            if ends:
                await data.aclose()
            else:  # without a close_notify, and then with what is no record
                await raw.send_all(b"\x17\x03\x03\x00\x05hello")
                await raw.send_eof()
            assert (await control.answer()).text == FULL
            assert await control.code("NOOP") == 200

    run_tls(root, talk)


def test_our_side_stays_open_up_to_the_end_of_the_upload(root: Path) -> None:
    # A client that waits for either end, as those of asyncio do, would take ours for a failure.
    async def talk(control: Control) -> None:
        data = await begin(control)
        with trio.move_on_after(30) as scope:
            await data.receive_some()
        assert scope.cancelled_caught
        await data.send_all(BIG)
        await data.send_eof()
        assert await data.receive_some() == b""

    run(root, talk, writable=True)


def test_the_session_does_not_end_as_long_as_it_is_sent(root: Path) -> None:
    async def talk(control: Control) -> None:
        data = await begin(control)
        for _ in range(10):
            await trio.sleep(limits.DATA_S - 10)
            await data.send_all(b"x")
        assert await control.code("NOOP") == 200
        await data.aclose()
        assert await control.code("NOOP") == 200
        began_at = trio.current_time()
        assert await all_codes(control) == [421]
        assert trio.current_time() - began_at == pytest.approx(limits.IDLE_S, abs=1)

    run(root, talk, writable=True)


def test_who_holds_the_connections_open_is_answered_all_the_same(root: Path) -> None:
    async def talk(control: Control) -> None:
        began_at = trio.current_time()
        held = [await begin(control) for _ in range(limits.DISCARDS)]
        assert not any([await is_cut(data) for data in held])
        # One more has no place: it is told as soon as the others, and cut off.
        assert await is_cut(await begin(control))
        assert trio.current_time() - began_at < 20
        await trio.sleep(limits.DATA_S + 1)
        assert all([await is_cut(data) for data in held])
        assert not await is_cut(await begin(control))

    run(root, talk, writable=True)


def test_abor_cuts_it_off(root: Path) -> None:
    async def talk(control: Control) -> None:
        data = await begin(control)
        assert "transferred" not in (await control.do("STAT")).text
        assert not await is_cut(data)
        assert await control.code("ABOR") == 226
        assert await is_cut(data)
        assert await control.code("NOOP") == 200

    run(root, talk, writable=True)


@pytest.mark.parametrize("at_once", [True, False])
def test_quit_waits_for_the_end_of_it(root: Path, *, at_once: bool) -> None:
    async def talk(control: Control) -> None:
        data, _ = await control.opened("STOR up", active=False)
        if at_once:
            await control.send("QUIT")
        await data.send_all(PLENTY)
        if not at_once:
            await control.send("QUIT")
        await trio.sleep(20)
        await data.send_all(BIG)
        await data.aclose()
        assert await all_codes(control) == [452, 221]

    run(root, talk, writable=True, link={"delay": "5ms", "rate": "2mbit"})


def test_the_end_of_the_control_connection_is_that_of_it(root: Path) -> None:
    async def talk(control: Control) -> None:
        data = await begin(control)
        await control.stream.aclose()
        await trio.sleep(1)
        assert await is_cut(data)

    run(root, talk, writable=True)


def test_many_at_once(root: Path) -> None:
    """Each hears of it, and nothing is left when they have gone."""

    async def talk(control: Control) -> None:
        controls = [control]
        for _ in range(5):
            stream = await control.host.open_tcp_stream("server", 21)
            controls.append(Control(control.host, stream))
            await controls[-1].login()

        async def upload(number: int, each: Control) -> None:
            data, _ = await each.opened(f"STOR up{number}", active=False)
            await data.send_all(BIG * 4)
            await data.aclose()
            assert (await each.answer()).text == FULL

        async with trio.open_nursery() as nursery:
            for number, each in enumerate(controls):
                nursery.start_soon(upload, number, each)

    run(root, talk, writable=True)
