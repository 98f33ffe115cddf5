"""What is written while a stack runs: to full disks, to readers that sleep, to readers that go."""

import os
import resource
import threading
from pathlib import Path

import pytest

from pystack.core.errors import OutputError
from pystack.observe.captures.output import OutputFile, open_output
from pystack.runtime.driver.spool import Spool

RECORD = bytes(range(256)) * 40
TIMEOUT_S = 30.0


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def read_all(path: Path) -> tuple[threading.Thread, list[bytes]]:
    """Read a FIFO to its end in a thread."""
    found: list[bytes] = []

    def read() -> None:
        with path.open("rb") as file:
            found.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    return thread, found


def test_all_records_are_there_in_order(tmp_path: Path) -> None:
    records = [number.to_bytes(4, "big") * (number % 50) for number in range(5000)]
    spool = Spool("the file", str(tmp_path / "file"))
    for record in records:
        spool.write(record)
    spool.close()
    spool.close()
    assert (tmp_path / "file").read_bytes() == b"".join(records)


def test_a_reader_that_sleeps_costs_records_and_never_time(fifo: Path) -> None:
    said: list[str] = []
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    spool = Spool("the file", str(fifo), queue_bytes=4 * len(RECORD), say=said.append)
    for _ in range(1000):
        spool.write(RECORD)  # 10 MB, into a pipe of 64 KiB
    assert spool.dropped > 900
    os.set_blocking(reader, True)
    collected = bytearray()

    def read() -> None:
        while piece := os.read(reader, 65536):
            collected.extend(piece)

    thread = threading.Thread(target=read)
    thread.start()
    spool.close()
    thread.join(TIMEOUT_S)
    os.close(reader)
    assert collected == RECORD * (1000 - spool.dropped)
    assert said == [
        "the file is written too slowly: it will lack some of what was seen",
        f"the file lacks {spool.dropped} records, for it was written too slowly",
    ]


def test_a_reader_that_never_wakes_up_does_not_keep_the_end(
    fifo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pystack.runtime.driver.spool._END_S", 0.05)
    said: list[str] = []
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    spool = Spool("the file", str(fifo), say=said.append)
    for _ in range(100):
        spool.write(RECORD)
    spool.close()
    assert spool._thread is not None
    spool._thread.join(TIMEOUT_S)  # where the machine is busy, its word comes later
    os.close(reader)
    assert said == ["the file ends here: its reader did not read it to the end"]


def test_a_reader_that_goes_ends_it_with_a_word(fifo: Path) -> None:
    said: list[str] = []
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    spool = Spool("the file", str(fifo), say=said.append)
    os.close(reader)
    spool.write(RECORD)
    spool.close()
    spool.write(RECORD)
    assert said == ["the file ends here: nobody reads it any more"]


def test_a_fifo_waits_for_its_reader(fifo: Path) -> None:
    spool = Spool("the file", str(fifo))
    spool.write(RECORD)
    thread, found = read_all(fifo)
    while spool._file is None:
        pass  # the thread looks ten times a second
    spool.write(b"more")
    spool.close()
    thread.join(TIMEOUT_S)
    assert found == [RECORD + b"more"]


def test_a_fifo_stays_the_one_that_it_was(fifo: Path, tmp_path: Path) -> None:
    # Who may change the path could have another user's file emptied, were it looked up again.
    spool = Spool("the file", str(fifo))
    spool.write(RECORD)
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    moved = fifo.rename(tmp_path / "moved")
    fifo.symlink_to(other)
    reader = os.open(moved, os.O_RDONLY | os.O_NONBLOCK)
    while spool._file is None:
        pass  # the thread looks ten times a second
    spool.close()
    assert other.read_bytes() == b"precious"
    assert os.read(reader, 1 << 16) == RECORD
    os.close(reader)


def test_a_full_disk_ends_it_with_a_word() -> None:
    said: list[str] = []
    spool = Spool("the file", "/dev/full", say=said.append)
    spool.write(RECORD)
    spool.close()
    assert said == ["the file ends here: No space left on device"]


def test_it_ends_with_a_whole_record(tmp_path: Path) -> None:
    said: list[str] = []
    fd = open_output("the file", str(tmp_path / "file"))
    assert fd is not None
    file = OutputFile("the file", fd, say=said.append)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        file.write(bytes(30))
        file.write_all([(bytes(30),), (bytes(30),), (bytes(30),), (bytes(5),)])
        file.write(bytes(5))  # there would be room; but it has ended
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert said == ["the file ends here: File too large"]
    assert (file.records, file.has_ended) == (3, True)
    assert (tmp_path / "file").stat().st_size == 90


@pytest.mark.parametrize("path", ["/nonexistent/file", "/"])
def test_what_cannot_be_opened_is_refused_at_once(path: str) -> None:
    with pytest.raises(OutputError, match="cannot write the file"):
        Spool("the file", path)


def test_root_follows_no_link_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    if link.lstat().st_uid == 0:
        os.lchown(link, 65534, 65534)
    with pytest.raises(OutputError, match="link of another user, which root does not follow"):
        open_output("the file", str(link))
    assert not (tmp_path / "file").exists()
