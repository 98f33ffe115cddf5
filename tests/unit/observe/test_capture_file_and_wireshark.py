"""Captures as Wireshark's tools write them, read as tshark reads them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import sample_frames as four
from sample_captures import interface, option, packet, pcap, section

from pystack.core.errors import ConfigError
from pystack.observe.captures.capture_file import read_capture

TOOLS = ("editcap", "mergecap", "tshark")
MISSING = [name for name in TOOLS if shutil.which(name) is None]
FRAMES = four.ordinary_frames()

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not here: {', '.join(MISSING)}")


def ours(path: Path) -> list[tuple[int, int, int, str]]:
    """Return instant, bytes that are there, bytes that were, and comment of each frame."""
    return [
        (frame.at_ns, len(frame.data), frame.original_length, ",".join(frame.comments))
        for frame in read_capture(path)
    ]


def theirs(path: Path) -> list[tuple[int, int, int, str]]:
    fields = ("frame.time_epoch", "frame.cap_len", "frame.len", "frame.comment")
    columns = [part for name in fields for part in ("-e", name)]
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *columns]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = []
    for row in done.stdout.splitlines():
        at, here, length, comment = row.split("\t")
        seconds, _, fraction = at.partition(".")
        at_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9])
        found.append((at_ns, int(here), int(length), comment))
    return found


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Return a capture of two interfaces, with comments."""
    data = section()
    for name in (b"one", b"two"):
        data += interface(options=option("<", 2, name) + option("<", 9, b"\x09"))
    for number, frame in enumerate(FRAMES):
        note = option("<", 1, f"frame {number}".encode()) if number % 3 == 0 else b""
        data += packet("<", 10**18 + number * 1_000_001, frame, number % 2, note)
    path = tmp_path / "x.pcapng"
    path.write_bytes(data)
    return path


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)


def test_a_file_of_ours_is_read_as_tshark_reads_it(capture: Path) -> None:
    assert ours(capture) == theirs(capture)
    assert len(ours(capture)) == len(FRAMES)


@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "pcapng", "modpcap"])
def test_what_editcap_makes_of_it(capture: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "y"
    if kind == "modpcap":
        run("editcap", "-F", kind, capture, path)
        with pytest.raises(ConfigError, match="modified pcap"):
            read_capture(path)
        return
    run("editcap", "-F", kind, capture, path)
    assert ours(path) == theirs(path)


@pytest.mark.parametrize("words", [("-s", "60"), ("-t", "0.5"), ("-r", "3-9")])
def test_what_was_cut_moved_and_picked(
    capture: Path, tmp_path: Path, words: tuple[str, str]
) -> None:
    path = tmp_path / "y"
    if words[0] == "-r":
        run("editcap", "-r", capture, path, words[1])
    else:
        run("editcap", *words, capture, path)
    found = ours(path)
    assert found == theirs(path)
    assert words[0] != "-s" or max(here for _, here, _, _ in found) == 60


def test_files_that_mergecap_has_put_together(capture: Path, tmp_path: Path) -> None:
    other, path = tmp_path / "z.pcap", tmp_path / "y"
    rows = [(10**9, number * 1500, frame) for number, frame in enumerate(FRAMES)]
    other.write_bytes(pcap(rows, ">"))
    run("mergecap", "-w", path, capture, other)
    assert ours(path) == theirs(path)
    assert len(ours(path)) == 2 * len(FRAMES)
    run("mergecap", "-a", "-w", path, capture, other)
    assert ours(path) == theirs(path)


def test_interfaces_and_names_of_a_merged_file(capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "y"
    run("mergecap", "-I", "none", "-w", path, capture, capture)
    found = read_capture(path)
    assert len(list(found)) == 2 * len(FRAMES)
    assert {each.name for each in found.interfaces} == {"one", "two"}
