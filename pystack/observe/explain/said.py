"""What one side says in a turn, as far as its first bytes tell: HTTP, TLS, WebSocket, SMTP, FTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pystack.observe.amounts import count, listed, printable, size
from pystack.observe.dissect.tls_names import CIPHERS, VERSIONS
from pystack.observe.explain.conversation import Conversation
from pystack.observe.explain.kept import Turn
from pystack.observe.explain.words import Detail

METHODS: Final = (
    "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE "
)  # fmt: skip
_METHOD_BYTES: Final = tuple(method.encode() for method in METHODS)
_PREFACE: Final = b"PRI * HTTP/2.0"
_TLS_RECORDS: Final = {20: "ChangeCipherSpec", 21: "Alert", 22: "Handshake", 23: "ApplicationData"}
_OPCODES: Final = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_MOST_LINES: Final = 12
HELLO, SERVER_HELLO, CERTIFICATE, CLIENT_KEY_EXCHANGE = 1, 2, 11, 16


@dataclass(slots=True)
class Said:
    """A turn in words."""

    kind: str  # of the step
    what: str  # "GET / HTTP/1.1", "ClientHello"
    text: str = ""
    details: list[Detail] = field(default_factory=list)
    protocol: str = ""  # if more is known of it than of the conversation: "tls12"


def said(conversation: Conversation, index: int) -> Said:
    """Return what a turn says."""
    turn = conversation.turns[index]
    head = bytes(turn.head)
    protocol = protocol_of(conversation)
    if protocol == "tls":
        return _tls(conversation, index, head)
    if head.startswith(_METHOD_BYTES):
        return _http_request(head)
    if head.startswith(b"HTTP/1"):
        return _http_answer(turn, head)
    if head.startswith(_PREFACE):
        return Said("request", "the HTTP/2 preface and the first frames", "", _h2(head[24:]))
    if protocol == "websocket":
        return _websocket(turn, head)
    if protocol == "h2":
        return Said("request" if turn.side == 0 else "answer", "HTTP/2 frames", "", _h2(head))
    if protocol in ("smtp", "ftp"):
        return _lines(turn, head, protocol.upper())
    kind = "request" if turn.side == 0 else "answer"
    start = printable(head, 60)
    return Said(kind, size(turn.size), details=[("begins with", start, "")] if start else [])


def protocol_of(conversation: Conversation) -> str:
    """Return what is spoken: "http", "tls", "websocket", "h2", "smtp", "ftp" or ""."""
    port = conversation.ends[3]
    client = next((bytes(t.head) for t in conversation.turns if t.side == 0), b"")
    server = next((bytes(t.head) for t in conversation.turns if t.side == 1), b"")
    if client[:1] == b"\x16" and client[1:2] == b"\x03":
        return "tls"
    if client.startswith(_PREFACE):
        return "h2"
    if client.startswith(_METHOD_BYTES):
        return "websocket" if b"upgrade: websocket" in client.lower() else "http"
    if server[:3] == b"220":
        return "ftp" if port == 21 or b"ftp" in server.lower()[:80] else "smtp"
    return ""


def _http_request(head: bytes) -> Said:
    lines = head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    line = printable(lines[0], 120)
    upgrade = b"upgrade: websocket" in head.lower()
    details = _fields(lines[1:])
    if upgrade:
        return Said(
            "upgrade",
            f"{line} with Upgrade: websocket",
            "It is a GET as any other, but asks to leave HTTP: Sec-WebSocket-Key is a number that "
            "only a server that knows WebSockets answers rightly.",
            details,
        )
    return Said("request", line, "", details)


def _fields(lines: list[bytes]) -> list[Detail]:
    rows: list[Detail] = []
    for line in lines[:_MOST_LINES]:
        name, _, value = line.partition(b":")
        rows.append((printable(name, 40), printable(value.strip(), 100), ""))
    if len(lines) > _MOST_LINES:
        rows.append(("...", count(len(lines) - _MOST_LINES, "more field"), ""))
    return rows


def _http_answer(turn: Turn, head: bytes) -> Said:
    top, _, _ = head.partition(b"\r\n\r\n")
    lines = top.split(b"\r\n")
    line = printable(lines[0].partition(b" ")[2], 60)
    if b" 101 " in lines[0]:
        return Said(
            "upgrade",
            line,
            "From here on the same TCP connection carries WebSocket frames, in both directions.",
            _fields(lines[1:]),
        )
    body = max(turn.size - len(top) - 4, 0)
    text = f"The head has {size(len(top) + 4)}, the body {size(body)}."
    return Said("answer", line, text, _fields(lines[1:]))


def _websocket(turn: Turn, head: bytes) -> Said:
    rows: list[Detail] = []
    at, names = 0, []
    while at + 2 <= len(head) and len(rows) < _MOST_LINES:
        first, second = head[at], head[at + 1]
        length, start = second & 0x7F, at + 2
        if length == 126:
            length, start = int.from_bytes(head[at + 2 : at + 4], "big"), at + 4
        elif length == 127:
            length, start = int.from_bytes(head[at + 2 : at + 10], "big"), at + 10
        mask = head[start : start + 4] if second & 0x80 else b""
        start += len(mask)
        payload = head[start : start + min(length, 60)]
        if mask:
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        opcode = first & 0xF
        name = _OPCODES.get(opcode, f"opcode {opcode}")
        names.append(name)
        shown = printable(payload[2:] if opcode == 8 else payload, 60)
        how = f"{start - at} bytes of header, {'masked' if mask else 'not masked'}"
        rows.append((f"{name} frame", f"{size(length)}: {shown}", how))
        at = start + length
    who = (
        "the client's frames are masked, so that no proxy takes them for HTTP"
        if (turn.side == 0)
        else "a server's frames are not masked"
    )
    kinds = listed(list(dict.fromkeys(names))) or "part of a"
    return Said(
        "message", f"{kinds} frame{'s' if len(names) > 1 else ''}", f"{who}.".capitalize(), rows
    )


def _h2(data: bytes) -> list[Detail]:
    names = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING",
             "GOAWAY", "WINDOW_UPDATE", "CONTINUATION")  # fmt: skip
    rows: list[Detail] = []
    at = 0
    while at + 9 <= len(data) and len(rows) < _MOST_LINES:
        length, kind = int.from_bytes(data[at : at + 3], "big"), data[at + 3]
        stream = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF
        name = names[kind] if kind < len(names) else f"type {kind}"
        rows.append((name, size(length), f"stream {stream}"))
        at += 9 + length
    return rows


def _lines(turn: Turn, head: bytes, protocol: str) -> Said:
    lines = [printable(line, 100) for line in head.split(b"\r\n") if line]
    first = lines[0] if lines else size(turn.size)
    if protocol == "SMTP" and turn.side == 0 and len(lines) > 1 and ":" in first.split(" ")[0]:
        first = "the message itself"
    kind = "request" if turn.side == 0 else "answer"
    rows: list[Detail] = [("line", line, "") for line in lines[:_MOST_LINES]]
    return Said(kind, first, "", rows if len(lines) > 1 else [])


# TLS: what an onlooker can see of it


def records(head: bytes) -> list[tuple[int, int, int]]:
    """Return the TLS records of a stream: type, where the content begins, its length."""
    found = []
    at = 0
    while at + 5 <= len(head) and head[at] in _TLS_RECORDS and head[at + 1] == 3:
        length = int.from_bytes(head[at + 3 : at + 5], "big")
        found.append((head[at], at + 5, length))
        at += 5 + length
    return found


def _tls(conversation: Conversation, index: int, head: bytes) -> Said:
    turn = conversation.turns[index]
    found = records(head)
    rows: list[Detail] = [
        (_TLS_RECORDS[kind], size(length), "encrypted" if kind == 23 else "in the clear")
        for kind, _, length in found[:_MOST_LINES]
    ]
    begin = found[0][1] if found and found[0][0] == 22 else len(head)
    first = next(iter(head[begin : begin + 1]), 0)  # the message's type, if it is there already
    if first == HELLO:
        return _hello(head[begin:], rows)
    if first == SERVER_HELLO:
        return _server_hello(head[begin:], rows)
    before = conversation.turns[:index]
    is_early = sum(each.side == 0 for each in before) == 1 and turn.side == 0
    if is_early and first in (CERTIFICATE, CLIENT_KEY_EXCHANGE):
        return _old_finished(rows)
    if turn.side == 1 and found and found[0][0] in (20, 22):
        return Said(
            "tls_finished",
            "the server's Finished",
            "Before TLS 1.3 the handshake takes two round trips: only this proves that the server "
            "has the same keys and has seen the same handshake. What follows is encrypted data.",
            rows,
            "tls12",
        )
    if is_early and turn.starts_phase != "request" and found and found[0][0] in (20, 22, 23):
        return Said(
            "tls_finished",
            "the client's Finished",
            "It proves that the client has the same keys, and has seen the same handshake, byte by "
            "byte. What follows it is the program's data, encrypted.",
            rows,
        )
    sealed = sum(length for kind, _, length in found if kind == 23)
    if found and found[0][0] == 21:
        return Said("message", "a TLS alert", "", rows)
    text = (
        f"On the wire: {count(len(found), 'TLS record')}, {size(sealed)} of it encrypted. "
        "Onlookers see how much, when and between whom, not what: no path, no header, no cookie."
    )
    asked = _milestone(conversation, turn, "request" if turn.side == 0 else "done")
    if asked.isdigit():  # of a WebSocket
        asked = f"close with code {asked}"
    what = f"{asked} (encrypted)" if asked else f"{size(turn.size)}, encrypted"
    role = _role(conversation, index)
    is_first = not any(each.side == 1 for each in before[2:])
    if role == "message" and turn.side == 0 and is_first and _speaks_h2(conversation):
        what = f"HTTP/2's preface and settings, {what}"
    return Said(role, what, text, rows)


def _old_finished(rows: list[Detail]) -> Said:
    return Said(
        "tls_finished",
        "its key exchange and its Finished",
        "Before TLS 1.3 the client's half of the key exchange comes only now. Behind it the client "
        "turns to encryption (ChangeCipherSpec), and its Finished proves that it has seen the same "
        "handshake. Its data has to wait for the server's, a round trip more.",
        rows,
        "tls12",
    )


def _speaks_h2(conversation: Conversation) -> bool:
    """Tell whether a program said that ALPN came to h2."""
    return any(
        what == "tls_done" and "ALPN h2" in detail for _, what, detail in conversation.milestones
    )


def _role(conversation: Conversation, index: int) -> str:
    """Return whether an encrypted turn is a request, an answer, or what the libraries say."""
    turn, before = conversation.turns[index], conversation.turns[:index]
    asks = [each for each in conversation.turns if each.starts_phase == "request"]
    if not asks:
        return "request" if turn.side == 0 else "answer"
    if turn.side == 0:
        return "request" if turn in asks else "message"
    asked = next((each for each in reversed(before) if each.side == 0), None)
    return "answer" if asked in asks else "message"


def _milestone(conversation: Conversation, turn: Turn, what: str) -> str:
    """Return what a program said that it sends, or got, in this turn."""
    if turn.side == 0 and turn.starts_phase != "request":
        return ""
    end = turn.delivered_at or turn.last_at
    for at, said_what, detail in conversation.milestones:
        if said_what == what and (
            abs(at - turn.first_at) < 1e-6 if turn.side == 0 else turn.first_at <= at <= end + 1e-3
        ):
            return detail
    return ""


def _hello(body: bytes, rows: list[Detail]) -> Said:
    """A ClientHello (RFC 8446 section 4.1.2)."""
    try:
        at = 4 + 2 + 32
        at += 1 + body[at]
        suites = int.from_bytes(body[at : at + 2], "big") // 2
        at += 2 + 2 * suites
        at += 1 + body[at]
        extensions = _extensions(body, at)
    except IndexError:
        return Said("tls_hello", "ClientHello", "", rows)
    name = _server_name(extensions.get(0, b""))
    alpn = _alpn(extensions.get(16, b""))
    versions = [
        VERSIONS[number] for number in _numbers(extensions.get(43, b"")[1:]) if number in VERSIONS
    ]
    if name:
        rows.append(("server_name (SNI)", name, "in the clear: everybody on the way reads it"))
    if alpn:
        rows.append(("ALPN", ", ".join(alpn), "protocols that the client speaks, in the clear"))
    if versions:
        rows.append(("versions", ", ".join(versions), "in the clear"))
    rows.append(("cipher suites", str(suites), "offered, in the clear"))
    if 51 in extensions:
        rows.append(("key share", "yes", "half of a Diffie-Hellman exchange: useless to onlookers"))
    if 41 in extensions:
        rows.append(("pre-shared key", "yes", "the client resumes an earlier session"))
    to = f" for {name}" if name else ""
    text = (
        "The client says what it can do, and already sends its half of the key exchange. All of "
        f"this is readable on the way{f', the name {name} too' if name else ''}; nothing is secret."
    )
    return Said("tls_hello", f"ClientHello{to}", text, rows)


def _server_hello(body: bytes, rows: list[Detail]) -> Said:
    try:
        legacy = int.from_bytes(body[4:6], "big")
        at = 4 + 2 + 32
        at += 1 + body[at]
        suite = int.from_bytes(body[at : at + 2], "big")
        extensions = _extensions(body, at + 3)
    except IndexError:
        return Said("tls_answer", "ServerHello", "", rows)
    number = int.from_bytes(extensions.get(43, b"")[:2], "big") or legacy
    version = VERSIONS.get(number, f"version {number:#06x}")
    rows.append(("version", version, "chosen; in the clear"))
    rows.append(("cipher suite", CIPHERS.get(suite, f"{suite:#06x}"), "chosen; in the clear"))
    resumed = 41 in extensions
    if resumed:
        rows.append(("pre-shared key", "taken", "no certificate is needed: the session is resumed"))
    if version == "TLS 1.3":
        text = (
            "With both halves of the key exchange both sides have the same keys, after one round "
            f"trip. All that follows is encrypted: {'' if resumed else 'the certificate and its '}"
            f"{'' if resumed else 'signature, '}the ALPN answer, the server's Finished."
        )
    else:
        text = "The certificate follows in the clear: before TLS 1.3, onlookers can read it."
    old = "" if version == "TLS 1.3" else "tls12"
    return Said("tls_answer", f"ServerHello, {version}", text, rows, old)


def _extensions(body: bytes, at: int) -> dict[int, bytes]:
    end = at + 2 + int.from_bytes(body[at : at + 2], "big")
    at += 2
    found = {}
    while at + 4 <= min(end, len(body)):
        kind = int.from_bytes(body[at : at + 2], "big")
        length = int.from_bytes(body[at + 2 : at + 4], "big")
        found[kind] = body[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _numbers(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data) - 1, 2)]


def _server_name(data: bytes) -> str:
    return printable(data[5 : 5 + int.from_bytes(data[3:5], "big")], 100) if len(data) > 5 else ""


def _alpn(data: bytes) -> list[str]:
    names = []
    at = 2
    while at < len(data):
        names.append(printable(data[at + 1 : at + 1 + data[at]], 30))
        at += 1 + data[at]
    return names
