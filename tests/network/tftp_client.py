"""A client of TFTP: just enough to fetch and to bring files over lines of all kinds."""

from collections.abc import Mapping
from typing import Final

import trio

import pystack
from pystack.apps.tftp import packets

PORT: Final = 69
TIMEOUT_S: Final = 1.0
TRIES: Final = 40  # longer than the server tries, whose waits double


class TftpError(Exception):
    """The server said no, or nothing any more."""


class Talk:
    """Both ends of one transfer, as the client knows them."""

    def __init__(self, socket: pystack.UdpSocket, server: str) -> None:
        self.socket = socket
        self.peer = (server, PORT)
        self.options: Mapping[str, str] = {}

    async def ask(self, packet: bytes) -> packets.Packet:
        """Send, and send again; return what comes, TftpError if that is nothing."""
        for _ in range(TRIES):
            await self.socket.send_to(packet, self.peer)
            answer = await self.next()
            if answer is not None:
                return answer
        raise TftpError("no answer")

    async def next(self, wait_s: float = TIMEOUT_S) -> packets.Packet | None:
        """Return what comes in time."""
        with trio.move_on_after(wait_s):
            while True:
                payload, sender = await self.socket.receive_from()
                if sender[0] != self.peer[0] or (self.peer[1] not in (PORT, sender[1])):
                    continue
                packet = packets.parse(payload)
                if isinstance(packet, packets.Error):
                    raise TftpError(f"{packet.code}: {packet.text}")
                self.peer = sender
                return packet
        return None


async def fetch(
    client: pystack.Host,
    server: str,
    name: bytes,
    options: Mapping[str, str] | None = None,
    mode: str = "octet",
) -> bytes:
    """Return a file. Raises TftpError."""
    async with await client.open_udp_socket() as socket:
        talk = Talk(socket, server)
        size, window = 512, 1
        packet = await talk.ask(
            packets.pack_request(packets.Request(False, name, mode, options or {}))
        )
        found, block, since = b"", 0, 0
        if isinstance(packet, packets.OptionAck):
            talk.options = packet.options
            size = int(packet.options.get("blksize", 512))
            window = int(packet.options.get("windowsize", 1))
            packet = await talk.ask(packets.pack_ack(0))
        while True:
            if isinstance(packet, packets.Data):
                since += 1
                if packet.block == (block + 1) & 0xFFFF:
                    found += packet.payload
                    block += 1
                    if len(packet.payload) < size:
                        await socket.send_to(packets.pack_ack(block), talk.peer)
                        return found
            if since < window:
                following = await talk.next()
                if following is not None:
                    packet = following
                    continue
            since = 0
            packet = await talk.ask(packets.pack_ack(block))


async def bring(
    client: pystack.Host,
    server: str,
    name: bytes,
    data: bytes,
    options: Mapping[str, str] | None = None,
    mode: str = "octet",
) -> None:
    """Send a file. Raises TftpError."""
    async with await client.open_udp_socket() as socket:
        talk = Talk(socket, server)
        packet = await talk.ask(
            packets.pack_request(packets.Request(True, name, mode, options or {}))
        )
        size = 512
        if isinstance(packet, packets.OptionAck):
            size = int(packet.options.get("blksize", 512))
        for block in range(1, len(data) // size + 2):
            payload = data[(block - 1) * size : block * size]
            while True:
                packet = await talk.ask(packets.pack_data(block, payload))
                if isinstance(packet, packets.Ack) and packet.block == block & 0xFFFF:
                    break
