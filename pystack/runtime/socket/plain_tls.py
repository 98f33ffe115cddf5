"""TLS of the standard library over a socket of a host: what `ssl.SSLSocket` does its work with.

An SSLSocket has an object of OpenSSL's that reads and writes a descriptor of the kernel's. Here
that object has memory in its place (`ssl.MemoryBIO`), and this moves what is in it, in the socket's
ways of waiting; all else is CPython's own. No more than one record is read at a time, as OpenSSL
does: what follows the last one stays in the socket.
"""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pystack.runtime.socket.pair_ends import PairEnd
from pystack.runtime.socket.stream_ends import StreamEnd

if TYPE_CHECKING:
    from pystack.runtime.socket.plain_socket import PlainSocket

T = TypeVar("T")

_HEADER_BYTES: Final = 5  # kind, version, length (RFC 8446 section 5.1)
_MOST_AT_ONCE: Final = 1 << 18  # bytes of text that are made into records in one go
_OWN: Final = frozenset({"context", "owner", "session"})  # what programs set on it


class TlsOverPlain:
    """What stands in for `_ssl._SSLSocket`, by the names that `ssl.SSLSocket` calls."""

    def __init__(
        self,
        context: Any,  # noqa: ANN401 - what is used of it is not public
        plain: PlainSocket,
        server_side: bool,  # noqa: FBT001 - as CPython passes it
        server_hostname: str | None,
        owner: object,
        session: object,
    ) -> None:
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        made = context._wrap_bio(
            into, out, server_side, server_hostname, owner=owner, session=session
        )
        vars(self).update(_into=into, _out=out, _tls=made, _plain=weakref.ref(plain))
        self._unsent = bytearray()  # records that have found no room
        self._written = 0  # bytes of text in them, for which `write` was told to come again
        self._header = bytearray()  # of the record that is being read, as far as it has come
        self._body_left = 0

    if TYPE_CHECKING:
        _into: ssl.MemoryBIO
        _out: ssl.MemoryBIO
        _tls: Any
        _plain: weakref.ref[PlainSocket]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever OpenSSL's object has
        """Be the object of OpenSSL's in all that reads and writes nothing."""
        return getattr(self._tls, name)

    def __setattr__(self, name: str, value: object) -> None:
        """Set what is that object's there."""
        if name in _OWN:
            setattr(self._tls, name, value)
        else:
            object.__setattr__(self, name, value)

    def do_handshake(self) -> None:
        """Shake hands. Raises SSLError, SSLWantReadError and the like, TimeoutError, OSError."""
        self._run(self._tls.do_handshake, "handshake")

    def read(self, size: int, buffer: object = None) -> Any:  # noqa: ANN401 - as asked for
        """Return text, or fill a buffer with it and return how much."""
        if buffer is None:
            return self._run(lambda: self._tls.read(size), "read")
        return self._run(lambda: self._tls.read(size, buffer), "read")

    def write(self, data: Any) -> int:  # noqa: ANN401 - a buffer
        """Send all of it, where the socket waits; else as OpenSSL: all, or SSLWantWriteError.

        Who is told so, or TimeoutError, comes again with the same data, which is sent once.
        """
        if self._written:
            self._flush(_Deadline(self._socket(), "write"))
            done, self._written = self._written, 0
            return done
        view = memoryview(data).cast("B")
        if not view:
            return int(self._run(lambda: self._tls.write(view), "write"))
        done = taken = 0

        def step() -> None:
            nonlocal taken
            taken = int(self._tls.write(part))

        while done < len(view):
            part, taken = view[done : done + _MOST_AT_ONCE], 0
            try:
                self._run(step, "write")
            except (ssl.SSLWantWriteError, TimeoutError):
                if done:  # some of it has gone before
                    return done + taken
                self._written = taken
                raise
            done += taken
            if len(part) < len(view) and self._socket().gettimeout() == 0.0:
                break
        return done

    def shutdown(self) -> PlainSocket:
        """Say that no more comes, and wait to be told the same; return the socket below."""
        self._run(self._tls.shutdown, "read")
        return self._socket()

    def _run(self, step: Callable[[], T], what: str) -> T:
        deadline = _Deadline(self._socket(), what)
        if self._unsent:
            self._flush(deadline)
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush(deadline)
                if not self._fill(deadline):
                    raise
            except ssl.SSLError:
                self._flush_alert()
                raise
            else:
                self._flush(deadline)
                return result

    def _fill(self, deadline: _Deadline) -> bool:
        """Hand on what has come of a record; False: nothing has, and nobody waits."""
        size = self._body_left or _HEADER_BYTES - len(self._header)
        end = deadline.end
        try:
            data = deadline.wait(lambda: end.try_receive(size, 0)).data
        except BlockingIOError:
            return False
        if not data:
            self._into.write_eof()
            return True
        self._into.write(data)
        if self._body_left:
            self._body_left -= len(data)
            return True
        self._header += data
        if len(self._header) == _HEADER_BYTES:
            self._body_left = int.from_bytes(self._header[3:], "big")
            self._header.clear()
        return True

    def _flush(self, deadline: _Deadline) -> None:
        """Send all records that there are. Raises SSLWantWriteError, TimeoutError, OSError."""
        unsent, end = self._unsent, deadline.end
        unsent += self._out.read()
        while unsent:
            try:
                # A copy: a buffer that is looked at cannot be cut
                sent = deadline.wait(lambda: end.try_send(memoryview(bytes(unsent)), 0))
            except BlockingIOError:
                words = "The operation did not complete (write)"
                raise ssl.SSLWantWriteError(int(ssl.SSL_ERROR_WANT_WRITE), words) from None
            del unsent[:sent]

    def _flush_alert(self) -> None:
        """Let the other end know why, if that is possible at once."""
        self._unsent += self._out.read()
        plain, unsent = self._socket(), bytes(self._unsent)
        self._unsent.clear()
        end = plain.end
        assert isinstance(end, StreamEnd | PairEnd)
        if unsent:
            try:
                plain._call(end.try_send, memoryview(unsent), 0)
            except OSError:
                return  # nobody is there to be told

    def _socket(self) -> PlainSocket:
        plain = self._plain()
        if plain is None:
            raise ssl.SSLError("the socket below has gone")
        return plain


class _Deadline:
    """How long a whole operation of TLS may take: the socket's timeout, once."""

    def __init__(self, plain: PlainSocket, what: str) -> None:
        self._plain, self._what = plain, what
        end = plain.end
        assert isinstance(end, StreamEnd | PairEnd)
        self.end = end
        self._at = plain._deadline() if plain.gettimeout() else None

    def wait(self, attempt: Callable[[], T | None]) -> T:
        """Do `attempt` until it returns something. BlockingIOError, TimeoutError, OSError."""
        left_s = None if self._at is None else max(0.0, self._at - self._plain._now())
        try:
            return self._plain._wait(f"SSL {self._what}", attempt, 0, left_s)
        except TimeoutError as error:
            if error.errno is not None:
                raise
            raise TimeoutError(f"The {self._what} operation timed out") from None
