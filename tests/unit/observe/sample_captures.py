"""Capture files made by hand, and a short conversation to put into them."""

import io
import struct
from collections.abc import Sequence

import sample_frames as four

from pystack.wire import ipv4, tcp


def pcap(
    frames: Sequence[tuple[int, int, bytes]],
    order: str = "<",
    magic: int = 0xA1B2C3D4,
    link_type: int = 1,
) -> bytes:
    """Return a file of (seconds, fraction, bytes)."""
    out = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    for seconds, fraction, data in frames:
        out += struct.pack(f"{order}IIII", seconds, fraction, len(data), len(data)) + data
    return out


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + padded(value)


def block(order: str, kind: int, body: bytes) -> bytes:
    length = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(
    order: str = "<", link_type: int = 1, options: bytes = b"", snaplen: int = 0
) -> bytes:
    return block(order, 1, struct.pack(f"{order}HHI", link_type, 0, snaplen) + options)


def packet(
    order: str, ticks: int, data: bytes, number: int = 0, options: bytes = b"", length: int = 0
) -> bytes:
    head = (number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length or len(data))
    return block(order, 6, struct.pack(f"{order}IIIII", *head) + padded(data) + options)


SYN = bytes.fromhex("020405b40402080a000000010000000001030307")
PORT = 40000


def segment(
    flags: int, seq: int, ack: int, text: bytes = b"", *, answer: bool = False, port: int = PORT
) -> bytes:
    """Return a segment from A's `port` to B's 80, or back."""
    ports = (80, port) if answer else (port, 80)
    src, dst = (four.B, four.A) if answer else (four.A, four.B)
    options = SYN if flags & tcp.SYN else b""
    made = tcp.Segment(*ports, seq, ack, flags, 1000, options, text)
    body = tcp.pack_header(made, src, dst) + text
    header = ipv4.pack_header(src, dst, ipv4.TCP, len(body))
    macs = (four.MAC_A + four.MAC_B) if answer else (four.MAC_B + four.MAC_A)
    return macs + b"\x08\x00" + header + body


def handshake(port: int = PORT) -> list[bytes]:
    return [
        segment(tcp.SYN, 100, 0, port=port),
        segment(tcp.SYN | tcp.ACK, 500, 101, answer=True, port=port),
        segment(tcp.ACK, 101, 501, port=port),
    ]


TALK = [
    *handshake(),
    segment(tcp.ACK | tcp.PSH, 101, 501, b"GET / HTTP/1.1\r\n\r\n"),
    segment(tcp.ACK | tcp.PSH, 501, 119, b"HTTP/1.1 204 No\r\n\r\n", answer=True),
    segment(tcp.ACK | tcp.FIN, 119, 520),
]


def file_of(frames: Sequence[tuple[float, bytes]], link_type: int = 1) -> io.BytesIO:
    """Return a capture of frames at instants in milliseconds."""
    made = [(at, data) for at, data in frames]
    return io.BytesIO(pcap([(9, round(at * 1000), data) for at, data in made], link_type=link_type))
