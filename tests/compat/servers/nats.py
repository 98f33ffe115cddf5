"""NATS: core publish and subscribe, to exact subjects."""

from __future__ import annotations

import pystack
from servers.connection import Connection, listening

_INFO = (
    b'{"server_id":"N","server_name":"n","version":"2.11.0","headers":true,"max_payload":1048576}'
)


class _Broker:
    def __init__(self) -> None:
        self.subscriptions: dict[bytes, list[tuple[Connection, bytes]]] = {}

    async def handle(self, connection: Connection) -> None:
        await connection.send(b"INFO %b\r\n" % _INFO)
        while True:
            command, *args = (await connection.line()).split(b" ")
            match command.upper(), args:
                case b"PING", _:
                    await connection.send(b"PONG\r\n")
                case b"SUB", [subject, *_, sid]:
                    kept = self.subscriptions.setdefault(subject, [])
                    kept.append((connection, sid))
                case b"PUB", [subject, *reply_to, size]:
                    payload = await connection.exactly(int(size) + 2)
                    await self.publish(subject, reply_to, payload)

    async def publish(self, subject: bytes, reply_to: list[bytes], payload: bytes) -> None:
        kept = self.subscriptions.get(subject, [])
        wild = self.subscriptions.get(subject.rpartition(b".")[0] + b".*", [])
        for connection, sid in [*kept, *wild]:
            head = b" ".join([b"MSG", subject, sid, *reply_to, b"%d" % (len(payload) - 2)])
            await connection.send(head + b"\r\n" + payload)


async def serve(host: pystack.Host) -> None:
    """Serve at port 4222."""
    await listening(4222, _Broker().handle)(host)
