"""What recvmsg gives besides data: flags and control messages, and an error queue's entries.

A control message's data are numbers by the names that scripts have for them; one without a name
(`cmsg_data=500`) is called "".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pystack.core.addresses import is_v6
from pystack.stack.extended_errors import extended_error_of
from pystack.stack.notices import Kind, Notice
from pystack.stack.udp_socket import QueuedError
from pystack.testing.packetdrill.constants import VALUES
from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.script import ANYTHING, Expression, Listing, Structure
from pystack.testing.packetdrill.values import number, show

_SOCKET: Final = VALUES["SOL_SOCKET"]
_STAMP: Final = VALUES["SCM_TIMESTAMPING"]
_ERROR: Final = (VALUES["SOL_IP"], VALUES["IP_RECVERR"])
_ERROR6: Final = (VALUES["SOL_IPV6"], VALUES["IPV6_RECVERR"])
_INQ: Final = (VALUES["SOL_TCP"], VALUES["TCP_CM_INQ"])
_ERRQUEUE: Final = VALUES["MSG_ERRQUEUE"]
_TRUNC: Final = VALUES["MSG_TRUNC"]
_FIELDS: Final = ("ee_errno", "ee_origin", "ee_type", "ee_code", "ee_info", "ee_data")


@dataclass(slots=True)
class Control:
    """One control message."""

    level: int
    kind: int
    data: dict[str, int]
    at_s: float | None = None  # in the script's time; None: it is no time stamp


@dataclass(slots=True)
class Message:
    """What recvmsg gave besides data."""

    flags: int = 0
    control: list[Control] = field(default_factory=list)


def of_notice(notice: Notice, start_s: float, *, is_v6: bool) -> Message:
    """Return an entry of a stream's error queue; `start_s`: when the script began."""
    if notice.kind is Kind.COPIED:
        return Message(_ERRQUEUE, [_error(notice, is_v6=is_v6)])
    stamp = Control(_SOCKET, _STAMP, {}, notice.at - start_s)
    flags = _ERRQUEUE if notice.alone else _ERRQUEUE | _TRUNC  # the packet itself is not kept
    return Message(flags, [stamp, _error(notice, is_v6=is_v6)])


def of_queued(queued: QueuedError, *, cut: bool) -> Message:
    """Return an entry of a datagram socket's error queue."""
    return Message(_ERRQUEUE | (_TRUNC if cut else 0), [_error(queued, is_v6=is_v6(queued.dst[0]))])


def of_waiting(waiting_bytes: int) -> Message:
    """Return what TCP_INQ tells: how much is there to be read after this."""
    return Message(0, [Control(*_INQ, {"": waiting_bytes})])


def _error(entry: QueuedError | Notice, *, is_v6: bool) -> Control:
    level_and_kind = _ERROR6 if is_v6 else _ERROR
    return Control(*level_and_kind, dict(zip(_FIELDS, extended_error_of(entry), strict=True)))


def check_message(expected: Expression, actual: Message, tolerance_s: float) -> None:
    """Raise MismatchError where flags or control messages are not what a line says."""
    if not isinstance(expected, Structure):
        return
    flags = expected.fields.get("msg_flags", ANYTHING)
    if flags is not ANYTHING and number(flags) != actual.flags:
        raise MismatchError(f"recvmsg gave the flags {actual.flags:#x}, expected was {show(flags)}")
    control = expected.fields.get("msg_control", ANYTHING)
    if not isinstance(control, Listing):
        return
    if len(control.items) != len(actual.control):
        raise MismatchError(
            f"recvmsg gave {len(actual.control)} control messages, expected were "
            f"{len(control.items)}"
        )
    for wanted, given in zip(control.items, actual.control, strict=True):
        _check_control(wanted, given, tolerance_s)


def _check_control(wanted: Expression, given: Control, tolerance_s: float) -> None:
    if not isinstance(wanted, Structure):
        raise MismatchError(f"{show(wanted)} is not {{cmsg_level=..., cmsg_type=...}}")
    fields = wanted.fields
    for name, value in (("cmsg_level", given.level), ("cmsg_type", given.kind)):
        _check_number(name, fields.get(name, ANYTHING), value)
    data = fields.get("cmsg_data", ANYTHING)
    if given.at_s is not None and isinstance(data, Structure):
        seconds, rest = (number(data.fields.get(name, 0)) for name in ("scm_sec", "scm_nsec"))
        wanted_s = seconds + rest / 1e9
        if abs(wanted_s - given.at_s) > tolerance_s:
            raise MismatchError(f"the time stamp is {given.at_s:.6f}, expected was {wanted_s:.6f}")
    elif isinstance(data, Structure):
        for name, one in data.fields.items():
            _check_number(name, one, given.data.get(name))
    else:
        _check_number("cmsg_data", data, given.data.get(""))


def _check_number(name: str, expected: Expression, actual: int | None) -> None:
    if expected is not ANYTHING and number(expected) != actual:
        raise MismatchError(f"{name} is {actual}, expected was {show(expected)}")
