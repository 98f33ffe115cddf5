"""TLS (RFC 8446, RFC 5246): records, and of the handshake what goes in clear."""

from collections.abc import Callable
from functools import partial
from typing import Final

from pystack.observe import amounts
from pystack.observe.dissect import tls_names
from pystack.observe.dissect.layout import (
    MOST_FIELDS,
    Dissection,
    Field,
    Layer,
    decimal,
    hex16,
    hexed,
    signs,
)

HEADER_BYTES: Final = 5
_MOST_RECORD_BYTES: Final = 16384 + 2048  # RFC 5246; RFC 8446 has less
_ALERT: Final = 21
_HANDSHAKE: Final = 22
_DATA: Final = 23
_CIPHER_CHANGE: Final = 20
_CLIENT_HELLO: Final = 1
_SERVER_HELLO: Final = 2
_CERTIFICATE: Final = 11
# How a ServerHello says that it is a HelloRetryRequest (RFC 8446 section 4.1.3)
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_SEALED: Final = {
    _ALERT: "encrypted: an alert; mostly that the connection ends",
    _HANDSHAKE: "encrypted: the end of the handshake",
    _DATA: "encrypted: what is inside, even whether it is still the handshake, nobody on the way "
    "can tell; its length and its time can be seen",
}


def _version(number: int) -> str:
    return tls_names.named(tls_names.VERSIONS, number)


_RECORD: Final = (
    Field("type", 8, decimal, tls_names.CONTENT_TYPES),
    Field("legacy_record_version", 16, hex16, _version),
    Field("length", 16, decimal, "bytes of the record behind this"),
)
_MESSAGE: Final = (
    Field("msg_type", 8, decimal, tls_names.HANDSHAKES),
    Field("length", 24, decimal, "bytes of the message behind this"),
)
_LEGACY: Final = Field("legacy_version", 16, hex16, _version)
_CIPHER: Final = Field("cipher_suite", 16, hex16, partial(tls_names.named, tls_names.CIPHERS))
_GROUP: Final = Field("group", 16, hex16, partial(tls_names.named, tls_names.GROUPS))
_SIGNATURE: Final = Field(
    "signature_scheme", 16, hex16, partial(tls_names.named, tls_names.SIGNATURES)
)
_EXTENSION: Final = (
    Field("extension_type", 16, decimal, partial(tls_names.named, tls_names.EXTENSIONS)),
    Field("extension length", 16),
)
_ALERTS: Final = (
    Field("level", 8, decimal, {1: "warning", 2: "fatal"}),
    Field("description", 8, decimal, tls_names.ALERTS),
)


def begins(data: bytes, start: int, end: int) -> bool:
    """Tell whether a record seems to begin there."""
    if end - start < HEADER_BYTES:
        return False
    length = data[start + 3] << 8 | data[start + 4]
    return (
        data[start] in tls_names.CONTENT_TYPES
        and data[start + 1] == 3
        and data[start + 2] <= 4
        and 0 < length <= _MOST_RECORD_BYTES
    )


def lay_tls(whole: Dissection, start: int, end: int) -> int:
    """Take apart a record; return where it ends, `start` if there is none."""
    if not begins(whole.data, start, end):
        return start
    layer = whole.layer("application", (6,), "TLS record", start, end)
    numbers = layer.lay(_RECORD)
    if numbers is None:
        return end
    kind, _, length = numbers
    name = tls_names.CONTENT_TYPES[kind]
    layer.box.title += f": {name}"
    stop = min(layer.at + length, end)
    layer.end = stop
    layer.close()
    cut = length - layer.left
    if kind == _HANDSHAKE and _is_clear(layer):
        _lay_messages(whole, layer)
        return stop
    if kind == _ALERT and length == 2:
        layer.lay(_ALERTS)
    elif kind == _CIPHER_CHANGE and length == 1:
        layer.take("type", 1, "1", "from now on encrypted (in TLS 1.3: for old boxes on the way)")
    missing = f"; {amounts.size(cut)} more in later segments" if cut > 0 else ""
    meaning = _SEALED.get(kind, "")
    if layer.left:
        layer.content("encrypted_record", meaning + missing, amounts.size(layer.left))
    else:
        layer.close()
    return stop


def _is_clear(layer: Layer) -> bool:
    """Tell a message of the handshake from an encrypted one, which begins anyhow."""
    head = layer.peek(4)
    if len(head) < 4 or head[0] not in tls_names.HANDSHAKES:
        return False
    length = int.from_bytes(head[1:], "big")
    # Certificates alone are longer than a record.
    return (
        length <= layer.left - 4
        or (head[0] == _CERTIFICATE and length < 1 << 17)
        or (head[0] in (_CLIENT_HELLO, _SERVER_HELLO) and layer.peek(1, 4) == b"\3")
    )


def _lay_messages(whole: Dissection, record: Layer) -> None:
    at, end = record.at, record.end
    while at < end and whole.fields < MOST_FIELDS:
        layer = whole.layer("application", (5,), "TLS handshake", at, end)
        head = layer.lay(_MESSAGE)
        if head is None:
            return
        kind, length = head
        if kind not in tls_names.HANDSHAKES:
            layer.rest("data", "encrypted, or the rest of an earlier message")
            return
        layer.box.title = f"TLS handshake: {tls_names.HANDSHAKES[kind]}"
        cut = length - layer.left
        layer.end = min(layer.at + length, end)
        reader = _READERS.get(kind)
        if reader is not None:
            reader(layer)
        layer.rest("body", "goes on in later records or segments" if cut > 0 else "")
        layer.close()
        at = layer.end


def _hello(layer: Layer, *, of_server: bool) -> None:
    if layer.one(_LEGACY) is None:
        return
    random = layer.take("random", 32)
    if random == _RETRY:
        layer.box.title = "TLS handshake: hello_retry_request"
        layer.explain("random", "says that this is a HelloRetryRequest: try again, with this group")
    _block(layer, 1, "legacy_session_id")
    if of_server:
        if layer.one(_CIPHER) is None:
            return
        layer.explain("cipher_suite", f"{layer.box.headers[-1].meaning}: the server's choice")
        layer.one(Field("legacy_compression_method", 8))
    else:
        size = layer.one(Field("cipher_suites length", 16))
        _each(layer, 0 if size is None else size, _CIPHER)
        _block(layer, 1, "legacy_compression_methods")
    size = layer.one(Field("extensions length", 16)) if layer.left else None
    stop = min(layer.at + (size or 0), layer.end)
    while layer.at < stop and not layer.is_full:
        head = layer.lay(_EXTENSION)
        if head is None:
            return
        kind, length = head
        end = min(layer.at + length, stop)
        _lay_extension(layer, kind, end, of_server=of_server)
        layer.take("extension_data", end - layer.at)


def _lay_extension(layer: Layer, kind: int, end: int, *, of_server: bool) -> None:
    size = end - layer.at
    if kind == 0 and size > 5:
        layer.lay((Field("server_name_list length", 16), Field("name_type", 8)))
        layer.one(Field("host_name length", 16))
        name = layer.peek(end - layer.at)
        meaning = "SNI: the server's name, in clear: everybody on the way can read it"
        layer.take("host_name", end - layer.at, signs(name), meaning)
    elif kind == 16 and size > 3:
        layer.one(Field("protocol_name_list length", 16))
        while layer.at < end and not layer.is_full:
            length = layer.peek(1)[0] if layer.left else 0
            name = layer.peek(min(length, end - layer.at - 1), 1)
            taken = 1 + min(length, end - layer.at - 1)
            meaning = "ALPN: what is to be spoken inside" if not of_server else "ALPN: agreed on"
            layer.take("ProtocolName", taken, signs(name), meaning)
    elif kind == 43:
        version = Field("selected_version" if of_server else "version", 16, hex16, _version)
        if not of_server and size > 1:
            _counted_list(layer, end, 8, version)
        elif size == 2:
            layer.one(version)
    elif kind == 51:
        _key_shares(layer, end, of_server=of_server)
    elif kind in _LISTS and size > 2:
        _counted_list(layer, end, 16, _LISTS[kind])


_LISTS: Final = {10: _GROUP, 13: _SIGNATURE, 50: _SIGNATURE}


def _key_shares(layer: Layer, end: int, *, of_server: bool) -> None:
    if not of_server and end - layer.at > 2:
        layer.one(Field("client_shares length", 16))
    while end - layer.at >= 2 and not layer.is_full:
        layer.one(_GROUP)
        if end - layer.at < 2:
            return
        length = layer.one(Field("key_exchange length", 16))
        count = min(length or 0, end - layer.at)
        meaning = "a public key: from both sides' the secret is made, which nobody on the way has"
        layer.take("key_exchange", count, hexed(layer.peek(count)), meaning)


def _counted_list(layer: Layer, end: int, bits: int, each: Field) -> None:
    size = layer.one(Field(f"{each.name}s length", bits))
    _each(layer, min(size or 0, end - layer.at), each)


def _each(layer: Layer, size: int, each: Field) -> None:
    stop = min(layer.at + size, layer.end)
    while stop - layer.at >= each.bits // 8 and not layer.is_full:
        layer.one(each)
    layer.take(each.name, stop - layer.at)


def _block(layer: Layer, length_bytes: int, name: str) -> None:
    """Lay out bytes with their length in front."""
    size = layer.one(Field(f"{name} length", 8 * length_bytes)) if layer.left else None
    if size:
        layer.take(name, size)


def _certificates(layer: Layer) -> None:
    """Of TLS 1.2, where they go in clear."""
    size = layer.one(Field("certificate_list length", 24)) if layer.left else None
    stop = min(layer.at + (size or 0), layer.end)
    while stop - layer.at > 3 and not layer.is_full:
        length = layer.one(Field("certificate length", 24))
        count = min(length or 0, stop - layer.at)
        layer.take(
            "ASN.1Cert", count, amounts.size(count), "who the server is, and who vouches for it"
        )


_READERS: Final[dict[int, Callable[[Layer], None]]] = {
    _CLIENT_HELLO: partial(_hello, of_server=False),
    _SERVER_HELLO: partial(_hello, of_server=True),
    _CERTIFICATE: _certificates,
}
