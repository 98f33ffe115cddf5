"""AMQP 0-9-1: the default exchange and direct ones, publish, consume and get, no transactions."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field

import pystack
from servers.connection import Connection, listening

_METHOD, _HEADER, _BODY, _HEARTBEAT, _END = 1, 2, 3, 8, b"\xce"
_FRAME_MAX = 131072


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack("!BHI", kind, channel, len(payload)) + payload + _END


def _method(channel: int, code: tuple[int, int], args: bytes = b"") -> bytes:
    return _frame(_METHOD, channel, struct.pack("!HH", *code) + args)


def _short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _long(text: bytes) -> bytes:
    return struct.pack("!I", len(text)) + text


def _read_short(args: bytes, at: int) -> tuple[bytes, int]:
    end = at + 1 + args[at]
    return args[at + 1 : end], end


@dataclass(slots=True)
class _Message:
    exchange: bytes
    key: bytes
    header: bytes = b""
    body: bytes = b""

    def content(self, channel: int) -> bytes:
        body = _frame(_BODY, channel, self.body) if self.body else b""
        return _frame(_HEADER, channel, self.header) + body


@dataclass(slots=True)
class _Broker:
    queues: dict[bytes, deque[_Message]] = field(default_factory=dict)
    bound: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    consumers: dict[bytes, tuple[_Session, int, bytes]] = field(default_factory=dict)

    async def publish(self, message: _Message) -> None:
        queue = message.key
        if message.exchange:
            queue = self.bound.get((message.exchange, message.key), b"")
        if queue in self.queues:
            self.queues[queue].append(message)
            await self.deliver(queue)

    async def deliver(self, queue: bytes) -> None:
        while self.queues[queue] and queue in self.consumers:
            session, channel, tag = self.consumers[queue]
            message = self.queues[queue].popleft()
            session.delivered += 1
            head = _short(tag) + struct.pack("!QB", session.delivered, 0)
            head += _short(message.exchange) + _short(message.key)
            data = _method(channel, (60, 60), head) + message.content(channel)
            await session.connection.send(data)

    async def handle(self, connection: Connection) -> None:
        session = _Session(self, connection)
        try:
            await session.run()
        finally:
            for queue, consumer in list(self.consumers.items()):
                if consumer[0] is session:
                    del self.consumers[queue]


@dataclass(slots=True)
class _Session:
    broker: _Broker
    connection: Connection
    delivered: int = 0
    coming: _Message | None = None  # what is being published

    async def run(self) -> None:
        assert await self.connection.exactly(8) == b"AMQP\0\0\x09\x01"
        start = b"\0\x09" + _long(b"") + _long(b"PLAIN AMQPLAIN") + _long(b"en_US")
        await self.connection.send(_method(0, (10, 10), start))
        while True:
            kind, channel, size = await self.connection.unpack("!BHI")
            payload = await self.connection.exactly(size)
            await self.connection.exactly(1)
            if kind == _METHOD:
                code = struct.unpack_from("!HH", payload)
                if code == (10, 50):
                    await self.connection.send(_method(0, (10, 51)))
                    return
                await self.method(channel, code, payload[4:])
            elif kind != _HEARTBEAT:
                await self.content(kind, payload)

    async def content(self, kind: int, payload: bytes) -> None:
        assert self.coming is not None
        if kind == _HEADER:
            self.coming.header = payload
        else:
            self.coming.body += payload
        (size,) = struct.unpack_from("!Q", self.coming.header, 4)
        if len(self.coming.body) == size:
            message, self.coming = self.coming, None
            await self.broker.publish(message)

    async def method(self, channel: int, code: tuple[int, ...], args: bytes) -> None:
        answers = {
            (10, 11): ((10, 30), struct.pack("!HIH", 0, _FRAME_MAX, 0)),  # start-ok: tune
            (10, 40): ((10, 41), _short(b"")),  # open
            (20, 10): ((20, 11), _long(b"")),  # channel.open
            (20, 40): ((20, 41), b""),  # channel.close
            (40, 10): ((40, 11), b""),  # exchange.declare
            (60, 10): ((60, 11), b""),  # basic.qos
            (85, 10): ((85, 11), b""),  # confirm.select
        }
        if code in answers:
            answer, said = answers[code]
            await self.connection.send(_method(channel, answer, said))
        elif code == (60, 40):  # basic.publish
            exchange, at = _read_short(args, 2)
            self.coming = _Message(exchange, _read_short(args, at)[0])
        elif code[0] == 50:
            await self.queue(channel, code, args)
        elif code[0] == 60:
            await self.basic(channel, code, args)

    async def queue(self, channel: int, code: tuple[int, ...], args: bytes) -> None:
        name, at = _read_short(args, 2)
        kept = self.broker.queues.setdefault(name, deque())
        if code == (50, 20):  # bind
            exchange, at = _read_short(args, at)
            self.broker.bound[exchange, _read_short(args, at)[0]] = name
            await self.connection.send(_method(channel, (50, 21)))
        else:  # declare, purge, delete
            said = _short(name) + struct.pack("!II", len(kept), 0)
            if code != (50, 10):
                said = struct.pack("!I", len(kept))
                kept.clear()
            await self.connection.send(_method(channel, (50, code[1] + 1), said))

    async def basic(self, channel: int, code: tuple[int, ...], args: bytes) -> None:
        if code == (60, 20):  # consume
            queue, at = _read_short(args, 2)
            tag = _read_short(args, at)[0] or b"tag-%b" % queue
            self.broker.consumers[queue] = self, channel, tag
            await self.connection.send(_method(channel, (60, 21), _short(tag)))
            await self.broker.deliver(queue)
        elif code == (60, 30):  # cancel
            tag = _read_short(args, 0)[0]
            for queue, consumer in list(self.broker.consumers.items()):
                if consumer[2] == tag:
                    del self.broker.consumers[queue]
            await self.connection.send(_method(channel, (60, 31), _short(tag)))
        elif code == (60, 70):  # get
            await self.get(channel, _read_short(args, 2)[0])

    async def get(self, channel: int, queue: bytes) -> None:
        kept = self.broker.queues[queue]
        if not kept:
            await self.connection.send(_method(channel, (60, 72), _short(b"")))
            return
        message = kept.popleft()
        self.delivered += 1
        said = struct.pack("!QB", self.delivered, 0) + _short(message.exchange)
        said += _short(message.key) + struct.pack("!I", len(kept))
        await self.connection.send(_method(channel, (60, 71), said) + message.content(channel))


async def serve(host: pystack.Host) -> None:
    """Serve at port 5672."""
    await listening(5672, _Broker().handle)(host)
