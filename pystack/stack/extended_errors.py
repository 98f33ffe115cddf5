"""What entries of error queues say, as Linux's struct sock_extended_err says it.

Of datagrams these are errors, of streams time stamps and zero-copy notifications.
"""

import errno
import struct
from typing import Final, NamedTuple

from pystack.stack.notices import Kind, Notice
from pystack.stack.udp_socket import QueuedError

_ORIGIN_TIMESTAMPING: Final = 4
_ORIGIN_ZEROCOPY: Final = 5
_COPIED: Final = 1  # SO_EE_CODE_ZEROCOPY_COPIED
_EVENTS: Final = {Kind.SENT: 0, Kind.SCHEDULED: 1, Kind.ACKNOWLEDGED: 2}  # SCM_TSTAMP_
_STRUCT: Final = struct.Struct("=IBBBBII")


class ExtendedError(NamedTuple):
    """Linux's struct sock_extended_err, without its padding."""

    number: int  # errno; 0 for what is no error
    origin: int  # SO_EE_ORIGIN_
    kind: int  # of ICMP
    code: int
    info: int
    data: int

    def pack(self) -> bytes:
        """Return the struct."""
        number, origin, kind, code, info, data = self
        return _STRUCT.pack(number, origin, kind, code, 0, info, data)


def extended_error_of(entry: QueuedError | Notice) -> ExtendedError:
    """Return what an entry of a queue says."""
    if isinstance(entry, QueuedError):
        return ExtendedError(entry.number, entry.origin, entry.kind, entry.code, entry.info, 0)
    if entry.kind is Kind.COPIED:
        return ExtendedError(0, _ORIGIN_ZEROCOPY, 0, _COPIED, entry.first, entry.last)
    event = _EVENTS[entry.kind]
    return ExtendedError(errno.ENOMSG, _ORIGIN_TIMESTAMPING, 0, 0, event, entry.last)
