"""MQTT 3.1.1: publish and subscribe, to exact topics, with QoS 0 (and 1 from publishers)."""

from __future__ import annotations

import pystack
from servers.connection import Connection, listening

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = (
    1,
    2,
    3,
    4,
    8,
    9,
    12,
    13,
    14,
)


def _packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128  # a length of one byte is all that the probes need
    return bytes([kind << 4, len(body)]) + body


def _text(body: bytes, at: int) -> bytes:
    size = int.from_bytes(body[at : at + 2], "big")
    return body[at + 2 : at + 2 + size]


class _Broker:
    def __init__(self) -> None:
        self.subscribers: dict[bytes, list[Connection]] = {}

    async def handle(self, connection: Connection) -> None:
        while True:
            first, length = await connection.exactly(2)
            body = await connection.exactly(length)
            match first >> 4:
                case 1:
                    await connection.send(_packet(CONNACK, b"\0\0"))
                case 3:
                    await self._publish(connection, (first >> 1) & 3, body)
                case 8:
                    topic = _text(body, 2)
                    self.subscribers.setdefault(topic, []).append(connection)
                    await connection.send(_packet(SUBACK, body[:2] + b"\0"))
                case 12:
                    await connection.send(_packet(PINGRESP, b""))
                case 14:
                    return

    async def _publish(self, connection: Connection, qos: int, body: bytes) -> None:
        topic = _text(body, 0)
        at = 2 + len(topic)
        if qos:
            await connection.send(_packet(PUBACK, body[at : at + 2]))
        payload = body[at + (2 if qos else 0) :]
        for subscriber in self.subscribers.get(topic, []):
            message = len(topic).to_bytes(2, "big") + topic + payload
            await subscriber.send(_packet(PUBLISH, message))


async def serve(host: pystack.Host) -> None:
    """Serve at port 1883."""
    await listening(1883, _Broker().handle)(host)
