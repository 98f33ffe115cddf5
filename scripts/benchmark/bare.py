"""Bare Python loops on a TAP: no Trio, no TCP, hardly a look at what comes. The ceiling.

    python -m benchmark.bare read|write|answer NUMBER offload|no-offload

`read` is just as much of TCP as makes the kernel send: it takes any SYN, and acknowledges all that
comes, one ACK for each frame. `write` is as much as makes it receive: prebuilt segments, of which
only the sequence number changes, up to the end of the window. Neither knows of loss. `answer` sends
back datagrams and pings. Each says `ready` first, and runs until it is ended.
"""

import os
import struct
import sys
from typing import Final

from benchmark import ports
from pystack.core.addresses import parse_host_address
from pystack.runtime.device.tap_device import VNET_HEADER_BYTES, open_tap
from pystack.wire import ipv4, tcp
from pystack.wire.checksum import checksum

MSS: Final = 1460
# The checksum is still to be filled in; whoever is on this machine does not look at it.
_OPEN: Final = struct.pack("=BBHHHH", 1, 0, 0, 0, 34, tcp.CHECKSUM_OFFSET)
_SUPER: Final = struct.pack("=BBHHHH", 1, 1, 54, MSS, 34, tcp.CHECKSUM_OFFSET)
_SEQ_ACK: Final = struct.Struct("!II")
_SEQ_ACK_WND: Final = struct.Struct("!II2xH")
# MSS 1460; window scale 14, so that the window is never what holds the sender back
_SYN_OPTIONS: Final = b"\2\4\5\xb4\3\3\x0e\0"


class Device:
    """An open TAP, read blocking into one buffer."""

    def __init__(self, number: str, *, offload: bool) -> None:
        self.near = parse_host_address(ports.near(number))
        self.far = parse_host_address(ports.far(number))
        self.device = open_tap(
            ports.interface(number), mtu_bytes=1500, host_addresses=[self.near], offload=offload
        )
        self.fd = self.device.fd
        self.lead_bytes = VNET_HEADER_BYTES if self.device.offload else 0
        self.lead = _OPEN[: self.lead_bytes]
        self.buffer = bytearray(self.lead_bytes + 65600)


def read(device: Device) -> None:
    """Take whatever TCP sends; answer each segment with an ACK."""
    fd, buffer, lead = device.fd, device.buffer, device.lead_bytes
    reply = bytearray(58)
    ack = memoryview(reply)[:54]
    at = lead + 34  # of TCP's header
    while True:
        size = os.readv(fd, (buffer,)) - lead
        if size < 54 or buffer[lead + 12 : lead + 14] != b"\x08\x00" or buffer[lead + 23] != 6:
            continue
        flags = buffer[at + 13]
        payload_bytes = size - 34 - (buffer[at + 12] >> 4) * 4
        if flags & tcp.RST:
            continue
        seq, acked = _SEQ_ACK.unpack_from(buffer, at + 4)
        if flags & tcp.SYN:
            _turn(buffer, lead, reply)
            segment = struct.pack("!IIHHHH", 0, seq + 1, 0x7012, 65535, 0, 0) + _SYN_OPTIONS
            os.writev(fd, (device.lead, _summed(reply[:38] + segment)))
            continue
        if not payload_bytes and not flags & tcp.FIN:
            continue
        _turn(buffer, lead, reply)
        took = seq + payload_bytes + (flags & tcp.FIN) & 0xFFFFFFFF
        struct.pack_into("!IIHHHH", reply, 38, acked, took, 0x5010, 65535, 0, 0)
        os.writev(fd, (device.lead, ack if lead else _summed(ack)))


def _turn(buffer: bytearray, lead: int, reply: bytearray) -> None:
    """Put the link's, IP's and the ports' part of an answer into `reply`."""
    reply[0:6], reply[6:12] = buffer[lead + 6 : lead + 12], buffer[lead : lead + 6]
    src, dst = buffer[lead + 26 : lead + 30], buffer[lead + 30 : lead + 34]
    numbers = (int.from_bytes(dst, "big"), int.from_bytes(src, "big"))
    reply[12:14] = b"\x08\x00"
    reply[14:34] = ipv4.pack_header(*numbers, ipv4.TCP, 20)
    reply[34:38] = buffer[lead + 36 : lead + 38] + buffer[lead + 34 : lead + 36]


def _summed(frame: bytearray | memoryview) -> bytes:
    """Return the frame with its lengths and checksums in place."""
    data = bytearray(frame)
    src, dst = (int.from_bytes(data[at : at + 4], "big") for at in (26, 30))
    data[14:34] = ipv4.pack_header(src, dst, ipv4.TCP, len(data) - 34)
    data[50:52] = _tcp_checksum(data, b"").to_bytes(2, "big")
    return bytes(data)


def write(device: Device) -> None:
    """Take any SYN, then send the same payload again and again, as fast as the window lets it."""
    fd, buffer, lead = device.fd, device.buffer, device.lead_bytes
    payload = bytes(44 * MSS if lead else MSS)
    reply = bytearray(58)
    at = lead + 34
    frame = bytearray()
    snd_nxt = snd_una = scale = 0
    while True:
        # Look for ACKs only where there is no room for more.
        size = os.readv(fd, (buffer,)) - lead
        if size < 54 or buffer[lead + 12 : lead + 14] != b"\x08\x00" or buffer[lead + 23] != 6:
            continue
        flags = buffer[at + 13]
        seq, acked, window = _SEQ_ACK_WND.unpack_from(buffer, at + 4)
        if flags & tcp.SYN:
            scale = _window_scale(buffer, at)
            _turn(buffer, lead, reply)
            segment = struct.pack("!IIHHHH", 0, seq + 1, 0x7012, 65535, 0, 0) + _SYN_OPTIONS
            os.writev(fd, (device.lead, _summed(reply[:38] + segment)))
            segment = struct.pack("!IIHHHH", 1, seq + 1, 0x5010, 65535, 0, 0)
            frame = _lengthened(reply[:38] + segment, len(payload))
            snd_nxt = snd_una = 1
            continue
        if flags & tcp.RST or not flags & tcp.ACK or not frame:
            continue
        snd_una += (acked - snd_una) & 0xFFFFFFFF  # ACKs never go backwards on a TAP
        end = snd_una + (window << scale)
        while snd_nxt + len(payload) <= end:
            struct.pack_into("!I", frame, 38, snd_nxt & 0xFFFFFFFF)
            if lead:
                os.writev(fd, (_SUPER, frame, payload))
            else:
                frame[50:52] = b"\0\0"
                frame[50:52] = _tcp_checksum(frame, payload).to_bytes(2, "big")
                os.writev(fd, (frame, payload))
            snd_nxt += len(payload)


def _window_scale(buffer: bytearray, at: int) -> int:
    """Return what a SYN of Linux says about its window."""
    options = buffer[at + 20 : at + (buffer[at + 12] >> 4) * 4]
    found = options.find(b"\3\3")
    return options[found + 2] if found >= 0 else 0


def _lengthened(frame: bytearray, payload_bytes: int) -> bytearray:
    """Return the headers for a payload of this size."""
    src, dst = (int.from_bytes(frame[at : at + 4], "big") for at in (26, 30))
    frame[14:34] = ipv4.pack_header(src, dst, ipv4.TCP, len(frame) - 34 + payload_bytes)
    return frame


def _tcp_checksum(headers: bytearray, payload: bytes) -> int:
    pseudo = headers[26:34] + struct.pack("!BBH", 0, ipv4.TCP, len(headers) - 34 + len(payload))
    return checksum(b"".join((pseudo, headers[34:], payload)))


def answer(device: Device) -> None:
    """Send back datagrams and pings."""
    fd, buffer, lead = device.fd, device.buffer, device.lead_bytes
    view = memoryview(buffer)
    while True:
        size = os.readv(fd, (buffer,))
        if buffer[lead + 12 : lead + 14] != b"\x08\x00":
            continue
        proto = buffer[lead + 23]
        if proto == ipv4.UDP:
            # Both ends change places, which no checksum notices. Filled in or not, it is good.
            at = lead + 34
            buffer[at : at + 4] = buffer[at + 2 : at + 4] + buffer[at : at + 2]
            if lead:
                buffer[at + 6 : at + 8] = b"\0\0"  # none: with offload it was left open
        elif proto == ipv4.ICMP and buffer[lead + 34] == 8:
            buffer[lead + 34] = 0
            check = int.from_bytes(buffer[lead + 36 : lead + 38], "big") + 0x0800
            buffer[lead + 36 : lead + 38] = ((check & 0xFFFF) + (check >> 16)).to_bytes(2, "big")
        else:
            continue
        at = lead + 26
        buffer[at : at + 8] = buffer[at + 4 : at + 8] + buffer[at : at + 4]
        buffer[lead : lead + 12] = buffer[lead + 6 : lead + 12] + buffer[lead : lead + 6]
        buffer[:lead] = bytes(lead)
        os.write(fd, view[:size])


LOOPS: Final = {"read": read, "write": write, "answer": answer}


def main() -> None:
    """Run one loop."""
    what, number, offload = sys.argv[1:]
    device = Device(number, offload=offload == "offload")
    os.set_blocking(device.fd, True)
    print("ready", flush=True)
    LOOPS[what](device)


if __name__ == "__main__":
    main()
