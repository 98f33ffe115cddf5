"""The Internet checksum (RFC 1071), whole and incremental (RFC 1624)."""

Buffer = bytes | bytearray | memoryview


def checksum(data: Buffer, initial: int = 0) -> int:
    """Return the checksum to put in a header, whose own field is zero in `data`.

    `initial` is a sum over what is not in `data` (a pseudo-header), from `partial_sum`. Over data
    that has its checksum in place, the result is 0 where it is right.
    """
    # 2**16 is 1 modulo 0xFFFF, so the whole buffer as one integer, modulo 0xFFFF, is the
    # one's-complement sum. CPython does this 3 times as fast as summing 16-bit words.
    total = (int.from_bytes(data, "big") << (8 * (len(data) & 1))) + initial
    rest = total % 0xFFFF
    # 0 and 0xFFFF are the same residue; only an all-zero buffer really sums to 0.
    return 0xFFFF if total == 0 else (0xFFFF - rest) % 0xFFFF


def partial_sum(data: Buffer) -> int:
    """Return the one's-complement sum of an even number of bytes, for use as `initial`."""
    return int.from_bytes(data, "big") % 0xFFFF


def pseudo_header_sum(src: int, dst: int, proto: int, length: int) -> int:
    """Return the sum over the IPv4 pseudo-header (RFC 9293 section 3.1), for use as `initial`."""
    return (src >> 16) + (src & 0xFFFF) + (dst >> 16) + (dst & 0xFFFF) + proto + length


def update(old_checksum: int, old_word: int, new_word: int) -> int:
    """Return the checksum after one 16-bit word of the data has changed (RFC 1624 equation 3)."""
    total = (~old_checksum & 0xFFFF) + (~old_word & 0xFFFF) + new_word
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
