"""PostgreSQL: the simple and the extended protocol, without passwords, for a few queries."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Final

import pystack
from servers.connection import Connection, listening

_SSL_REQUEST: Final = 80877103
_INT4, _TEXT, _OID, _CHAR = 23, 25, 26, 18
_SETTINGS: Final = {
    "server_version": "16.4",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "integer_datetimes": "on",
    "DateStyle": "ISO, MDY",
    "TimeZone": "UTC",
}


@dataclass(slots=True)
class _Result:
    """What a query is answered with: a row, or none and a tag."""

    tag: str
    columns: list[tuple[str, int]] = field(default_factory=list)  # name, type
    row: list[str] = field(default_factory=list)


def _ask(query: str) -> _Result:
    text = " ".join(query.split()).rstrip("; ").lower()
    if found := re.fullmatch(r"select (\d+)(?:::int(?:eger)?)?(?: as (\w+))?", text):
        return _Result("SELECT 1", [(found[2] or "?column?", _INT4)], [found[1]])
    if text.startswith("select t.oid, t.typelem as elemtype, t.typtype as kind"):
        columns = [("oid", _OID), ("elemtype", _OID), ("kind", _CHAR)]
        return _Result("SELECT 1", columns, ["114", "0", "b"])
    for words, answer in (
        ("version()", "PostgreSQL 16.4 on nothing"),
        ("current_schema()", "public"),
        ("show transaction isolation level", "read committed"),
        ("show standard_conforming_strings", "on"),
    ):
        if words in text:
            return _Result("SELECT 1", [("answer", _TEXT)], [answer])
    return _Result(text.split(" ")[0].upper() or "SELECT 0")


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _parameters(query: str) -> list[int]:
    count = len(set(re.findall(r"\$\d+", query)))
    return [_TEXT] * count


def _describe(result: _Result, formats: list[int]) -> bytes:
    if not result.columns:
        return _message(b"n")
    fields = b"".join(
        name.encode() + b"\0" + struct.pack("!IhIhih", 0, 0, kind, 4, -1, _format(formats, index))
        for index, (name, kind) in enumerate(result.columns)
    )
    return _message(b"T", struct.pack("!h", len(result.columns)) + fields)


def _format(formats: list[int], index: int) -> int:
    if len(formats) <= 1:
        return formats[0] if formats else 0
    return formats[index]


def _rows(result: _Result, formats: list[int]) -> bytes:
    sent = b""
    if result.columns:
        cells = [
            struct.pack("!I", int(value))
            if _format(formats, index) and kind in (_INT4, _OID)
            else value.encode()
            for index, ((_, kind), value) in enumerate(zip(result.columns, result.row, strict=True))
        ]
        packed = b"".join(struct.pack("!I", len(cell)) + cell for cell in cells)
        sent = _message(b"D", struct.pack("!h", len(cells)) + packed)
    return sent + _message(b"C", result.tag.encode() + b"\0")


class _Session:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.statements: dict[bytes, str] = {}
        self.portals: dict[bytes, tuple[_Result, list[int]]] = {}
        self.in_transaction = False

    async def run(self) -> None:
        while True:
            size, code = await self.connection.unpack("!II")
            await self.connection.exactly(size - 8)
            if code != _SSL_REQUEST:
                break
            await self.connection.send(b"N")
        settings = (f"{name}\0{value}\0".encode() for name, value in _SETTINGS.items())
        await self.connection.send(
            _message(b"R", struct.pack("!I", 0))
            + b"".join(_message(b"S", setting) for setting in settings)
            + _message(b"K", struct.pack("!II", 1, 1))
            + self.ready()
        )
        while True:
            kind = await self.connection.exactly(1)
            (size,) = await self.connection.unpack("!I")
            body = await self.connection.exactly(size - 4)
            if kind == b"X":
                return
            await self.connection.send(self.answer(kind, body))

    def ready(self) -> bytes:
        return _message(b"Z", b"T" if self.in_transaction else b"I")

    def answer(self, kind: bytes, body: bytes) -> bytes:
        match kind:
            case b"Q":
                result = self.execute(body[:-1].decode())
                described = _describe(result, []) if result.columns else b""
                return described + _rows(result, []) + self.ready()
            case b"P":
                name, query, _ = body.split(b"\0", 2)
                self.statements[name] = query.decode()
                return _message(b"1")
            case b"D":
                return self.describe(body[:1], body[1:-1])
            case b"B":
                self.bind(body)
                return _message(b"2")
            case b"E":
                result, formats = self.portals[body.split(b"\0")[0]]
                self.note(result.tag)
                return _rows(result, formats)
            case b"C":
                return _message(b"3")
            case b"S":
                return self.ready()
        return b""  # H: all is sent at once anyhow

    def execute(self, query: str) -> _Result:
        result = _ask(query)
        self.note(result.tag)
        return result

    def note(self, tag: str) -> None:
        if tag in ("BEGIN", "COMMIT", "ROLLBACK"):
            self.in_transaction = tag == "BEGIN"

    def describe(self, what: bytes, name: bytes) -> bytes:
        if what == b"P":
            return _describe(*self.portals[name])
        query = self.statements[name]
        kinds = _parameters(query)
        packed = struct.pack(f"!h{len(kinds)}I", len(kinds), *kinds)
        return _message(b"t", packed) + _describe(_ask(query), [])

    def bind(self, body: bytes) -> None:
        portal, statement, rest = body.split(b"\0", 2)
        (count,) = struct.unpack_from("!h", rest)
        at = 2 + 2 * count
        (parameters,) = struct.unpack_from("!h", rest, at)
        at += 2
        for _ in range(parameters):
            (size,) = struct.unpack_from("!i", rest, at)
            at += 4 + max(size, 0)
        (count,) = struct.unpack_from("!h", rest, at)
        formats = list(struct.unpack_from(f"!{count}h", rest, at + 2))
        self.portals[portal] = _ask(self.statements[statement]), formats


async def _handle(connection: Connection) -> None:
    await _Session(connection).run()


async def serve(host: pystack.Host) -> None:
    """Serve at port 5432."""
    await listening(5432, _handle)(host)
