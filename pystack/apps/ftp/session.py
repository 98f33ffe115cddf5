"""One FTP session: the control connection, and one transfer at a time beside it.

The task of the session reads the commands and writes all replies. During a transfer it goes on
reading, to find ABOR (RFC 959 section 4.1.3); what else has come by then is kept for afterwards.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

import trio

from pystack.apps.ending import cut
from pystack.apps.ftp import limits
from pystack.apps.ftp.data import Channel, discard, let_go
from pystack.apps.ftp.listing import FACTS
from pystack.apps.ftp.replies import RefusedError, refusal_of, reply, without_telnet
from pystack.apps.ftp.transfer import Progress
from pystack.apps.http.messages import BodyError
from pystack.apps.lines import (
    DeafPeerError,
    EndlessLineError,
    LineRules,
    Lines,
    LineTooLongError,
    SilentPeerError,
    split_command,
)
from pystack.apps.tls import TlsError, TlsServer, TlsStream
from pystack.apps.tree import Tree, join_path
from pystack.core.counters import Counters
from pystack.runtime.host import Host

if TYPE_CHECKING:
    from pystack.apps.ftp.commands import Command

_RULES: Final = LineRules(max_bytes=limits.LINE_BYTES, lf_ends=True, refused=b"")
_FORBIDDEN: Final = frozenset(b"\r\0")
_NO_COMMAND: Final = b"\0"  # instead of a line that was too long
_DURING_TRANSFER: Final = frozenset({"ABOR", "STAT", "NOOP"})
_log: Final = logging.getLogger("pystack.apps.ftp")

# Moves the bytes of a transfer; returns what the reply says, beside that it went well.
Job = Callable[[trio.abc.HalfCloseableStream, Progress], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is the same for all sessions of a service."""

    tree: Tree
    writable: bool
    accounts: dict[str, str]  # password of each user; none: anybody, as "anonymous"
    host: Host
    host_name: str
    counters: Counters
    tls: TlsServer | None  # None: the libraries for it are not there
    commands: dict[str, Command]


@dataclass(slots=True)
class Choices:
    """What a client has chosen so far; a login begins anew."""

    user: str | None = None  # None: nobody has logged in
    directory: list[bytes] = field(default_factory=list)
    ascii_lines: bool = True  # TYPE A, RFC 959 section 5.1
    facts: tuple[str, ...] = FACTS
    restart_at: int = 0  # REST: for the next transfer
    rename_from: list[bytes] | None = None  # RNFR: for the very next command
    passive_only: bool = False  # EPSV ALL


class Session:
    """One control connection."""

    def __init__(self, site: Site, stream: trio.abc.HalfCloseableStream) -> None:
        self.site = site
        self.choices = Choices()
        self.wanted_user: str | None = None  # USER: whose password is to come
        self.wrong_passwords = 0
        self.protection_size_is_set = False  # PBSZ
        self.protects_data = False  # PROT P
        self.channel: Channel | None = None  # None: no PASV, PORT or the like
        self.is_over = False
        self.lines = Lines(stream, _RULES)
        self.local: tuple[str, int] = getattr(stream, "local_address", ("", 0))
        self.client: str = getattr(stream, "remote_address", ("", 0))[0]
        self._stream = stream
        self._tls: TlsStream | None = None
        self._held: deque[bytes] = deque()  # commands that came during a transfer
        self._wrong_commands = 0
        self._lingering = 0
        self._discards: set[trio.CancelScope] = set()  # one for each upload that is not kept
        self._all_discarded = trio.Event()  # of those that there were
        self._nursery: trio.Nursery | None = None  # None: it has not begun
        self._progress: Progress | None = None  # of the transfer that there is
        self._code = 0  # of the last reply

    async def run(self) -> None:
        """Serve it up to its end."""
        try:
            async with trio.open_nursery() as self._nursery:
                await self._converse()
                self._nursery.cancel_scope.cancel()
        finally:
            self.use_channel(None)

    # replies

    async def say(self, code: int, *lines: str) -> None:
        """Send a reply, or let it wait for the next one."""
        self._code = code
        await self.lines.reply(reply(code, *lines))

    @property
    def is_secret(self) -> bool:
        """Tell whether the control connection is in TLS."""
        return self._tls is not None

    def describe(self) -> list[str]:
        """Return what STAT tells of the session."""
        choices = self.choices
        kind = "ASCII" if choices.ascii_lines else "IMAGE"
        data = "TLS" if self.protects_data else "clear"
        who = "nobody has logged in" if choices.user is None else f"logged in as {choices.user}"
        lines = [
            f"Connected from {self.client}, {who}",
            f"TYPE: {kind}; STRUcture: File; MODE: Stream; data in {data}",
        ]
        if self._progress is not None:
            lines.append(f"{self._progress.bytes} bytes transferred so far")
        return lines

    # commands

    async def _converse(self) -> None:
        await self.say(220, f"{self.site.host_name} FTP server (pystack) ready")
        try:
            while not self.is_over:
                line = await self._next_line()
                if line is None:
                    break
                await self._obey(line)
            if self._discards and self.is_over:
                # RFC 959 section 4.1.1, QUIT: a transfer comes to its end before.
                await self.lines.flush()
                await self._all_discarded.wait()
            await self.lines.finish()
        except SilentPeerError:
            await self.say(421, "Nothing was asked for too long; good-bye")
            await self.lines.finish()
        except EndlessLineError:
            await self.say(421, "That line has no end; good-bye")
            await self.lines.finish()
        except DeafPeerError:
            await self.lines.cut()
            raise

    async def _next_line(self) -> bytes | None:
        """Return the next command; None: the client has ended its side."""
        if self._held:
            return self._held.popleft()
        patience_s = limits.LOGIN_S if self.choices.user is None else limits.IDLE_S
        while True:
            try:
                return await self.lines.next_line(patience_s)
            except SilentPeerError:
                if not self._discards:  # else it has not done with sending
                    raise
            except LineTooLongError:
                await self._refuse(RefusedError(500, "The line is too long"))
                if self.is_over:
                    return None

    async def _obey(self, line: bytes) -> None:
        text, answer = without_telnet(line)
        if answer:
            await self.lines.reply(answer)
            if not text:
                return
        verb, argument = split_command(text)
        command = self.site.commands.get(verb)
        rename_from = self.choices.rename_from
        try:
            if not _FORBIDDEN.isdisjoint(text):
                raise RefusedError(501, "CR and NUL are in no command")
            if command is None:
                raise RefusedError(500, "There is no such command")
            command.check(self, argument)
            await command.run(self, argument)
        except RefusedError as refusal:
            await self._refuse(refusal)
        except OSError as error:
            makes_name = command is not None and command.makes_name
            await self._refuse(refusal_of(error, is_new=makes_name))
        else:
            self._wrong_commands = 0
        if self.choices.rename_from is rename_from:
            self.choices.rename_from = None  # RNTO has to follow at once

    async def _refuse(self, refusal: RefusedError) -> None:
        await self.say(refusal.code, refusal.text)
        if refusal.code != 500:
            return
        self._wrong_commands += 1
        if self._wrong_commands >= limits.WRONG_COMMANDS:
            self.site.counters.add("ftp_no_client")
            await self.end(421, "This is FTP, which you do not speak; good-bye")

    async def end(self, code: int, text: str) -> None:
        """Say this last, and be done."""
        await self.say(code, text)
        self.is_over = True

    def log_out(self) -> None:
        """Forget who it was, and all that they have chosen."""
        self.choices = Choices()
        self.wanted_user = None
        self.use_channel(None)

    # files

    def path(self, argument: bytes, *, is_new: bool = False) -> list[bytes]:
        """Return the segments of a path that is given. Raises RefusedError."""
        segments = join_path(self.choices.directory, argument)
        if segments is None:
            raise RefusedError(553 if is_new else 550, "No file can have this name")
        return segments

    def take_restart(self) -> int:
        """Return what REST has said for this transfer."""
        at, self.choices.restart_at = self.choices.restart_at, 0
        if at and self.choices.ascii_lines:
            raise RefusedError(504, "REST goes with TYPE I only")
        return at

    # TLS

    async def begin_tls(self) -> None:
        """Say that TLS may begin, and let it. Raises TlsError."""
        assert self.site.tls is not None
        injected = self.lines.take_rest()
        await self.say(234, "TLS may begin")
        await self.lines.flush()
        self._tls = await self.site.tls.accept(self._stream, received=injected)
        self.lines.change_stream(self._tls)
        # RFC 4217 section 4.2: who came before in clear may have been somebody else.
        self.log_out()

    # transfers

    def use_channel(self, channel: Channel | None) -> None:
        """Take this for the next transfer; what was there is let go."""
        if self.channel is not None:
            self.channel.close()
        self.channel = channel

    def start_soon(self, async_fn: Callable[[], Awaitable[object]]) -> None:
        """Run it beside the session, and no longer."""
        assert self._nursery is not None
        self._nursery.start_soon(async_fn)

    async def transfer(self, opening: str, job: Job, *, is_upload: bool) -> None:
        """Open the data connection and have `job` use it, while the client may say ABOR.

        What a download sends last is to arrive. The replies are all made here.
        """
        channel, self.channel = self.channel, None
        if channel is None or channel.is_over:
            raise RefusedError(425, "PASV, EPSV, PORT or EPRT has to come first")
        transfer = _Transfer(self, channel, job, is_upload=is_upload)
        self._progress = transfer.progress
        try:
            if channel.connects_first:
                transfer.stream = await channel.open()
            # 150 also where RFC 959 would have 125, as vsftpd, pure-ftpd and ProFTPD do: clients
            # (ftplib, curl) read the size out of a 150 alone.
            await self.say(150, opening)
            await self.lines.flush()
            await self._run(transfer)
        finally:
            self._progress = None
            channel.close()
            if transfer.stream is not None:
                is_discarded = transfer.is_discarded and not transfer.is_aborted
                if is_discarded and len(self._discards) < limits.DISCARDS:
                    # Clients that write look for no reply: cut off, they would not hear why.
                    self._discard(transfer.stream)
                else:
                    await cut(transfer.stream)
        await self.say(*transfer.outcome)
        if transfer.is_aborted:
            await self.say(226, "It is aborted")

    async def _run(self, transfer: _Transfer) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transfer.run)
            while not transfer.done.is_set() and len(self._held) < limits.PIPELINED:
                line = None
                with transfer.watch() as watching:
                    try:
                        line = await self.lines.next_line(inf)
                    except LineTooLongError:
                        line = _NO_COMMAND
                    except EndlessLineError:
                        pass  # as if it had ended
                if watching.cancelled_caught:
                    return
                await self._heed(line, transfer)

    async def _heed(self, line: bytes | None, transfer: _Transfer) -> None:
        """Look at what has come during a transfer."""
        if line is None:
            # RFC 959 section 3.2: as if it had been ABOR and QUIT, unless QUIT was said.
            if not any(split_command(held)[0] == "QUIT" for held in self._held):
                self.is_over = True
                transfer.abort()
            await transfer.done.wait()
            return
        verb, argument = split_command(without_telnet(line)[0])
        if verb == "ABOR":
            transfer.is_aborted = True
            transfer.abort()
            await transfer.done.wait()
        elif verb in _DURING_TRANSFER and not argument and not self._held:
            await self._obey(line)
            await self.lines.flush()
        else:
            self._held.append(line)

    async def finish_sending(self, stream: trio.abc.HalfCloseableStream) -> None:
        """End a data connection in order: beside the session, as long as there are few."""
        if self._lingering >= limits.LINGERING:
            await let_go(stream)
            return
        self._lingering += 1

        async def linger() -> None:
            try:
                await let_go(stream)
            finally:
                self._lingering -= 1

        self.start_soon(linger)

    def _discard(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Read a data connection to its end, beside the session."""
        scope = trio.CancelScope()
        if not self._discards:
            self._all_discarded = trio.Event()
        self._discards.add(scope)

        async def read_on() -> None:
            try:
                with scope:
                    await discard(stream)
            finally:
                self._discards.remove(scope)
                if not self._discards:
                    self._all_discarded.set()

        self.start_soon(read_on)

    def abort_discards(self) -> None:
        """Cut off the uploads that cannot be kept, which the client may still be sending."""
        for scope in self._discards:
            scope.cancel()

    async def protect(self, stream: trio.abc.HalfCloseableStream) -> trio.abc.HalfCloseableStream:
        """Return the data connection as the client wants it: in TLS, or as it is."""
        if not self.protects_data or self.site.tls is None:
            return stream
        return await self.site.tls.accept(stream, tickets=False)


class _Transfer:
    """One transfer: a task that moves its bytes, and what became of it."""

    def __init__(self, session: Session, channel: Channel, job: Job, *, is_upload: bool) -> None:
        self.progress = Progress()
        self.done = trio.Event()
        self.outcome: tuple[int, str] = (426, "The transfer was aborted")
        self.is_aborted = False  # by a command that waits for its own answer
        self.is_discarded = False  # an upload that cannot be kept
        # Until it has ended in order; None: it is not open, or has.
        self.stream: trio.abc.HalfCloseableStream | None = None
        self._session = session
        self._channel = channel
        self._job = job
        self._is_upload = is_upload
        self._scope = trio.CancelScope()
        self._watching = trio.CancelScope()

    def watch(self) -> trio.CancelScope:
        """Return a scope that is left when there is an outcome."""
        self._watching = trio.CancelScope()
        if self.done.is_set():
            self._watching.cancel()
        return self._watching

    def abort(self) -> None:
        """End it before its time."""
        self._scope.cancel()

    async def run(self) -> None:
        """Move the bytes."""
        try:
            with self._scope:
                self.outcome = 226, await self._move()
        except RefusedError as refusal:
            self.outcome = refusal.code, refusal.text
        except TlsError as error:
            self.outcome = 522, f"No TLS on the data connection: {error}"
        except trio.TooSlowError:
            self.outcome = 426, "The data connection stood still for too long"
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.outcome = 426, "The data connection was broken off"
        except BodyError as error:
            self.outcome = 451, f"{error}"
        except OSError as error:
            trouble = refusal_of(error)
            self.outcome = (452 if trouble.code == 452 else 451), trouble.text
            self.is_discarded = self._is_upload
        finally:
            self.done.set()
            self._watching.cancel()

    async def _move(self) -> str:
        if self.stream is None:
            self.stream = await self._channel.open()
        self.stream = await self._session.protect(self.stream)
        said = await self._job(self.stream, self.progress)
        if self._is_upload:
            with trio.fail_after(limits.DATA_S):
                await self.stream.aclose()
            self.stream = None
        else:
            stream, self.stream = self.stream, None
            await self._session.finish_sending(stream)
        return said
