"""Many messages for one Maildir: together where the disk is slow, whoever is cancelled."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from smtp_talk import files

from pystack.apps.smtp.delivery import DeliveryError, MaildirStore
from pystack.apps.smtp.maildir import Delivery, Maildir
from pystack.apps.smtp.message import Message

pytestmark = pytest.mark.trio


class SlowFiles:
    """Those of `os`, but an fsync waits until it may go on."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches = 0

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def fsync(self, fd: int) -> None:
        if not self.gate.wait(60):
            raise OSError(errno.EIO, "the test has forgotten to open the gate")
        os.fsync(fd)


def a_message(number: int) -> Message:
    return Message(
        sender="",
        recipients=("c",),
        data=b"%d\r\n" % number,
        received_at_s=1.5,
        helo="c",
        address="",
        protocol="SMTP",
        host_name="h",
        ident="1",
    )


class CountingMaildir(Maildir):
    batches: list[int]

    def deliver(self, deliveries: list[Delivery]) -> None:  # type: ignore[override]
        self.batches.append(len(deliveries))
        super().deliver(deliveries)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[CountingMaildir, SlowFiles]]:
    slow_files = SlowFiles()
    maildir = CountingMaildir(tmp_path, "host", slow_files)  # type: ignore[arg-type]
    maildir.batches = []
    yield maildir, slow_files
    slow_files.gate.set()


async def test_a_slow_disk_holds_up_nobody_else_and_takes_many_at_once(
    tmp_path: Path, slow: tuple[CountingMaildir, SlowFiles]
) -> None:
    maildir, slow_files = slow
    store = MaildirStore(maildir)
    done: list[int] = []

    async def keep(number: int) -> None:
        await store.keep(a_message(number))
        done.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, 0)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(1, 101):
            nursery.start_soon(keep, number)
        await trio.testing.wait_all_tasks_blocked()  # the fsync waits, and this task runs
        assert done == []
        slow_files.gate.set()
    assert sorted(done) == list(range(101))
    assert maildir.batches == [1, 64, 36]
    assert len(files(tmp_path)) == 101


@pytest.mark.parametrize("cancelled", [{0}, {1}, {0, 1}, {2, 5}, set(range(10))])
async def test_who_is_cancelled_holds_up_nobody(
    tmp_path: Path, slow: tuple[CountingMaildir, SlowFiles], cancelled: set[int]
) -> None:
    maildir, slow_files = slow
    store = MaildirStore(maildir)
    scopes = [trio.CancelScope() for _ in range(10)]
    done: list[int] = []

    async def keep(number: int) -> None:
        with scopes[number]:
            await store.keep(a_message(number))
            done.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(keep, number)
            await trio.testing.wait_all_tasks_blocked()
        for number in cancelled:
            scopes[number].cancel()
        slow_files.gate.set()
    assert set(range(1, 10)) - cancelled <= set(done)
    texts = {int(text.rsplit(b"\n", 2)[1]) for text in files(tmp_path)}
    assert texts >= set(done)
    await store.keep(a_message(10))


@pytest.mark.parametrize("ticks", range(8))
@pytest.mark.parametrize("cancelled", [{0}, {1}, {0, 1}, {0, 1, 2}, {1, 2, 3}])
async def test_whenever_they_are_cancelled_the_others_are_written(
    tmp_path: Path, ticks: int, cancelled: set[int]
) -> None:
    store = MaildirStore(Maildir(tmp_path, "host"))
    scopes = [trio.CancelScope() for _ in range(5)]
    done: list[int] = []

    async def keep(number: int) -> None:
        with scopes[number]:
            await store.keep(a_message(number))
            done.append(number)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(keep, number)
            for _ in range(ticks):
                await trio.lowlevel.cancel_shielded_checkpoint()
            for number in cancelled:
                scopes[number].cancel()
        assert set(range(5)) - cancelled <= set(done)
        await store.keep(a_message(5))


async def test_one_that_fails_is_told_and_the_others_are_kept(tmp_path: Path) -> None:
    class FullDisk:
        writes = 0

        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def write(self, fd: int, data: memoryview) -> int:
            self.writes += 1
            if self.writes == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.write(fd, data)

    store = MaildirStore(Maildir(tmp_path, "host", FullDisk()))  # type: ignore[arg-type]
    failed: list[str] = []

    async def keep(number: int) -> None:
        try:
            await store.keep(a_message(number))
        except DeliveryError as error:
            failed.append(str(error))

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(keep, number)
    assert failed == ["[Errno 28] No space left on device"]
    assert len(files(tmp_path)) == 3
    assert list((tmp_path / "Maildir" / "tmp").iterdir()) == []
