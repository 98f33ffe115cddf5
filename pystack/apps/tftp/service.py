"""The service `tftp`: files below a root, to be read, and to be written where that is allowed.

A request comes to the well-known port; each transfer has a port and a task of its own. Whoever
sends a request may not be who it says it is: until something comes back, what is sent is bounded as
all answers by UDP are, and is given up sooner.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

import trio

from pystack.apps.base import SendingSocket, Service
from pystack.apps.options import ServiceOptions
from pystack.apps.reflection import Excess
from pystack.apps.tftp import packets
from pystack.apps.tftp.conversation import Conversation
from pystack.apps.tftp.transfer import Receiving, Sending, Side, Sink, Source, TransferError, agree
from pystack.apps.tree import Tree, join_path
from pystack.apps.troubles import in_words, own_fault
from pystack.core.errors import WireError
from pystack.runtime.host import Host
from pystack.runtime.names.zones import owner_of

MAX_TRANSFERS: Final = 64
MAX_TRANSFERS_OF_ONE: Final = 8  # of one address, of IPv6 one /64
MAX_LINGERING: Final = 256  # transfers that are done, and whose last answer may be asked for again
MAX_FILE_BYTES: Final = 4 * 1024**3  # to be taken

_CODES: Final[Mapping[int | None, int]] = {
    **dict.fromkeys(
        (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG), packets.NOT_FOUND
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.EINVAL, errno.ENXIO),
        packets.ACCESS_VIOLATION,
    ),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), packets.DISK_FULL),
    errno.EEXIST: packets.EXISTS,
}
_MODES: Final = frozenset({"octet", "netascii"})
_log: Final = logging.getLogger("pystack.apps")

_Peer = tuple[str, int]


class Tftp(Service):
    """Trivial File Transfer Protocol."""

    name: Final = "tftp"
    udp_port: Final = 69

    def __init__(self, options: ServiceOptions) -> None:
        """Raises ConfigError: there is no directory."""
        self._tree = Tree(options.needed_root(self.name), dotfiles=options.dotfiles)
        self._writable = options.writable
        self._host: Host | None = None
        self._socket: SendingSocket | None = None  # None: not served yet
        self._nursery: trio.Nursery | None = None
        self._transfers: dict[_Peer, Conversation] = {}  # in the order of their coming
        self._of_owner: Counter[str] = Counter()
        self._lingering = 0
        self._excess = Excess()

    def use_host(self, host: Host) -> None:
        """Take the host that transfers have their ports on."""
        self._host = host

    def use_socket(self, socket: SendingSocket) -> None:
        """Take the one that requests come to."""
        self._socket = socket

    async def live(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Be where transfers run."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def answer_udp(self, payload: bytes, peer: _Peer, now: float) -> bytes | None:
        """Begin a transfer, or return why not."""
        try:
            packet = packets.parse(payload)
        except WireError as error:
            self._count(error.reason)
            return None
        if isinstance(packet, packets.Error) or peer in self._transfers:
            return None  # errors end it; a request that came twice is answered already
        if not isinstance(packet, packets.Request):
            self._count("tftp_unknown_transfer")
            return packets.pack_error(packets.UNKNOWN_ID, "unknown transfer")
        if not self._has_room(peer[0], now):
            self._count("tftp_transfers_refused")
            return packets.pack_error(packets.UNDEFINED, "too many transfers, try again later")
        try:
            with ExitStack() as files:
                begin = self._write if packet.is_write else self._read
                side, timeout_s = begin(packet, files)
                talk = Conversation(
                    side, timeout_s, peer, self._is_allowed, self._count, len(payload)
                )
                self._start(talk, files.pop_all())
        except TransferError as error:
            return error.packet
        except OSError as error:
            return packets.pack_error(_CODES.get(error.errno, packets.UNDEFINED), in_words(error))
        return None

    def _has_room(self, address: str, now: float) -> bool:
        """Tell whether one more may begin; of all, one that nobody seems to want makes room."""
        if self._of_owner[owner_of(address)] >= MAX_TRANSFERS_OF_ONE:
            return False
        if len(self._transfers) >= MAX_TRANSFERS:
            unheard = (talk for talk in self._transfers.values() if talk.is_unheard(now))
            talk = next(unheard, None)
            if talk is None:
                return False
            talk.scope.cancel()
            self._forget(talk)
            self._count("tftp_transfers_shed")
        return True

    def _start(self, talk: Conversation, files: ExitStack) -> None:
        assert self._nursery is not None
        self._transfers[talk.peer] = talk
        self._of_owner[owner_of(talk.peer[0])] += 1
        self._nursery.start_soon(self._run, talk, files)

    async def _run(self, talk: Conversation, files: ExitStack) -> None:
        assert self._host is not None
        # A client takes what comes from another of our addresses for a stranger's.
        at = None if self._socket is None else self._socket.asked_at(talk.peer)
        try:
            with files, talk.scope:
                async with await self._host.open_udp_socket(host=at) as socket:
                    socket.set_receive_errors()
                    try:
                        await talk.run(socket)
                    except TransferError as error:
                        talk.send(socket, [error.packet])
                    except OSError as error:
                        code = _CODES.get(error.errno, packets.UNDEFINED)
                        talk.send(socket, [packets.pack_error(code, in_words(error))])
                    self._forget(talk)
                    if talk.may_be_asked_again and self._lingering < MAX_LINGERING:
                        self._lingering += 1
                        try:
                            await talk.linger(socket)
                        finally:
                            self._lingering -= 1
        except Exception as error:
            fault = own_fault(error)
            if fault is not None:
                _log.error("tftp: a transfer failed", exc_info=fault)
        finally:
            self._forget(talk)

    def _forget(self, talk: Conversation) -> None:
        """Take it out; twice is nothing: the peer's next one may be there already."""
        peer = talk.peer
        if self._transfers.get(peer) is talk:
            del self._transfers[peer]
            owner = owner_of(peer[0])
            self._of_owner[owner] -= 1
            if not self._of_owner[owner]:
                del self._of_owner[owner]

    def _is_allowed(self, excess_bytes: int, address: str) -> bool:
        """Tell whether so much more may go to somebody who has not been heard of yet."""
        allowed = self._excess.allows(excess_bytes, address, trio.current_time())
        if not allowed:
            self._count("udp_answers_withheld")
        return allowed

    def _count(self, name: str) -> None:
        if self._host is not None:
            self._host.counters.add(name)

    # files

    def _read(self, request: packets.Request, files: ExitStack) -> tuple[Side, float]:
        tree, path = self._place(request)
        descriptor = tree.open(path)
        files.callback(os.close, descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TransferError(packets.ACCESS_VIOLATION, "not a file")
        netascii = request.mode == "netascii"
        terms = agree(request, None if netascii else status.st_size)
        return Sending(Source(descriptor, netascii=netascii).read, terms), terms.timeout_s

    def _write(self, request: packets.Request, files: ExitStack) -> tuple[Side, float]:
        if not self._writable:
            raise TransferError(packets.ACCESS_VIOLATION, "files can be read only")
        tree, path = self._place(request)
        size = request.options.get("tsize", "")
        if size.isascii() and size.isdigit() and (len(size) > 12 or int(size) > MAX_FILE_BYTES):
            raise TransferError(packets.DISK_FULL, "the file is too large")
        new = files.enter_context(tree.new_file(path))
        netascii = request.mode == "netascii"
        sink = Sink(new.descriptor, netascii=netascii, max_bytes=MAX_FILE_BYTES)
        terms = agree(request, None)

        def finish() -> None:
            sink.finish()
            new.keep()

        return Receiving(sink.write, finish, terms), terms.timeout_s

    def _place(self, request: packets.Request) -> tuple[Tree, list[bytes]]:
        if request.mode not in _MODES:
            raise TransferError(packets.ILLEGAL, "the modes are octet and netascii")
        path = join_path([], request.name)
        if not path:
            raise TransferError(packets.NOT_FOUND, "no such file")
        return self._tree, path
