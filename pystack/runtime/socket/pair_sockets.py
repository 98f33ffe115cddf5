"""One of a pair (`pair_ends.py`), as `trio.socket` knows it."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from pystack.core.errors import error_of
from pystack.runtime.socket.pair_ends import PairEnd
from pystack.runtime.socket.socket_calls import Message, Received, joined
from pystack.runtime.socket.socket_options import view_of
from pystack.runtime.socket.sockets import HostSocket


class PairSocket(HostSocket):
    """A socket that is connected from the first."""

    _end: PairEnd

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return f"<PairSocket {'closed' if self._closed else self._host.name}>"

    async def send(self, data: object, flags: int = 0, /) -> int:
        """Send as much as there is room for, a byte at least; return how much."""
        view = view_of(data)
        return await self._attempt(self._writer, lambda: self._end.try_send(view, flags))

    async def sendmsg(
        self,
        buffers: Iterable[object],
        ancdata: Iterable[Message] = (),
        flags: int = 0,
        address: object = None,
        /,
    ) -> int:
        """Send the buffers as one. OSError (EOPNOTSUPP) for ancillary data: no files are passed."""
        if tuple(ancdata):
            raise error_of(errno.EOPNOTSUPP, "ancillary data")
        return await self.send(joined(buffers), flags)

    async def connect(self, address: object) -> None:
        """Refuse: it is connected (EISCONN)."""
        self._check_open()
        raise error_of(errno.EISCONN)

    def listen(self, backlog: int = 0) -> None:
        """Refuse: it is connected (EINVAL)."""
        self._check_open()
        raise error_of(errno.EINVAL)

    async def accept(self) -> tuple[HostSocket, object]:
        """Refuse: it does not listen (EINVAL)."""
        self._check_open()
        raise error_of(errno.EINVAL)

    async def wait_writable(self) -> None:
        """Wait until there is room, or sending would raise."""
        await self._attempt(self._writer, lambda: self._end.has_room or None)

    async def _receive(self, size: int, flags: int) -> Received:
        return await self._attempt(self._reader, lambda: self._end.try_receive(size, flags))
