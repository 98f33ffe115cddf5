"""HTTP/1.1 messages (RFC 9112): the head line by line, then the body."""

from typing import Final

from pystack.observe import amounts
from pystack.observe.dissect.layout import Dissection, Layer, signs

_METHODS: Final = (
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"PATCH",
)
STARTS: Final = (*(method + b" " for method in _METHODS), b"HTTP/1.")
_MOST_LINE_BYTES: Final = 8192
_MOST_CHUNKS: Final = 1000
_MEANINGS: Final = {
    "host": "the site that is meant: many may live at one address",
    "content-length": "bytes of the body",
    "transfer-encoding": "the body comes in chunks, its length is not known beforehand",
    "connection": "what is to become of the connection afterwards",
    "user-agent": "the client's program",
    "accept": "what the client can take",
    "accept-encoding": "compression that the client understands",
    "content-type": "what the body is",
    "content-encoding": "how the body is compressed",
    "date": "when the message was made",
    "server": "the server's program",
    "etag": "names this version of the content",
    "last-modified": "when the content changed",
    "upgrade": "another protocol on this connection, please",
    "location": "where to look instead",
    "set-cookie": "to be sent back with later requests",
    "cookie": "what the server has set before",
    "sec-websocket-key": "proof that the server understands WebSocket",
    "sec-websocket-accept": "the proof, made of the key",
    "cache-control": "who may keep it, and for how long",
}
_CLASSES: Final = {
    "1": "informational: more comes",
    "2": "success",
    "3": "redirection: look elsewhere",
    "4": "the client's error",
    "5": "the server's error",
}


def begins(data: bytes, start: int) -> bool:
    """Tell whether a message begins there."""
    return data.startswith(STARTS, start)


def lay_http(whole: Dissection, start: int, end: int) -> int:
    """Take apart a message; return where it ends, `start` if there is none."""
    if not begins(whole.data, start):
        return start
    is_response = whole.data.startswith(b"HTTP/", start)
    title = "HTTP response" if is_response else "HTTP request"
    layer = whole.layer("application", (7,), title, start, end)
    status = _status_line(layer) if is_response else _request_line(layer)
    fields = _fields(layer)
    if fields is None:
        return end
    layer.close(end)
    return _body(whole, layer.at, end, fields, None if not is_response else status)


def _line(layer: Layer) -> tuple[bytes, int]:
    """Return the next line without its end, and its length with it; all of it if it is cut."""
    data = layer.peek(_MOST_LINE_BYTES)
    found = data.find(b"\n")
    if found < 0:
        return data, len(data)
    return data[:found].removesuffix(b"\r"), found + 1


def _request_line(layer: Layer) -> str:
    line, size = _line(layer)
    stop = layer.at + size
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if not target:
        target, version = rest, b""
    layer.take("method", len(method) + 1, signs(method), "what to do")
    layer.take("request-target", len(target) + 1, signs(target), "with what")
    layer.take("HTTP-version", stop - layer.at, signs(version))
    return ""


def _status_line(layer: Layer) -> str:
    line, size = _line(layer)
    stop = layer.at + size
    version, _, rest = line.partition(b" ")
    status, _, reason = rest.partition(b" ")
    layer.take("HTTP-version", min(len(version) + 1, size), signs(version))
    meaning = _CLASSES.get(signs(status[:1]), "")
    layer.take("status-code", min(len(status) + 1, stop - layer.at), signs(status), meaning)
    layer.take("reason-phrase", stop - layer.at, signs(reason))
    return signs(status)


def _fields(layer: Layer) -> dict[str, str] | None:
    """Lay out the header fields; None: the head goes on in a later segment."""
    fields: dict[str, str] = {}
    while layer.left and not layer.is_full:
        line, size = _line(layer)
        if not line and size:
            layer.take("CRLF", size, "", "an empty line: the head ends here")
            return fields
        name, _, value = line.partition(b":")
        text = signs(value.strip())
        key = signs(name).lower()
        fields[key] = text
        layer.take(signs(name) or "field-line", size, text, _MEANINGS.get(key, ""))
    layer.rest("head")
    return None


def _body(
    whole: Dissection, start: int, end: int, fields: dict[str, str], status: str | None
) -> int:
    """Lay out the body; `status`: of a response, None for a request."""
    if status in ("204", "304") or (status or "").startswith("1"):
        return start
    if "chunked" in fields.get("transfer-encoding", ""):
        return _chunks(whole, start, end)
    size = fields.get("content-length", "")
    if size.isdecimal() and len(size) < 19:
        stop = min(start + int(size), end)
        meaning = "the body" if stop == start + int(size) else "the body's beginning"
    elif status is None:
        return start
    else:
        stop, meaning = end, "the body: all up to the connection's end"
    if start < stop:
        text = f"{amounts.size(stop - start)}: {signs(whole.data[start:stop], 60)}"
        layer = whole.layer("application", (7,), "HTTP body", start, stop)
        layer.content("content", meaning, text)
    return stop


def _chunks(whole: Dissection, start: int, end: int) -> int:
    if start >= end:
        return end
    layer = whole.layer("application", (7,), "HTTP body", start, end)
    for _ in range(_MOST_CHUNKS):
        line, size = _line(layer)
        if not size or layer.is_full:
            break
        try:
            length = int(line.partition(b";")[0], 16)
        except ValueError:
            break
        layer.take(
            "chunk-size", size, signs(line), amounts.size(length) if length else "the last one"
        )
        if not length:
            trailer, size = _line(layer)
            layer.take("CRLF", size if not trailer else 0, "")
            return layer.at
        text = f"{amounts.size(min(length, layer.left))}: {signs(layer.peek(min(length, 61)), 60)}"
        layer.take("chunk-data", length + 2, text)
    layer.rest("content")
    return end
