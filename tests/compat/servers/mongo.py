"""MongoDB: OP_MSG, and OP_QUERY for the first hello; inserts and finds everything there is."""

from __future__ import annotations

import struct
from typing import Any

import pystack
from servers.connection import Connection, listening

_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_HELLO = {
    "helloOk": True,
    "ismaster": True,
    "isWritablePrimary": True,
    "maxBsonObjectSize": 16777216,
    "maxMessageSizeBytes": 48000000,
    "maxWriteBatchSize": 100000,
    "minWireVersion": 0,
    "maxWireVersion": 25,
    "readOnly": False,
    "ok": 1.0,
}


class _Store:
    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []

    async def handle(self, connection: Connection) -> None:
        while True:
            size, number, _, code = await connection.unpack("<iiii")
            body = await connection.exactly(size - 16)
            if code == _OP_QUERY:
                reply = struct.pack("<iqii", 8, 0, 0, 1) + _encode(_HELLO)
                await connection.send(_head(reply, number, _OP_REPLY))
            else:
                reply = struct.pack("<IB", 0, 0) + _encode(self.answer(*_sections(body)))
                await connection.send(_head(reply, number, _OP_MSG))

    def answer(self, command: dict[str, Any], documents: list[dict[str, Any]]) -> dict[str, Any]:
        if "hello" in command or "ismaster" in command:
            return _HELLO
        if "insert" in command:
            added = [*documents, *command.get("documents", [])]
            self.documents += added
            return {"n": len(added), "ok": 1.0}
        if "find" in command:
            place = f"{command['$db']}.{command['find']}"
            return {"cursor": {"firstBatch": self.documents, "id": 0, "ns": place}, "ok": 1.0}
        return {"ok": 1.0}


def _head(body: bytes, answered: int, code: int) -> bytes:
    return struct.pack("<iiii", len(body) + 16, 1, answered, code) + body


def _encode(document: dict[str, Any]) -> bytes:
    import bson  # pymongo's

    return bson.encode(document)


def _sections(body: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    import bson

    at, command, documents = 4, {}, []
    while at < len(body):
        kind = body[at]
        (size,) = struct.unpack_from("<i", body, at + 1)
        section = body[at + 1 : at + 1 + size]
        if kind == 0:
            command = bson.decode(section)
        else:
            documents = bson.decode_all(section[section.index(b"\0", 4) + 1 :])
        at += 1 + size
    return command, documents


async def serve(host: pystack.Host) -> None:
    """Serve at port 27017."""
    await listening(27017, _Store().handle)(host)
