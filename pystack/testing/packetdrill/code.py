"""Python in a script: it sees the connection's variables, and asserts what they should be.

Those are the fields of Linux's TCP_INFO, tcpi_ in front of their names, from our `TcpInfo`.
"""

from __future__ import annotations

import math
import textwrap
from typing import Final

from pystack.runtime.socket.tcp_info_struct import known_fields
from pystack.tcp.connection import Connection
from pystack.testing.packetdrill.constants import INFO_NAMES
from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.script import Event

_INFINITE_SSTHRESH: Final = 0x7FFFFFFF
_CA_OPEN: Final = 0
_CA_CWR: Final = 2


class Interpreter:
    """The names that all Python of one script has in common."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._names: dict[str, object] = dict(INFO_NAMES)

    def run(self, text: str, event: Event, connection: Connection | None, now: float) -> None:
        """Run a piece of Python. MismatchError: an assertion fails, or anything else goes wrong."""
        if connection is not None:
            self._names.update(_tcp_info(connection, now))
        # A line may end with a backslash, also the last.
        source = textwrap.dedent(text.lstrip(" \t").rstrip()) + "\n\n"
        # So that a traceback has the line of the script.
        source = "\n" * (event.line - 1) + source
        try:
            exec(compile(source, self._path, "exec"), self._names)
        except AssertionError as error:
            said = f": {error}" if str(error) else ""
            raise MismatchError(f"an assertion fails{said}", *self._look_up(text)) from None
        except SyntaxError as error:
            raise MismatchError(f"not Python: {error.msg}") from None
        except NameError as error:
            raise MismatchError(f"{error} (known: {self._known()})") from None
        except Exception as error:
            raise MismatchError(f"{type(error).__name__}: {error}") from None

    def _look_up(self, text: str) -> list[str]:
        """Return the values of all tcpi_ names in the text."""
        return [
            f"{name} is {value}"
            for name, value in self._names.items()
            if name.startswith("tcpi_") and name in text
        ]

    def _known(self) -> str:
        names = sorted(name for name in self._names if name.startswith("tcpi_"))
        return ", ".join(names) if names else "no tcpi_ field before there is a connection"


def _tcp_info(connection: Connection, now: float) -> dict[str, int | float]:
    """Return the fields: times in microseconds, windows in segments, as in Linux."""
    info = connection.info()
    tcb = connection.tcb
    fields = known_fields(info)
    del fields["scales"]
    known: dict[str, int | float] = {f"tcpi_{name}": value for name, value in fields.items()}
    # As in Linux, a connection without text counts from its handshake.
    opened_at = -math.inf if connection.established_at is None else connection.established_at
    known |= {
        "tcpi_snd_wscale": info.snd_wind_shift or 0,
        "tcpi_rcv_wscale": info.rcv_wind_shift or 0,
        "tcpi_rcv_mss": tcb.ack_mss,
        "tcpi_pmtu": tcb.mtu_mss + tcb.sizes.headers_bytes,
        "tcpi_rcv_wnd": info.rcv_wnd_bytes,
        # With what goes on right now
        "tcpi_busy_time": _microseconds(tcb.busy_s, tcb.waiting_at, now),
        "tcpi_rwnd_limited": _microseconds(tcb.window_limited_s, tcb.window_limited_at, now),
        "tcpi_last_data_recv": _milliseconds(now - max(tcb.text_at, opened_at)),
        "tcpi_last_ack_recv": _milliseconds(now - info.heard_at),
    }
    if info.ssthresh_bytes >= 1 << 30:
        known["tcpi_snd_ssthresh"] = _INFINITE_SSTHRESH
    if fields["ca_state"] == _CA_OPEN and tcb.ecn and tcb.snd_una < tcb.cwr_seq:
        known["tcpi_ca_state"] = _CA_CWR
    return known


def _microseconds(before_s: float, since: float, now: float) -> int:
    return round((before_s + max(now - since, 0.0)) * 1e6)


def _milliseconds(span_s: float) -> int:
    return round(span_s * 1000) if math.isfinite(span_s) else 0
