"""How headers lie in a frame: fields in a row, each with its bits, values and meaning.

A `Layer` is filled from its beginning to its end; a byte that was laid out is behind it, so that
each belongs to one field, and what is missing at the end is said where it is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pystack.core.addresses import format_ip4, format_ip6, format_mac, unpack_ip6
from pystack.observe import amounts
from pystack.observe.explain.story import Box, Header, Layer5

MOST_FIELDS: Final = 2000  # of a frame: nobody reads more, and hostile ones have no more
MOST_DEPTH: Final = 4  # packets in packets, and quoted ones
_SHOWN_BYTES: Final = 24
_SHOWN_SIGNS: Final = 160


def decimal(number: int) -> str:
    """Return 1460."""
    return str(number)


def hex8(number: int) -> str:
    """Return 0x06."""
    return f"0x{number:02x}"


def hex16(number: int) -> str:
    """Return 0x0800."""
    return f"0x{number:04x}"


def hex32(number: int) -> str:
    """Return 0x00000001."""
    return f"0x{number:08x}"


def mac(number: int) -> str:
    """Return an address of a station."""
    return format_mac(number.to_bytes(6, "big"))


def ip4(number: int) -> str:
    """Return an address of IPv4."""
    return format_ip4(number)


def ip6(number: int) -> str:
    """Return an address of IPv6."""
    return format_ip6(unpack_ip6(number.to_bytes(16, "big")))


def signs(data: bytes | memoryview, most: int = _SHOWN_SIGNS) -> str:
    """Return text of strangers so that it can be shown: printable, of bounded length."""
    text = bytes(data[:most]).decode("utf-8", "replace")
    text = "".join(sign if sign.isprintable() else "\N{MIDDLE DOT}" for sign in text)
    return text + ("..." if len(data) > most else "")


def hexed(data: bytes | memoryview) -> str:
    """Return the first bytes in hexadecimal."""
    return bytes(data[:_SHOWN_BYTES]).hex() + ("..." if len(data) > _SHOWN_BYTES else "")


Meaning = str | Mapping[int, str] | Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a header's table."""

    name: str  # as the RFC has it
    bits: int
    show: Callable[[int], str] = decimal
    meaning: Meaning = ""

    def means(self, number: int) -> str:
        """Return what a value means."""
        if isinstance(self.meaning, str):
            return self.meaning
        if isinstance(self.meaning, Mapping):
            return self.meaning.get(number, "")
        return self.meaning(number)


def flag(name: str, is_set: str, is_not: str = "") -> Field:
    """Return a field of one bit, and what it means either way."""
    return Field(name, 1, decimal, {0: is_not, 1: is_set})


@dataclass(slots=True)
class Dissection:
    """A frame that is being taken apart."""

    data: bytes
    # Takes a packet inside of something: of this ethertype, from here to there
    packet: Callable[[Dissection, int, int, int], None]
    boxes: list[Box] = field(default_factory=list)
    depth: int = 0
    fields: int = 0
    quoted: bool = False  # what is looked at is quoted by an error: cut short, and no news

    def layer(
        self, layer5: Layer5, layer7: tuple[int, ...], title: str, start: int, end: int
    ) -> Layer:
        """Begin an envelope that lies there; all that is inside of it lies before `end`."""
        box = Box(layer5, layer7, f"quoted: {title}" if self.quoted else title, 0, 0, start)
        self.boxes.append(box)
        return Layer(self, box, start, min(end, len(self.data)))

    def inner(self, ethertype: int, start: int, end: int, *, quoted: bool = False) -> None:
        """Take apart a packet that is inside of what was laid out last."""
        if self.depth >= MOST_DEPTH:
            self.rest("network", (3,), "Data", start, end, "too many packets in packets")
            return
        was = self.quoted
        self.depth += 1
        self.quoted = was or quoted
        self.packet(self, ethertype, start, end)
        self.quoted = was
        self.depth -= 1

    def rest(
        self,
        layer5: Layer5,
        layer7: tuple[int, ...],
        title: str,
        start: int,
        end: int,
        meaning: str = "",
    ) -> None:
        """Lay out bytes that are one piece here."""
        if start < min(end, len(self.data)):
            self.layer(layer5, layer7, title, start, end).content("data", meaning)


class Layer:
    """An envelope that is being filled."""

    def __init__(self, whole: Dissection, box: Box, start: int, end: int) -> None:
        self.whole = whole
        self.box = box
        self.data = whole.data
        self.end = end  # in bytes
        self._bit = start * 8

    @property
    def at(self) -> int:
        """Return the byte that is next."""
        return self._bit >> 3

    @property
    def left(self) -> int:
        """Return how many bytes are left."""
        return self.end - self.at

    @property
    def is_full(self) -> bool:
        """Tell whether nobody wants to see more fields."""
        return self.whole.fields >= MOST_FIELDS

    def lay(self, fields: Sequence[Field]) -> tuple[int, ...] | None:
        """Lay fields out and return their numbers; None: the frame ends within them."""
        numbers = []
        for each in fields:
            if self._bit + each.bits > self.end * 8:
                self.rest("cut off", f"ends within {each.name}")
                return None
            number = self._number(each.bits)
            numbers.append(number)
            self._add(each.name, each.show(number), each.means(number), each.bits)
        return tuple(numbers)

    def one(self, each: Field) -> int | None:
        """Lay out one field."""
        numbers = self.lay((each,))
        return None if numbers is None else numbers[0]

    def take(self, name: str, count: int, value: str | None = None, meaning: str = "") -> bytes:
        """Lay out that many bytes, or as many as there are, as one field; return them."""
        count = max(min(count, self.left), 0)
        data = self.data[self.at : self.at + count]
        if count:
            self._add(name, hexed(data) if value is None else value, meaning, count * 8)
        return data

    def rest(self, name: str, meaning: str = "", value: str | None = None) -> None:
        """Lay out all that is left as one field, whose first bits may be part of a byte."""
        bits = self.end * 8 - self._bit
        if bits > 0:
            data = self.data[self.at : self.end]
            text = f"{amounts.size(len(data))}: {hexed(data)}" if value is None else value
            self._add(name, text, meaning, bits)

    def content(self, name: str, meaning: str = "", value: str | None = None) -> None:
        """Lay out all that is left as what is inside: no header of this layer."""
        start = self.at
        self.rest(name, meaning, value)
        self.box.header_bytes = start - self.box.start
        self.box.payload_bytes = self.end - start

    def peek(self, count: int, skip: int = 0) -> bytes:
        """Return bytes that are next, or fewer."""
        return self.data[self.at + skip : min(self.at + skip + count, self.end)]

    def close(self, end: int | None = None) -> None:
        """Say that the header ends here; what is inside lies before `end`."""
        self.box.header_bytes = self.at - self.box.start
        self.box.payload_bytes = max((self.end if end is None else end) - self.at, 0)

    def behind(self, start: int, end: int, name: str, meaning: str) -> None:
        """Lay out what this layer has put behind what is inside of it."""
        end = min(end, len(self.data))
        if start < end:
            data = self.data[start:end]
            bits = (end - start) * 8
            self.box.headers.append(Header(name, hexed(data), meaning, start * 8, bits))
            self.box.header_bytes += end - start

    def explain(self, name: str, meaning: str) -> None:
        """Say what the last field of that name means, which is known now."""
        for each in reversed(self.box.headers):
            if each.name == name:
                each.meaning = meaning
                return

    def _number(self, bits: int) -> int:
        first, last = self._bit >> 3, (self._bit + bits + 7) >> 3
        number = int.from_bytes(self.data[first:last], "big")
        return number >> (last * 8 - self._bit - bits) & (1 << bits) - 1

    def _add(self, name: str, value: str, meaning: str, bits: int) -> None:
        self.whole.fields += 1
        self.box.headers.append(Header(name, value, meaning, self._bit, bits))
        self._bit += bits
        if not self._bit & 7:
            self.box.header_bytes = self.at - self.box.start
