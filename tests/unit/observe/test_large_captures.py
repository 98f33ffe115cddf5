"""A capture of 100 MB is read, looked through and told within 300 MB of memory."""

import struct
import subprocess
import sys
from pathlib import Path

from sample_captures import segment

from pystack.wire import ipv4, tcp

FRAMES = 66_000
TEXT_BYTES = 1460
MOST_BYTES = 300 << 20
# What `explain FILE` does, and how much memory it had at most, in KiB
PROGRAM = """
import re, sys
from pathlib import Path
from pystack.observe.captures.as_recording import recording_of
from pystack.observe.explain.telling import tell
recording = recording_of(sys.argv[1])
story = tell(recording.items, recording)
# not ru_maxrss: that has what the process was forked from as well
used = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(len(recording.items), recording.left_out, len(story.steps), used)
"""
_SEQ_AT = 14 + ipv4.HEADER_BYTES + 4


def write_large(path: Path) -> int:
    """Write a download of 100 MB, each second segment acknowledged; return how many frames."""
    begin = [
        segment(tcp.SYN, 100, 0),
        segment(tcp.SYN | tcp.ACK, 500, 101, answer=True),
        segment(tcp.ACK, 101, 501),
        segment(tcp.ACK | tcp.PSH, 101, 501, b"GET / HTTP/1.1\r\n\r\n"),
    ]
    text = bytearray(segment(tcp.ACK, 501, 119, bytes(TEXT_BYTES), answer=True))
    ack = bytearray(segment(tcp.ACK, 119, 501))
    count = 0
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))

        def put(frame: bytes | bytearray) -> None:
            nonlocal count
            at_ns = count * 100_000
            stamp = at_ns // 10**9, at_ns % 10**9
            file.write(struct.pack("<IIII", *stamp, len(frame), len(frame)) + frame)
            count += 1

        for frame in begin:
            put(frame)
        for number in range(FRAMES):
            text[_SEQ_AT : _SEQ_AT + 4] = (501 + number * TEXT_BYTES).to_bytes(4, "big")
            put(text)
            if number % 2:
                upto = 501 + (number + 1) * TEXT_BYTES
                ack[_SEQ_AT + 4 : _SEQ_AT + 8] = upto.to_bytes(4, "big")
                put(ack)
    return count


def test_a_large_capture_is_explained_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.pcap"
    frames = write_large(path)
    assert path.stat().st_size > 100_000_000
    command = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=170)
    kept, left_out, steps, used_kib = map(int, done.stdout.split())
    print(f"{frames:,} frames, {used_kib >> 10} MiB")
    assert kept + left_out == frames
    assert steps >= 4
    assert used_kib * 1024 < MOST_BYTES
