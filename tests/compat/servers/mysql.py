"""MySQL: the handshake of 4.1 with any password, and queries in text."""

from __future__ import annotations

import re

import pystack
from servers.connection import Connection, listening

_SALT = b"12345678", b"123456789012"
# LONG_PASSWORD, LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION,
# MULTI_RESULTS, PLUGIN_AUTH
_CAPABILITIES = 0x1 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x20000 | 0x80000
_UTF8 = 45
_AUTOCOMMIT = 2
_QUIT, _INIT_DB, _QUERY, _PING = 1, 2, 3, 14
_TINY, _VAR_STRING = 3, 253

# What is asked for, and the one column and row of the answer
_ANSWERS: list[tuple[str, str]] = [
    (r"select (\d+)$", r"\1"),
    (r"select version\(\)", "8.4.0"),
    (r"select database\(\)", "shop"),
    (r"select @@transaction_isolation", "REPEATABLE-READ"),
    (r"select @@sql_mode", ""),
    (r"select @@lower_case_table_names", "0"),
    (r"select @@version", "8.4.0"),
]


def _packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def _string(text: str) -> bytes:
    data = text.encode()
    return bytes([len(data)]) + data


def _greeting() -> bytes:
    return (
        b"\x0a8.4.0\0"
        + (1).to_bytes(4, "little")
        + _SALT[0]
        + b"\0"
        + (_CAPABILITIES & 0xFFFF).to_bytes(2, "little")
        + bytes([_UTF8])
        + _AUTOCOMMIT.to_bytes(2, "little")
        + (_CAPABILITIES >> 16).to_bytes(2, "little")
        + bytes([21])
        + bytes(10)
        + _SALT[1]
        + b"\0mysql_native_password\0"
    )


def _ok(number: int) -> bytes:
    return _packet(number, b"\0\0\0" + _AUTOCOMMIT.to_bytes(2, "little") + b"\0\0")


def _end(number: int) -> bytes:
    return _packet(number, b"\xfe\0\0" + _AUTOCOMMIT.to_bytes(2, "little"))


def _row(title: str, value: str) -> bytes:
    kind = _TINY if value.isdecimal() else _VAR_STRING
    column = (
        b"".join(map(_string, ("def", "", "", "", title, title)))
        + b"\x0c"
        + _UTF8.to_bytes(2, "little")
        + (255).to_bytes(4, "little")
        + bytes([kind])
        + bytes(5)
    )
    parts = (_packet(1, b"\1"), _packet(2, column), _end(3), _packet(4, _string(value)), _end(5))
    return b"".join(parts)


def _answer(query: str) -> bytes:
    for pattern, value in _ANSWERS:
        if found := re.match(pattern, query.strip().rstrip(";"), re.IGNORECASE):
            return _row("answer", found.expand(value))
    return _ok(1)


async def _handle(connection: Connection) -> None:
    await connection.send(_packet(0, _greeting()))
    await _read(connection)
    await connection.send(_ok(2))
    while True:
        command, *rest = await _read(connection)
        match command:
            case 1:
                return
            case 3:
                await connection.send(_answer(bytes(rest).decode()))
            case _:
                await connection.send(_ok(1))


async def _read(connection: Connection) -> bytes:
    head = await connection.exactly(4)
    return await connection.exactly(int.from_bytes(head[:3], "little"))


async def serve(host: pystack.Host) -> None:
    """Serve at port 3306."""
    await listening(3306, _handle)(host)
