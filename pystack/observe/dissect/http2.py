"""HTTP/2 frames (RFC 9113). Header blocks hang on all before them, and are not read here."""

from typing import Final

from pystack.observe import amounts
from pystack.observe.dissect.layout import Dissection, Field, decimal, hex8, signs

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES: Final = 9
_MOST_FRAME_BYTES: Final = 16384  # SETTINGS_MAX_FRAME_SIZE, unless more is agreed on
_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _MORE = range(
    10
)
_TYPES: Final = {
    _DATA: "DATA",
    _HEADERS: "HEADERS",
    _PRIORITY: "PRIORITY",
    _RST_STREAM: "RST_STREAM",
    _SETTINGS: "SETTINGS",
    _PUSH: "PUSH_PROMISE",
    _PING: "PING",
    _GOAWAY: "GOAWAY",
    _WINDOW: "WINDOW_UPDATE",
    _MORE: "CONTINUATION",
}
_END_STREAM: Final = 0x1
_ACK: Final = 0x1
_FLAGS: Final = {
    _DATA: {_END_STREAM: "END_STREAM", 0x8: "PADDED"},
    _HEADERS: {_END_STREAM: "END_STREAM", 0x4: "END_HEADERS", 0x8: "PADDED", 0x20: "PRIORITY"},
    _SETTINGS: {_ACK: "ACK"},
    _PING: {_ACK: "ACK"},
    _MORE: {0x4: "END_HEADERS"},
    _PUSH: {0x4: "END_HEADERS", 0x8: "PADDED"},
}
_ERRORS: Final = {
    0: "NO_ERROR",
    1: "PROTOCOL_ERROR",
    2: "INTERNAL_ERROR",
    3: "FLOW_CONTROL_ERROR",
    4: "SETTINGS_TIMEOUT",
    5: "STREAM_CLOSED",
    6: "FRAME_SIZE_ERROR",
    7: "REFUSED_STREAM",
    8: "CANCEL",
    9: "COMPRESSION_ERROR",
    10: "CONNECT_ERROR",
    11: "ENHANCE_YOUR_CALM",
    12: "INADEQUATE_SECURITY",
    13: "HTTP_1_1_REQUIRED",
}
_SETTING_NAMES: Final = {
    1: "SETTINGS_HEADER_TABLE_SIZE",
    2: "SETTINGS_ENABLE_PUSH",
    3: "SETTINGS_MAX_CONCURRENT_STREAMS",
    4: "SETTINGS_INITIAL_WINDOW_SIZE",
    5: "SETTINGS_MAX_FRAME_SIZE",
    6: "SETTINGS_MAX_HEADER_LIST_SIZE",
    8: "SETTINGS_ENABLE_CONNECT_PROTOCOL",
}
_HEAD: Final = (
    Field("Length", 24, decimal, "bytes behind this header"),
    Field("Type", 8, decimal, _TYPES),
    Field("Flags", 8, hex8),
    Field("Reserved", 1),
    Field(
        "Stream Identifier",
        31,
        decimal,
        lambda number: "" if number else "the whole connection",
    ),
)
_SETTING: Final = (Field("Identifier", 16, decimal, _SETTING_NAMES), Field("Value", 32))
_ERROR: Final = Field("Error Code", 32, decimal, _ERRORS)
_BODIES: Final = {
    _PRIORITY: (Field("Exclusive", 1), Field("Stream Dependency", 31), Field("Weight", 8)),
    _RST_STREAM: (_ERROR,),
    _GOAWAY: (Field("Reserved", 1), Field("Last-Stream-ID", 31), _ERROR),
    _WINDOW: (
        Field("Reserved", 1),
        Field("Window Size Increment", 31, decimal, "so much more may be sent"),
    ),
}


def fits(data: bytes, start: int, end: int) -> bool:
    """Tell whether whole frames, and nothing else, lie there."""
    at = start + len(PREFACE) if data.startswith(PREFACE, start) else start
    while at < end:
        if end - at < _HEADER_BYTES or data[at + 3] not in _TYPES or data[at + 5] & 0x80:
            return False
        length = int.from_bytes(data[at : at + 3], "big")
        if length > _MOST_FRAME_BYTES:
            return False
        at += _HEADER_BYTES + length
    return at == end


def lay_http2(whole: Dissection, start: int, end: int) -> int:
    """Take apart a frame, or the preface; return where it ends."""
    if whole.data.startswith(PREFACE, start):
        layer = whole.layer("application", (7,), "HTTP/2 connection preface", start, end)
        layer.take(
            "preface", len(PREFACE), signs(PREFACE), "HTTP/2 from the client's first byte on"
        )
        layer.close(layer.at)
        return layer.at
    if end - start < _HEADER_BYTES:
        return start
    layer = whole.layer("application", (7,), "HTTP/2 frame", start, end)
    numbers = layer.lay(_HEAD)
    if numbers is None:
        return end
    length, kind, flags, _, _ = numbers
    layer.box.title += f": {_TYPES.get(kind, f'type {kind}')}"
    known = _FLAGS.get(kind, {})
    layer.explain("Flags", " ".join(name for bit, name in known.items() if flags & bit))
    layer.end = min(layer.at + length, end)
    if kind == _SETTINGS:
        while layer.left >= 6 and not layer.is_full:
            layer.lay(_SETTING)
    elif kind in _BODIES and layer.left >= sum(each.bits for each in _BODIES[kind]) // 8:
        layer.lay(_BODIES[kind])
    if layer.left:
        cut = "" if layer.left == length else "; it goes on in later segments"
        name, meaning = _PAYLOADS.get(kind, ("payload", ""))
        layer.content(name, meaning + cut, amounts.size(layer.left))
    else:
        layer.close()
    return layer.end


_PAYLOADS: Final = {
    _DATA: ("Data", "content"),
    _HEADERS: (
        "Field Block Fragment",
        "header fields, compressed by HPACK over all that came before",
    ),
    _MORE: ("Field Block Fragment", "more header fields, compressed by HPACK"),
    _PUSH: ("Field Block Fragment", "the request that the server foresees, compressed by HPACK"),
    _PING: ("Opaque Data", "comes back as it is"),
    _GOAWAY: ("Additional Debug Data", ""),
}
