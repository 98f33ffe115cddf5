"""What frames hold: bounded, and inflated and deflated where that was agreed upon (RFC 7692).

wsproto has an extension for it. This one differs in what a stranger could do to it: it stops to
inflate at the limit, it tells what was refused, and a control frame between the fragments of a
compressed message does not end the message.
"""

import zlib
from typing import Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from pystack.apps.websocket.offers import CLIENT_WINDOW_BITS, LEAST_WINDOW_BITS, Deflate

_PLAIN: Final = RsvBits(False, False, False)
_RSV1: Final = RsvBits(True, False, False)
_TAIL: Final = b"\x00\x00\xff\xff"  # of each message, not sent: RFC 7692 section 7.2.1
_MEMORY_LEVEL: Final = 5
# What little there is to gain by more costs as much again.
_COMPRESSION_LEVEL: Final = 3

Proto = FrameDecoder | FrameProtocol


class Payloads(Extension):
    """Looks at each frame on its way in and out."""

    name = "permessage-deflate"

    def __init__(self, max_bytes: int, deflate: Deflate | None) -> None:
        """`max_bytes`: of a message, inflated; `deflate`: as agreed upon, None for none."""
        self._max_bytes = max_bytes
        self._deflate = deflate
        self._inflater: zlib._Decompress | None = None  # None: the next message begins anew
        self._deflater: zlib._Compress | None = None  # None: as above
        # Of a frame that begins: its opcode, RSV1 and length; None: it has begun
        self._head: tuple[Opcode, bool, int] | None = None
        self._is_open = False  # a message has begun and not ended
        self._is_compressed = False  # that message
        self._is_control = False  # this frame
        self._taken_bytes = 0  # of the message, inflated
        self._wire_bytes = 0  # of the message, as they came
        self.problem = ""  # why a frame was refused

    def enabled(self) -> bool:
        """Tell that it is in use."""
        return True

    def offer(self) -> bool:
        """Offer nothing: this is for a server."""
        return False

    # in

    def frame_inbound_header(
        self, proto: Proto, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Admit a frame, or refuse it for what its head says.

        wsproto asks again where the mask had not come yet: nothing is changed here but the answer.
        """
        self._head = opcode, rsv.rsv1, payload_length
        if opcode.iscontrol():
            return _PLAIN
        goes_on = opcode is Opcode.CONTINUATION
        if self._is_open != goes_on:
            what = "is inside another" if self._is_open else "has no beginning"
            return self._refuse(CloseReason.PROTOCOL_ERROR, f"a message {what}")
        if goes_on and rsv.rsv1:
            return self._refuse(CloseReason.PROTOCOL_ERROR, "RSV1 in a continuation")
        is_compressed = self._is_compressed if goes_on else rsv.rsv1
        wire_bytes = payload_length + (self._wire_bytes if goes_on else 0)
        # What does not compress grows a little; and what inflates to nothing has no end.
        if wire_bytes > self._max_bytes * (2 if is_compressed else 1):
            return self._too_big()
        return _PLAIN if self._deflate is None else _RSV1

    def frame_inbound_payload_data(self, proto: Proto, data: bytes) -> bytes | CloseReason:
        """Return what a part of a frame is inflated."""
        if self._head is not None:
            self._begin(*self._head)
        if self._is_control or not self._is_compressed:
            return data
        return self._inflated(data)

    def _begin(self, opcode: Opcode, is_compressed: bool, payload_length: int) -> None:
        """Take a frame whose head is whole."""
        self._head = None
        self._is_control = opcode.iscontrol()
        if self._is_control:
            return
        if not self._is_open:
            self._is_open = True
            self._taken_bytes = self._wire_bytes = 0
            self._is_compressed = is_compressed
        self._wire_bytes += payload_length

    def frame_inbound_complete(self, proto: Proto, fin: bool) -> bytes | CloseReason | None:
        """Return what comes in addition at the end of a frame."""
        if self._is_control or not fin:
            return None
        self._is_open = False
        if not self._is_compressed:
            return None
        rest = self._inflated(_TAIL)
        if self._deflate is not None and self._deflate.client_no_context_takeover:
            self._inflater = None
        return rest

    def _inflated(self, data: bytes) -> bytes | CloseReason:
        parts: list[bytes] = []
        while data:
            if self._inflater is None:
                self._inflater = zlib.decompressobj(-self._inflate_bits())
            left = self._max_bytes - self._taken_bytes
            try:
                part = self._inflater.decompress(data, left + 1)
            except zlib.error:
                return self._refuse(CloseReason.INVALID_FRAME_PAYLOAD_DATA, "it cannot be inflated")
            if len(part) > left:
                return self._too_big()
            self._taken_bytes += len(part)
            parts.append(part)
            # All was taken, or it would have been too much; or the sender has ended its stream,
            # RFC 7692 section 7.2.3.4, and begins another.
            data = self._inflater.unused_data
            if self._inflater.eof:
                self._inflater = None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _inflate_bits(self) -> int:
        bits = None if self._deflate is None else self._deflate.client_max_window_bits
        return max(bits or CLIENT_WINDOW_BITS, LEAST_WINDOW_BITS)

    def _too_big(self) -> CloseReason:
        words = f"a message of more than {self._max_bytes} bytes"
        return self._refuse(CloseReason.MESSAGE_TOO_BIG, words)

    def _refuse(self, code: CloseReason, why: str) -> CloseReason:
        self.problem = why
        return code

    # out

    def frame_outbound(
        self, proto: Proto, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        """Deflate what a frame holds."""
        if self._deflate is None or opcode.iscontrol():
            return rsv, data
        if self._deflater is None:
            self._deflater = zlib.compressobj(
                _COMPRESSION_LEVEL,
                zlib.DEFLATED,
                -self._deflate.server_max_window_bits,
                _MEMORY_LEVEL,
            )
        packed = self._deflater.compress(data)
        if fin:
            packed += self._deflater.flush(zlib.Z_SYNC_FLUSH)
            # Twice in a row there is nothing to flush, and an empty message is RFC 7692 7.2.3.6's.
            packed = packed[: -len(_TAIL)] or b"\x00"
            if self._deflate.server_no_context_takeover:
                self._deflater = None
        return (rsv if opcode is Opcode.CONTINUATION else _RSV1), packed
