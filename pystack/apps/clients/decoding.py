"""Content codings of HTTP (RFC 9110 section 8.4.1): what `--compressed` asks for is taken apart.

A piece at a time, and no larger than `PIECE_BYTES`, whatever it unfolds to.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pystack.apps.clients.trouble import ClientError, Status

if TYPE_CHECKING:
    from zlib import _Decompress

ACCEPTED: Final = "deflate, gzip"
PIECE_BYTES: Final = 1 << 16
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


class Decoder:
    """Takes one body apart."""

    def __init__(self, encoding: str) -> None:
        """`encoding`: the field Content-Encoding; empty: the body is as it is. ClientError."""
        self._raw_deflate = encoding == "deflate"  # some leave zlib's frame away
        self._inner: _Decompress | None = None  # None: nothing is to be done
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._inner = zlib.decompressobj(_GZIP_OR_ZLIB)
        elif encoding not in ("", "identity"):
            text = f"Unrecognized content encoding type: {encoding}"
            raise ClientError(Status.BAD_ENCODING, text)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what it stands for. Raises ClientError."""
        inner = self._inner
        if inner is None:
            yield data
            return
        rest = data
        while rest and not inner.eof:
            try:
                piece = inner.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                if not self._raw_deflate:
                    raise ClientError(
                        Status.BAD_ENCODING, f"Error while decoding: {error}"
                    ) from None
                inner = self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
                self._raw_deflate = False
                continue
            self._raw_deflate = False
            if piece:
                yield piece
            rest = inner.unconsumed_tail

    def finish(self) -> None:
        """Check that all of it came. Raises ClientError."""
        if self._inner is not None and not self._inner.eof:
            raise ClientError(Status.BAD_ENCODING, "the encoded body ends too early")
