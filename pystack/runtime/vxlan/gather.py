"""Segments of one flow that come one after the other go on as a super-frame: the kernel's GRO.

What the other end has cut for the wire is put together again, so that the layers above see it once.
Only what could be cut again into the same frames is: plain headers, the same but for their numbers,
in sequence, all of one length but the last, and each with checksums that were found right here, or
are open (see `offloaded`).
"""

from collections.abc import Sequence
from typing import Final

from pystack.runtime.vxlan.inner import codepoint
from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.checksum import Buffer, checksum, residue, residue_of
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_PARTIAL, SUPER_TEXT_BYTES, Frame, SuperFrame
from pystack.wire.headers import V4_END, V6_END
from pystack.wire.train import BULK, LAYOUTS, Layout

_IP: Final = ethernet.HEADER_BYTES
_IPV4: Final = ethernet.IS_IPV4
_IPV6: Final = ethernet.IS_IPV6
_PLAIN: Final = b"\x45"  # version and length of an IPv4 header without options
_WHOLE: Final = b"\x40\x00"  # DF, and no fragment: its identification says nothing (RFC 6864)


class Gathering:
    """What has come of a flow, and is not handed on yet. At most 64 KiB."""

    __slots__ = ("_head", "_layout", "_next_seq", "_same", "_start", "_step", "_texts", "_total")

    def __init__(self) -> None:
        self._texts: list[Buffer] = []  # []: nothing
        self._head = b""
        self._layout: Layout | None = None  # None: nothing has come yet
        self._start = self._step = self._total = self._next_seq = self._same = 0

    def goes_on(self, data: memoryview) -> bool:
        """Take a frame that continues what is there (HOT); False: that one does not.

        `data`: of bytes that never change.
        """
        layout = self._layout
        if not self._texts or layout is None:
            return False
        head_bytes, start = len(self._head), self._start
        size = len(data) - head_bytes
        if (
            not 0 < size <= self._step
            or self._total + size > SUPER_TEXT_BYTES
            or int.from_bytes(data[:head_bytes], "big") & layout.mask != self._same
            or int.from_bytes(data[layout.seq], "big") != self._next_seq
            or not _is_right(data, start)
        ):
            return False
        self._append(data, size)
        return True

    @property
    def codepoint(self) -> int:
        """The ECN field of what is there, or was."""
        return codepoint(self._head)

    def go_on(self, whole: bytes, starts: Sequence[int], first: int, last: int, size: int) -> int:
        """Take frames as `goes_on` does, and return how many, up to one that it does not (HOT).

        They begin at `starts` in `whole`, from number `first` up to `last`, and have `size` bytes.
        """
        layout, head_bytes, step = self._layout, len(self._head), self._step
        # In a train all have one length: that of the first one, or it is looked at alone.
        if not self._texts or layout is None or size - head_bytes != step or not step:
            return 0
        most = min(last - first, (SUPER_TEXT_BYTES - self._total) // step)
        at, is_v4, mask, same = self._start, self._start == V4_END, layout.mask, self._same
        length = (size - _IP if is_v4 else size - at).to_bytes(2, "big")
        pseudo = _pseudo(self._head, at, size - at)
        opened = pseudo.to_bytes(2, "big")
        from_bytes, texts, next_seq = int.from_bytes, self._texts, self._next_seq
        length_at, seq_at, sum_at = layout.length.start, layout.seq.start, at + 16
        view, taken, pushed = memoryview(whole), 0, 0
        for start in starts[first : first + most]:
            head = whole[start : start + head_bytes]
            if (
                from_bytes(head, "big") & mask != same
                or from_bytes(head[seq_at : seq_at + 4], "big") != next_seq
                or head[length_at : length_at + 2] != length
                or (is_v4 and from_bytes(head[_IP:V4_END], "big") % 0xFFFF)
            ):
                break
            # 0 and 0xFFFF are the same residue, and it is not all zero: there are addresses.
            if (
                head[sum_at : sum_at + 2] != opened
                and (residue_of(whole, start + at, start + size) + pseudo) % 0xFFFF
            ):
                break
            texts.append(view[start + head_bytes : start + size])
            next_seq = next_seq + step & 0xFFFFFFFF
            taken += 1
            pushed = head[at + 13] & tcp.PSH
            if pushed:
                break
        self._next_seq = next_seq
        self._total += taken * step
        if pushed:
            self._push()
        return taken

    def begin(self, data: memoryview) -> bool:
        """Take a frame as the first, where nothing is there; False: it is none to be gathered."""
        kind, first = bytes(data[ethernet.TYPE]), bytes(data[_IP : _IP + 1])
        if kind == _IPV4 and first == _PLAIN:
            start = V4_END
            if len(data) < start + tcp.HEADER_BYTES or data[23] != ipv4.TCP:
                return False
            if bytes(data[20:22]) != _WHOLE:
                return False
        elif kind == _IPV6 and first and first[0] >> 4 == 6:
            start = V6_END
            if len(data) < start + tcp.HEADER_BYTES or data[20] != ipv4.TCP:
                return False
        else:
            return False
        head_bytes = start + (data[start + 12] >> 4) * 4
        layout = LAYOUTS.get((start, head_bytes))
        if layout is None or len(data) <= head_bytes or data[start + 13] not in BULK:
            return False
        if not _is_right(data, start):
            return False
        self._head = bytes(data[:head_bytes])
        self._layout, self._start = layout, start
        self._same = int.from_bytes(self._head, "big") & layout.mask
        self._next_seq = int.from_bytes(data[layout.seq], "big")
        self._step = size = len(data) - head_bytes
        self._total = 0
        self._append(data, size)
        return True

    def taken(self) -> Frame | None:
        """Return what is there, as one frame, and forget it; None: nothing is."""
        texts = self._texts
        if not texts:
            return None
        self._texts = []
        start, total = self._start, self._total
        head = bytearray(self._head)
        tcp_bytes = len(head) - start + total
        if start == V6_END:
            head[18:20] = tcp_bytes.to_bytes(2, "big")
        else:
            head[16:18] = (ipv4.HEADER_BYTES + tcp_bytes).to_bytes(2, "big")
            head[24:26] = bytes(2)
            head[24:26] = checksum(head[_IP:V4_END]).to_bytes(2, "big")
        pseudo = _pseudo(head, start, tcp_bytes)
        if len(texts) == 1:
            is_open = head[start + 16 : start + 18] == pseudo.to_bytes(2, "big")
            kind = CHECKSUM_PARTIAL if is_open else CHECKSUM_GOOD
            return Frame(self._head + bytes(texts[0]), kind)
        head[start + 16 : start + 18] = pseudo.to_bytes(2, "big")
        return SuperFrame(bytes(head), b"".join(texts), CHECKSUM_PARTIAL, len(texts[0]))

    def _append(self, data: memoryview, size: int) -> None:
        at = len(self._head)
        self._texts.append(data[at:])
        self._total += size
        self._next_seq = self._next_seq + size & 0xFFFFFFFF
        if data[self._start + 13] & tcp.PSH:
            self._push()
        if size < self._step:
            self._step = 0  # the last one: none is short enough to follow

    def _push(self) -> None:
        """Let what is there be pushed: it is the last one, none is short enough to follow."""
        head = bytearray(self._head)
        head[self._start + 13] |= tcp.PSH
        self._head = bytes(head)
        self._step = 0


def _pseudo(head: bytes | bytearray, start: int, tcp_bytes: int) -> int:
    """Return the sum of a segment's pseudo-header, as it stands where the checksum is open."""
    # Source and destination end the IP header; 2**16 is 1 modulo 0xFFFF.
    addresses = int.from_bytes(head[start - (32 if start == V6_END else 8) : start], "big")
    return (addresses + ipv4.TCP + tcp_bytes - 1) % 0xFFFF + 1


def _is_open(data: memoryview, start: int, pseudo: int) -> bool:
    """Tell whether a segment has only the sum of its pseudo-header in the place of its checksum."""
    found = int.from_bytes(data[start + 16 : start + 18], "big")
    return found > 0 and found % 0xFFFF == pseudo % 0xFFFF


def _is_right(data: memoryview, start: int) -> bool:
    """Tell whether the lengths and the checksums of a frame are right, both headers' (HOT)."""
    size = len(data)
    tcp_bytes = size - start
    if start == V4_END:
        if int.from_bytes(data[16:18], "big") != size - _IP:
            return False
        if int.from_bytes(data[_IP:V4_END], "big") % 0xFFFF:
            return False
        addresses = int.from_bytes(data[26:34], "big")
    else:
        if int.from_bytes(data[18:20], "big") != tcp_bytes:
            return False
        addresses = int.from_bytes(data[22:54], "big")
    pseudo = addresses + ipv4.TCP + tcp_bytes
    if _is_open(data, start, pseudo):
        return True
    value = int.from_bytes(data[start:], "big") << (tcp_bytes & 1) * 8
    # 0 and 0xFFFF are the same residue, and it is not all zero: there are addresses.
    return not residue(value + pseudo)
