"""What part of a representation to answer with (RFC 9110 section 14).

One range is answered with 206; more than one with the whole, as section 14.2 allows. Range counts
with GET alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

from pystack.apps.http.conditions import Validators, is_range_wanted, is_unchanged
from pystack.apps.http.messages import BodySource, HttpError, Request, Response

_RANGE: Final = re.compile(r"([0-9]{0,20})-([0-9]{0,20})")


@dataclass(frozen=True, slots=True)
class Representation:
    """What is to be had under one target."""

    size_bytes: int
    etag: str | None  # with its quotes; a strong one; None: there is none
    modified_s: int | None  # since 1970; None: not known
    content_type: str
    is_date_strong: bool = True  # False: it may have changed twice in that second

    @property
    def validators(self) -> Validators:
        """Return what tells it from other versions."""
        return Validators(self.etag, self.modified_s, self.is_date_strong)


def answer(
    request: Request, thing: Representation, content: Callable[[int, int], BodySource]
) -> Response:
    """Answer GET or HEAD for `thing`; `content(start, stop)` is asked for what is to be sent."""
    headers = [("Accept-Ranges", "bytes")]
    if thing.etag is not None:
        headers.append(("ETag", thing.etag))
    if thing.modified_s is not None:
        headers.append(("Last-Modified", formatdate(thing.modified_s, usegmt=True)))
    if is_unchanged(request, thing.validators):
        return Response(304, headers=headers)
    start, stop, status = 0, thing.size_bytes, 200
    wanted = request.header("range")
    if (
        wanted is not None
        and request.method == "GET"
        and is_range_wanted(request, thing.validators)
    ):
        part = parse_range(wanted, thing.size_bytes)
        if part is not None:
            (start, stop), status = part, 206
            headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{thing.size_bytes}"))
    body: BodySource = b"" if request.method == "HEAD" else content(start, stop)
    return Response(status, body, thing.content_type, headers, stop - start)


def parse_range(text: str, size_bytes: int) -> tuple[int, int] | None:
    """Return start and stop of the one range asked for; None: answer with the whole.

    A range that lies beyond the end is refused with 416.
    """
    unit, _, ranges = text.partition("=")
    match = _RANGE.fullmatch(ranges.strip(" \t"))
    if unit.strip().lower() != "bytes" or match is None:
        return None
    first, last = match.groups()
    if not first:
        if not last:
            return None
        start, stop = max(0, size_bytes - int(last)), size_bytes
        if size_bytes == 0 and int(last):
            return None  # the whole of nothing, which no Content-Range can name
    else:
        start, stop = int(first), size_bytes
        if last:
            if int(last) < start:
                return None
            stop = min(int(last) + 1, size_bytes)
    if start >= size_bytes:
        raise HttpError(
            416,
            f"There are {size_bytes} bytes.",
            [("Content-Range", f"bytes */{size_bytes}"), ("Accept-Ranges", "bytes")],
        )
    return start, stop
