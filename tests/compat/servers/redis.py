"""Redis: RESP2 and RESP3, for strings and lists, without transactions."""

from __future__ import annotations

from functools import partial

import pystack
from servers.connection import Connection, listening

_HELLO = {
    b"server": b"redis",
    b"version": b"7.4.0",
    b"proto": 3,
    b"id": 1,
    b"mode": b"standalone",
    b"role": b"master",
    b"modules": [],
}
Value = bytes | int | list[bytes] | dict[bytes, object] | None


class _Store:
    """What one server keeps, for all its clients."""

    def __init__(self) -> None:
        self.strings: dict[bytes, bytes] = {}
        self.lists: dict[bytes, list[bytes]] = {}

    def execute(self, command: bytes, args: list[bytes]) -> bytes:
        match command, args:
            case b"PING", _:
                return b"+PONG\r\n"
            case b"HELLO", [*words]:
                return _pack(_HELLO) if words[:1] == [b"3"] else _pack_flat(_HELLO)
            case ((b"CLIENT" | b"SELECT"), _):
                return b"+OK\r\n"
            case b"SET", [key, value, *_]:
                self.strings[key] = value
                return b"+OK\r\n"
            case b"GET", [key]:
                return _pack(self.strings.get(key))
            case b"INCRBY", [key, by]:
                count = int(self.strings.get(key, b"0")) + int(by)
                self.strings[key] = b"%d" % count
                return _pack(count)
            case b"RPUSH", [key, *values]:
                kept = self.lists.setdefault(key, [])
                kept.extend(values)
                return _pack(len(kept))
            case b"LRANGE", [key, first, last]:
                end = int(last) + 1
                return _pack(self.lists.get(key, [])[int(first) : end if end else None])
        return b"-ERR unknown command '%b'\r\n" % command


def _pack(value: object) -> bytes:
    match value:
        case None:
            return b"$-1\r\n"  # RESP3 has "_", and its clients read this too
        case int():
            return b":%d\r\n" % value
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case list():
            return b"*%d\r\n" % len(value) + b"".join(map(_pack, value))
        case dict():
            items = (_pack(each) for pair in value.items() for each in pair)
            return b"%%%d\r\n" % len(value) + b"".join(items)
    raise TypeError(value)


def _pack_flat(value: dict[bytes, object]) -> bytes:
    return _pack([each for pair in value.items() for each in pair])


async def _handle(store: _Store, connection: Connection) -> None:
    while True:
        count = int((await connection.line())[1:])
        words = []
        for _ in range(count):
            size = int((await connection.line())[1:])
            words.append(await connection.exactly(size))
            await connection.exactly(2)
        await connection.send(store.execute(words[0].upper(), words[1:]))


async def serve(host: pystack.Host) -> None:
    """Serve at port 6379, with nothing stored."""
    store = _Store()
    await listening(6379, partial(_handle, store))(host)
