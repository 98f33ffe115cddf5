"""Lines for people: to a pipe whose reader sleeps, goes, or reads on."""

import os
import signal
from collections.abc import Iterator
from typing import TextIO

import pytest

from pystack.cli.output import Lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reader, writer = os.pipe()
    with open(writer, "w") as stream, open(reader, "rb", buffering=0):
        yield reader, stream


def test_a_line_is_there_at_once(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    lines = Lines(stream)
    lines.put("one")
    lines.put("two")
    assert os.read(reader, 100) == b"one\ntwo\n"
    lines.close()


def test_a_reader_that_sleeps_costs_lines_and_never_time(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    lines = Lines(stream)
    for number in range(40_000):
        lines.put(f"{number:059}")  # 2.4 MB, into 64 KiB of pipe and 1 MiB of memory
    found = b""
    while b"left out" not in found:
        found += os.read(reader, 65536)
        lines.put("and on")
    whole = found.split(b"\n")
    place = next(at for at, line in enumerate(whole) if b"left out" in line)
    numbers = [int(line) for line in whole[:place] if line != b"and on"]
    assert numbers == list(range(len(numbers)))
    assert 10_000 < len(numbers) < 40_000
    lines.close()


def test_a_reader_that_goes_ends_the_program_in_order() -> None:
    reader, writer = os.pipe()
    taken: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: taken.append(number))
    try:
        with open(writer, "w") as stream:
            os.close(reader)
            lines = Lines(stream)
            lines.put("one")
            lines.put("two")
            assert lines.is_broken
    finally:
        signal.signal(signal.SIGTERM, before)
    assert taken == [signal.SIGTERM]


def test_a_full_disk_is_nothing_to_end_for() -> None:
    with open("/dev/full", "w") as stream:
        lines = Lines(stream)
        lines.put("one")
        lines.close()
        assert not lines.is_broken


def test_a_file_and_what_is_closed_are_written_too(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "log")
    with open(path, "w") as stream:
        lines = Lines(stream)
        lines.put("one")
        lines.put("two")
        lines.close()
    with open(path) as written:
        assert written.read() == "one\ntwo\n"
    Lines(None).put("to nowhere")
