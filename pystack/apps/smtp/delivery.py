"""Where messages go: into a Maildir, on the disk before the client is told, or into memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Final, Protocol

import trio

from pystack.apps.smtp.maildir import Delivery, Maildir
from pystack.apps.smtp.message import Message
from pystack.apps.world import is_virtual
from pystack.core.errors import PystackError

MAX_BATCH: Final = 64  # messages that are written together

_log: Final = logging.getLogger("pystack.apps")


class DeliveryError(PystackError):
    """The message is not kept."""


class NoRoomError(DeliveryError):
    """There is no room for it now; there may be later."""


class Store(Protocol):
    """Keeps messages."""

    async def keep(self, message: Message) -> None:
        """Keep it, so that it can be said to have been. Raises DeliveryError."""
        ...


class MemoryStore:
    """Keeps the last messages, in `messages`; a program may take them out."""

    def __init__(self, max_bytes: int, max_messages: int) -> None:
        self.messages: list[Message] = []
        self.forgotten = 0  # so many had to make room
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._counted = 0, 0  # so many messages have so many bytes

    async def keep(self, message: Message) -> None:
        """Keep it; the oldest make room. One that is bigger than all of it is a NoRoomError."""
        if message.held_bytes > self._max_bytes:
            raise NoRoomError("there is no room in memory")
        messages = self.messages
        count, kept_bytes = self._counted
        if count != len(messages):
            kept_bytes = sum(each.held_bytes for each in messages)
        messages.append(message)
        kept_bytes += message.held_bytes
        while kept_bytes > self._max_bytes or len(messages) > self._max_messages:
            kept_bytes -= messages.pop(0).held_bytes
            if not self.forgotten:
                _log.warning("smtp: memory is full: from now on the oldest messages are forgotten")
            self.forgotten += 1
        self._counted = len(messages), kept_bytes


class MaildirStore:
    """Writes messages into a Maildir. What comes while one batch is written is the next.

    The task of one of its messages sees to a batch, in a thread: a disk is waited for by those
    whom it concerns. In virtual time there is none, so that runs are the same.
    """

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir
        self._waiting: list[_Job] = []
        self._is_writing = False

    async def keep(self, message: Message) -> None:
        """Return when it is on the disk. Cancelled, it may get there all the same."""
        # As files of this system have lines; nothing is lost: there is no other LF, and no CR.
        content = (message.trace() + message.data).replace(b"\r\n", b"\n")
        process = None if is_virtual() else os.getpid()
        job = _Job(Delivery(content, message.received_at_s, process))
        self._waiting.append(job)
        if self._is_writing:
            try:
                await job.called.wait()
            except BaseException:
                job.is_given_up = True
                if job in self._waiting:
                    self._waiting.remove(job)
                raise
        if not job.is_done:
            await self._write()
        if job.delivery.error is not None:
            _log.error("smtp: a message cannot be written: %s", job.delivery.error)
            raise DeliveryError(str(job.delivery.error)) from job.delivery.error

    async def _write(self) -> None:
        """Write those that wait, and call the one that sees to the next."""
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        self._is_writing = True
        try:
            await self._deliver([job.delivery for job in batch])
        except BaseException:
            # Cancelled before it began: this task's goes, the others' are still to be written.
            self._waiting[:0] = [job for job in batch[1:] if not job.is_given_up]
            batch = []
            raise
        finally:
            self._is_writing = False
            _done(batch)
            if self._waiting:
                self._is_writing = True  # messages that come meanwhile have to wait
                self._waiting[0].called.set()

    async def _deliver(self, deliveries: list[Delivery]) -> None:
        if is_virtual():
            await trio.lowlevel.checkpoint()
            self._maildir.deliver(deliveries)
        else:
            await trio.to_thread.run_sync(self._maildir.deliver, deliveries)


class _Job:
    __slots__ = ("called", "delivery", "is_done", "is_given_up")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.is_done = False
        self.is_given_up = False  # its task was cancelled
        self.called = trio.Event()  # it is done, or its task is the one to write


def _done(batch: Iterable[_Job]) -> None:
    for job in batch:
        job.is_done = True
        job.called.set()
