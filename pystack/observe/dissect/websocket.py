"""WebSocket frames (RFC 6455)."""

from typing import Final

from pystack.observe import amounts
from pystack.observe.dissect.layout import Dissection, Field, decimal, flag, hex32, signs

_OPCODES: Final = {
    0x0: "continuation",
    0x1: "text",
    0x2: "binary",
    0x8: "connection close",
    0x9: "ping",
    0xA: "pong",
}
_CLOSE: Final = 0x8
_TEXT: Final = 0x1
_SHOWN_BYTES: Final = 200
_HEAD: Final = (
    flag("FIN", "the message ends with this frame", "more frames of this message follow"),
    flag("RSV1", "compressed (RFC 7692)"),
    Field("RSV2", 1),
    Field("RSV3", 1),
    Field("opcode", 4, decimal, _OPCODES),
    flag("MASK", "masked, as all from clients are", "not masked: it is from a server"),
    Field(
        "Payload len",
        7,
        decimal,
        {126: "the length follows in 16 bits", 127: "the length follows in 64 bits"},
    ),
)
_LONG: Final = {126: 16, 127: 64}
_KEY: Final = Field("Masking-key", 32, hex32, "against old proxies that take text for requests")
_STATUS: Final = Field(
    "status code",
    16,
    decimal,
    {
        1000: "normal closure",
        1001: "going away",
        1002: "protocol error",
        1003: "unacceptable data",
        1007: "not UTF-8",
        1008: "policy violation",
        1009: "too big",
        1011: "unexpected condition",
    },
)


def _size(data: bytes, at: int, end: int) -> int | None:
    """Return how long a frame there is; None: it is none, or cut within its header."""
    if end - at < 2 or (data[at] & 0x70 and data[at] & 0x30) or data[at] & 0xF not in _OPCODES:
        return None
    length = data[at + 1] & 0x7F
    more = _LONG.get(length, 0) // 8
    if more:
        if end - at < 2 + more:
            return None
        length = int.from_bytes(data[at + 2 : at + 2 + more], "big")
    return 2 + more + (4 if data[at + 1] & 0x80 else 0) + length


def fits(data: bytes, start: int, end: int) -> bool:
    """Tell whether whole frames, and nothing else, lie there."""
    at = start
    while at < end:
        size = _size(data, at, end)
        if size is None:
            return False
        at += size
    return at == end and start < end


def lay_websocket(whole: Dissection, start: int, end: int) -> int:
    """Take apart a frame; return where it ends, `start` if there is none."""
    size = _size(whole.data, start, end)
    if size is None:
        return start
    stop = min(start + size, end)
    layer = whole.layer("application", (7,), "WebSocket frame", start, stop)
    numbers = layer.lay(_HEAD)
    if numbers is None:
        return end
    opcode, is_masked, length = numbers[4], numbers[5], numbers[6]
    layer.box.title += f": {_OPCODES[opcode]}"
    if length in _LONG:
        layer.one(Field("Extended payload length", _LONG[length], decimal, "bytes"))
    key = layer.one(_KEY) if is_masked and layer.left else None
    layer.close()
    body = _unmasked(layer.peek(_SHOWN_BYTES), key)
    if opcode == _CLOSE and layer.left >= 2 and key is None:
        layer.one(_STATUS)
        body = body[2:]
    elif opcode == _CLOSE and layer.left >= 2:
        status = int.from_bytes(body[:2], "big")
        layer.take("status code", 2, str(status), _STATUS.means(status))
        body = body[2:]
    compressed = bool(numbers[1])
    if layer.left:
        text = "compressed" if compressed else signs(body)
        cut = "" if stop == start + size else "; it goes on in later segments"
        meaning = ("shown without its mask" if key is not None else "") + cut
        layer.content(
            "Payload data", meaning.removeprefix("; "), f"{amounts.size(layer.left)}: {text}"
        )
    return stop


def _unmasked(data: bytes, key: int | None) -> bytes:
    if key is None:
        return data
    mask = key.to_bytes(4, "big")
    return bytes(byte ^ mask[number & 3] for number, byte in enumerate(data))
