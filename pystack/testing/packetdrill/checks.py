"""Times and results of calls held against what the script says; and how they are shown."""

from __future__ import annotations

from dataclasses import replace

from pystack.testing.packetdrill.constants import ERRNO
from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.files import Outcome
from pystack.testing.packetdrill.messages import check_message
from pystack.testing.packetdrill.script import (
    ANYTHING,
    Call,
    Expression,
    Listing,
    Packet,
    Structure,
    Text,
    TimeKind,
    When,
)
from pystack.testing.packetdrill.seen import Seen, line_of
from pystack.testing.packetdrill.settings import Settings
from pystack.testing.packetdrill.values import agrees, number, show

_HALF_MICROSECOND_S = 5e-7  # times of scripts are in microseconds, ours are floats


def check_time(
    when: When, start_s: float, actual_s: float, before_s: float, settings: Settings, what: str
) -> None:
    """Raise MismatchError where something happened at another time than the script says."""
    if when.kind is TimeKind.ANY:
        return
    end_s = start_s if when.end_s is None else start_s + when.end_s - when.start_s
    slack_s = max(settings.tolerance_s, settings.tolerance_ratio * max(start_s - before_s, 0.0))
    if actual_s < start_s - slack_s - _HALF_MICROSECOND_S:
        early = f"{start_s - actual_s:.6f} s early"
    elif actual_s > end_s + slack_s + _HALF_MICROSECOND_S:
        early = f"{actual_s - end_s:.6f} s late"
    else:
        return
    expected = f"{start_s:.6f}" if end_s == start_s else f"{start_s:.6f}~{end_s:.6f}"
    raise MismatchError(f"time: {what} was expected at {expected}, came at {actual_s:.6f}, {early}")


def check_outcome(call: Call, outcome: Outcome, settings: Settings) -> None:
    """Raise MismatchError where a call's result is not what its line says."""
    wanted = _wanted_outcome(call)
    if not agrees(call.result, outcome.value):
        raise MismatchError(f"{call.name} returned {outcome}, expected was {wanted}")
    if call.errno_name is not None:
        if call.errno_name not in ERRNO:
            raise MismatchError(f"{call.errno_name} is not an errno that is known here")
        if ERRNO[call.errno_name] != outcome.error:
            raise MismatchError(f"{call.name} returned {outcome}, expected was {wanted}")
    for position, values in outcome.written.items():
        if outcome.error or position >= len(call.arguments):
            continue
        expected = _expected_values(call, call.arguments[position])
        if expected is not None and expected != values[: len(expected)]:
            raise MismatchError(
                f"{call.name} gave {_shown(values)}, expected was {_shown(expected)} "
                f"in {show(call.arguments[position])}"
            )
    if outcome.text is not None:
        _check_text(call, outcome.text)
    if outcome.message is not None and call.name == "recvmsg" and not outcome.error:
        check_message(call.arguments[1], outcome.message, settings.tolerance_s)


def _wanted_outcome(call: Call) -> str:
    return f"{show(call.result)} {call.errno_name or ''}".strip()


def _check_text(call: Call, text: bytes) -> None:
    position = 3 if call.name == "getsockopt" else 1
    expected = call.arguments[position] if position < len(call.arguments) else ANYTHING
    if isinstance(expected, Listing) and len(expected.items) == 1:
        expected = expected.items[0]
    if not isinstance(expected, Text):
        return
    actual = text[: len(expected.data)] if expected.open_end else text
    if actual != expected.data:
        raise MismatchError(f"{call.name} gave {text!r}, expected was {show(expected)}")


def _expected_values(call: Call, expression: Expression) -> list[int] | None:
    """Return the numbers that a call is to leave in an argument; None: whatever."""
    match call.name, expression:
        case _, _ if expression is ANYTHING:
            return None
        case "poll", Listing(items):
            return [_field(entry, "revents", default=0) for entry in items]
        case "epoll_wait", Listing(items):
            return [value for entry in items for value in _epoll(entry)]
        case "epoll_wait", Structure():
            return _epoll(expression)
        case _, Structure(fields):
            return [number(value) for value in fields.values()]
        case _, Listing(items):
            values: list[int] = []
            for item in items:
                if item is ANYTHING:
                    return None
                values += _expected_values(call, item) or []
            return values
        case _:
            return [number(expression)]


def _field(entry: Expression, name: str, *, default: int) -> int:
    if not isinstance(entry, Structure) or name not in entry.fields:
        return default
    return number(entry.fields[name])


def _epoll(entry: Expression) -> list[int]:
    events = _field(entry, "events", default=0)
    for name in ("fd", "ptr", "u32", "u64"):
        if isinstance(entry, Structure) and name in entry.fields:
            return [events, number(entry.fields[name])] if events else []
    return [events] if events else []


def _shown(values: list[int]) -> str:
    return ", ".join(f"{value:#x}" if value > 9 else str(value) for value in values) or "nothing"


def shown_line(packet: Packet, when: When, start_s: float) -> str:
    """Return what a line expects, with its time in the script."""
    time = "       *" if when.kind is TimeKind.ANY else f"{start_s:.6f}"
    if when.end_s is not None:
        time += f"~{start_s + when.end_s - when.start_s:.6f}"
    return f"{time} {line_of(packet)}"


def shown_seen(actual: Seen) -> str:
    """Return what came, with its time in the script."""
    return f"{actual.at_s:.6f} {line_of(actual.as_packet())}"


def copy_of(settings: Settings) -> Settings:
    """Return settings that a script may change for itself."""
    return replace(settings, defines=dict(settings.defines))
