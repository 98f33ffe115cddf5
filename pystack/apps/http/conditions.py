"""Conditional requests (RFC 9110 section 13) and the dates that they name (section 5.6.7)."""

import re
from calendar import timegm
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pystack.apps.http.messages import HttpError, Request

_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_CLOCK: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
# Those of RFC 1123, RFC 850 and asctime; all in GMT, also the one that does not say so.
_FORMS: Final = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        rf"[a-z]{{3}}, (?P<day>\d\d) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_CLOCK} GMT",
        rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_CLOCK} GMT",
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",
    )
)
_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one version of a thing from another."""

    etag: str | None  # with its quotes; a strong one; None: there is none
    modified_s: int | None  # since 1970; None: not known
    # False: it may have changed twice in that second
    is_date_strong: bool = True


def is_unchanged(request: Request, thing: Validators) -> bool:
    """Evaluate a request's conditions in the order of section 13.2.2; True: answer with 304.

    A condition that fails otherwise is refused with 412.
    """
    may_read = request.method in ("GET", "HEAD")
    tags = request.header("if-match")
    if tags is not None:
        if tags.strip() != "*" and thing.etag not in _TAG.findall(tags):  # strong comparison
            raise HttpError(412, "It is not what If-Match names.")
    elif thing.modified_s is not None and _is_after(
        thing.modified_s, "if-unmodified-since", request
    ):
        raise HttpError(412, "It has changed since.")
    tags = request.header("if-none-match")
    if tags is not None:  # then If-Modified-Since does not count
        weak = {tag.removeprefix("W/") for tag in _TAG.findall(tags)}
        if tags.strip() != "*" and thing.etag not in weak:
            return False
        if not may_read:
            raise HttpError(412, "There is what If-None-Match names.")
        return True
    if not may_read or thing.modified_s is None:
        return False
    return _is_after(thing.modified_s, "if-modified-since", request) is False


def check_page(request: Request) -> None:
    """Refuse conditions that a page made for this request cannot meet: it has no validators."""
    is_unchanged(request, Validators(None, None))


def is_range_wanted(request: Request, thing: Validators) -> bool:
    """Tell whether the Range of a request counts: what If-Range names is what there is."""
    condition = request.header("if-range")
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return condition == thing.etag  # the strong comparison
    if thing.modified_s is None or not thing.is_date_strong:
        return False
    return http_date_s(condition, request.utc_s) == thing.modified_s


def http_date_s(text: str, now_s: float) -> int | None:
    """Return the seconds since 1970; None: not a date. `now_s` tells a year of two digits."""
    match = next(filter(None, (form.fullmatch(text.strip(" \t")) for form in _FORMS)), None)
    if match is None or match["month"].lower() not in _MONTHS:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        latest = datetime.fromtimestamp(now_s, UTC).year + 50  # what would be later is in the past
        year = latest - (latest - year) % 100
    month = _MONTHS.index(match["month"].lower()) + 1
    second = min(int(match["second"]), 59)  # 60: a leap second
    try:
        at = datetime(year, month, int(match["day"]), int(match["hour"]), int(match["minute"]))
    except ValueError:
        return None
    return timegm(at.timetuple()) + second


def _is_after(modified_s: int, name: str, request: Request) -> bool | None:
    """Tell whether it has changed since the date in a header; None: there is no such date."""
    text = request.header(name)
    date_s = None if text is None else http_date_s(text, request.utc_s)
    return None if date_s is None else modified_s > date_s
