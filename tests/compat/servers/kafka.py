"""Kafka: one broker with topics of one partition, which keep record batches as they came.

One old version of each call that producers, and consumers without a group, make.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import trio

import pystack
from servers.connection import Connection, listening

PORT: Final = 9092
_PRODUCE, _FETCH, _LIST_OFFSETS, _METADATA, _API_VERSIONS = 0, 1, 2, 3, 18
_VERSIONS: Final = {_PRODUCE: 3, _FETCH: 4, _LIST_OFFSETS: 1, _METADATA: 1, _API_VERSIONS: 0}
_UNSUPPORTED_VERSION: Final = 35
_EARLIEST: Final = -2
_LAST_OFFSET_DELTA_AT: Final = 23  # in a record batch


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def unpack(self, form: str) -> int:
        (value,) = struct.unpack_from(f"!{form}", self._data, self._at)
        self._at += struct.calcsize(f"!{form}")
        return int(value)

    def take(self, count: int) -> bytes:
        self._at += max(count, 0)
        return self._data[self._at - max(count, 0) : self._at]

    def string(self) -> bytes:
        return self.take(self.unpack("h"))

    def partitions(self) -> Iterator[tuple[bytes, int]]:
        """Go through topics and partitions; what else there is of each is the caller's to read."""
        for _ in range(self.unpack("i")):
            topic = self.string()
            for _ in range(self.unpack("i")):
                yield topic, self.unpack("i")


def _string(text: bytes) -> bytes:
    return struct.pack("!h", len(text)) + text


def _array(*items: bytes) -> bytes:
    return struct.pack("!i", len(items)) + b"".join(items)


@dataclass(slots=True)
class _Log:
    batches: list[tuple[int, bytes]] = field(default_factory=list)  # its first offset, itself
    end: int = 0
    grown: trio.Event = field(default_factory=trio.Event)

    def append(self, batch: bytes) -> int:
        base = self.end
        (last,) = struct.unpack_from("!i", batch, _LAST_OFFSET_DELTA_AT)
        self.batches.append((base, struct.pack("!q", base) + batch[8:]))
        self.end += last + 1
        self.grown.set()
        self.grown = trio.Event()
        return base

    def since(self, offset: int) -> bytes:
        return b"".join(batch for base, batch in self.batches if base >= offset)


class _Broker:
    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.logs: dict[bytes, _Log] = {}

    def log(self, topic: bytes) -> _Log:
        return self.logs.setdefault(topic, _Log())

    async def handle(self, connection: Connection) -> None:
        while True:
            (size,) = await connection.unpack("!i")
            request = _Reader(await connection.exactly(size))
            key, version, number = request.unpack("h"), request.unpack("h"), request.unpack("i")
            request.string()
            if _VERSIONS.get(key) == version or key == _API_VERSIONS:
                body = await self.answer(key, version, request)
            else:
                raise EOFError  # as brokers do: the connection ends
            answer = struct.pack("!i", number) + body
            await connection.send(struct.pack("!i", len(answer)) + answer)

    async def answer(self, key: int, version: int, request: _Reader) -> bytes:
        if key == _FETCH:
            return await self.fetch(request)
        answers: dict[int, Callable[[], bytes]] = {
            _PRODUCE: lambda: self.produce(request),
            _LIST_OFFSETS: lambda: self.list_offsets(request),
            _METADATA: lambda: self.metadata(request),
            _API_VERSIONS: lambda: self.api_versions(version),
        }
        return answers[key]()

    def api_versions(self, version: int) -> bytes:
        error = 0 if version == _VERSIONS[_API_VERSIONS] else _UNSUPPORTED_VERSION
        known = (struct.pack("!hhh", key, known, known) for key, known in _VERSIONS.items())
        return struct.pack("!h", error) + _array(*known)

    def metadata(self, request: _Reader) -> bytes:
        topics = [request.string() for _ in range(request.unpack("i"))] or list(self.logs)
        broker = struct.pack("!i", 1) + _string(self.name) + struct.pack("!ih", PORT, -1)
        partition = struct.pack("!hii", 0, 0, 1) + _array(struct.pack("!i", 1)) * 2
        told = (b"\0\0" + _string(topic) + b"\0" + _array(partition) for topic in topics)
        return _array(broker) + struct.pack("!i", 1) + _array(*told)

    def produce(self, request: _Reader) -> bytes:
        request.string()
        request.unpack("h")
        request.unpack("i")
        told = []
        for topic, partition in request.partitions():
            base = self.log(topic).append(request.take(request.unpack("i")))
            said = struct.pack("!ihqq", partition, 0, base, -1)
            told.append(_string(topic) + _array(said))
        return _array(*told) + struct.pack("!i", 0)

    def list_offsets(self, request: _Reader) -> bytes:
        request.unpack("i")
        told = []
        for topic, partition in request.partitions():
            offset = 0 if request.unpack("q") == _EARLIEST else self.log(topic).end
            said = struct.pack("!ihqq", partition, 0, -1, offset)
            told.append(_string(topic) + _array(said))
        return _array(*told)

    async def fetch(self, request: _Reader) -> bytes:
        request.unpack("i")
        patience_ms = request.unpack("i")
        for form in "iib":
            request.unpack(form)
        asked = []
        for topic, partition in request.partitions():
            asked.append((topic, partition, request.unpack("q")))
            request.unpack("i")
        with trio.move_on_after(patience_ms / 1000):
            while not any(self.log(topic).since(offset) for topic, _, offset in asked):
                await self.log(asked[0][0]).grown.wait() if asked else await trio.sleep_forever()
        told = []
        for topic, partition, offset in asked:
            log, records = self.log(topic), self.log(topic).since(offset)
            said = struct.pack("!ihqqii", partition, 0, log.end, log.end, -1, len(records))
            told.append(_string(topic) + _array(said + records))
        return struct.pack("!i", 0) + _array(*told)


async def serve(host: pystack.Host) -> None:
    """Serve at port 9092."""
    await listening(PORT, _Broker(host.name).handle)(host)
