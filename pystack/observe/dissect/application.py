"""What programs say: which protocol it is, by the ports and by how it begins.

A frame alone does not tell in the middle of what it is: what does not begin as it should is said
to be a part of something. `dissect_stream` has the whole, and does not have to guess.
"""

from collections.abc import Callable
from typing import Final

from pystack.observe import amounts
from pystack.observe.dissect import http, http2, tls, websocket
from pystack.observe.dissect.dns import lay_dns, lay_dns_by_tcp
from pystack.observe.dissect.layout import MOST_FIELDS, Dissection, signs
from pystack.observe.dissect.lines import lay_ftp, lay_smtp
from pystack.observe.dissect.ports import spoken

# Takes apart what begins at the first place; returns where it ends, or that place if it is none.
Reader = Callable[[Dissection, int, int], int]

READERS: Final[dict[str, Reader]] = {
    "dns": lay_dns_by_tcp,
    "ftp": lay_ftp,
    "http": http.lay_http,
    "http2": http2.lay_http2,
    "smtp": lay_smtp,
    "tls": tls.lay_tls,
    "websocket": websocket.lay_websocket,
}
_TOO_MUCH: Final = "more than anybody reads: not taken apart"
_PART: Final = {
    "http": "part of an HTTP body, or of a message that began in an earlier segment",
    "tls": "encrypted: part of a TLS record that began in an earlier segment",
}


def lay_text(
    whole: Dissection,
    start: int,
    end: int,
    src_port: int,
    dst_port: int,
    *,
    by_udp: bool = False,
) -> None:
    """Take apart what a segment or a datagram carries."""
    protocol = spoken(src_port, dst_port)
    if by_udp:
        if protocol == "dns" and not whole.quoted:
            lay_dns(whole, start, end)
        else:
            _rest(whole, start, end, "")
        return
    if whole.quoted:
        _rest(whole, start, end, "")
        return
    lay_all(whole, start, end, _guess(whole.data, start, end, protocol), _PART.get(protocol, ""))


def lay_all(whole: Dissection, start: int, end: int, protocol: str, part: str = "") -> None:
    """Take apart one message of a protocol after the other; `part`: what else it may be."""
    reader = READERS.get(protocol)
    at = start
    while reader is not None and at < end and whole.fields < MOST_FIELDS:
        stop = reader(whole, at, end)
        if stop == at:
            break
        at = stop
    _rest(whole, at, end, _TOO_MUCH if whole.fields >= MOST_FIELDS else part)


def _rest(whole: Dissection, start: int, end: int, meaning: str) -> None:
    if start < end:
        layer = whole.layer("application", (7,), "Data", start, end)
        text = f"{amounts.size(end - start)}: {signs(whole.data[start:end], 60)}"
        layer.content("data", meaning, text)


def _guess(data: bytes, start: int, end: int, protocol: str) -> str:
    """Return what is spoken, where the port says nothing, or something else."""
    if protocol in ("dns", "smtp", "ftp"):
        return "tls" if protocol != "dns" and tls.begins(data, start, end) else protocol
    if http.begins(data, start):
        return "http"
    if data.startswith(http2.PREFACE, start):
        return "http2"
    if tls.begins(data, start, end):
        return "tls"
    if protocol == "http":
        if http2.fits(data, start, end):
            return "http2"
        if websocket.fits(data, start, end):
            return "websocket"
    return ""
