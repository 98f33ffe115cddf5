"""Writing without waiting: in real time, a thread does it, and the stack never waits for a disk.

What is to be written waits in a queue of so many bytes. A reader that sleeps, or a disk that is
slower than the network, makes it full: then records are left out, whole ones, and counted. The
thread gathers for two milliseconds, so that a busy stack is interrupted 500 times a second at
most; what was seen less than that ago is lost to a program that is killed.

In virtual time nothing of this is needed: while a program waits for a disk, no time passes.
"""

import errno
import os
import select
import stat
import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import Final

from pystack.core.errors import OutputError
from pystack.observe.captures.output import ANYBODYS, OutputFile, Record, Say, open_output, tell

CAPTURE_QUEUE_BYTES: Final = 16 << 20
_GATHER_S: Final = 0.002
_BATCH_BYTES: Final = 1 << 20
_LOOK_AGAIN_S: Final = 0.1  # whether there is a reader, whether it is the end
# What the thread gets at the end to write what is left, to whoever may not read.
_END_S: Final = 2.0


class Spool:
    """A file that is written by a thread of its own, started with the first record."""

    def __init__(
        self,
        what: str,
        path: str,
        *,
        ring_bytes: int | None = None,
        mode: int = ANYBODYS,
        queue_bytes: int = CAPTURE_QUEUE_BYTES,
        say: Say = tell,
    ) -> None:
        """Open it. Raises OutputError. A FIFO that has no reader yet is opened when it has.

        `ring_bytes`: the size of a ring of files (`observe/captures/ring.py`); None: it is one.
        """
        self.what = what
        self.dropped = 0  # records that found the queue full, or nobody to take them at the end
        self._path = path
        self._ring_bytes = ring_bytes
        self._mode = mode
        self._say = say
        self._most_bytes = queue_bytes
        self._queue: deque[Record] = deque()
        self._put_bytes = 0  # changed by the stack's thread alone
        self._taken_bytes = 0  # changed by the writer's alone
        self._is_idle = False
        self._is_over = False  # nothing is written any more
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._give_up_at = float("inf")  # on the monotonic clock; set by `close`
        self._thread: threading.Thread | None = None  # None: nothing was written yet
        self._fifo: int | None = None  # the place of a FIFO without a reader; None: it is none
        self._file = self._opened()  # None: a FIFO without a reader
        if self._file is None:
            self._keep_fifo()

    def write(self, record: bytes) -> bool:
        """Take a record, and tell whether there was room. Never waits, never raises."""
        return self.write_parts((record,))

    def write_parts(self, record: Record) -> bool:
        """Take a record in parts, which nobody changes any more; likewise."""
        if self._is_over:
            return False
        if self._put_bytes - self._taken_bytes > self._most_bytes:
            if not self.dropped:
                self._say(f"{self.what} is written too slowly: it will lack some of what was seen")
            self.dropped += 1
            return False
        self._put_bytes += sum(map(len, record))
        self._queue.append(record)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.what, daemon=True)
            self._thread.start()
        elif self._is_idle:
            self._is_idle = False
            self._wake.put(None)
        return True

    def flush(self) -> None:
        """Do nothing: it is written as soon as it can be."""

    def close(self) -> None:
        """Let what is left be written, for a bounded time. A second close does nothing."""
        if self._is_closing:
            return
        self._give_up_at = time.monotonic() + _END_S
        if self._thread is not None:
            self._wake.put(None)
            self._thread.join(_END_S + 2 * _LOOK_AGAIN_S)
        elif self._file is not None:
            self._file.close()
        else:
            self._let_fifo_go()
        if self.dropped:
            self._say(f"{self.what} lacks {self.dropped} records, for it was written too slowly")

    @property
    def _is_closing(self) -> bool:
        return self._give_up_at != float("inf")

    def _opened(self) -> OutputFile | None:
        if self._ring_bytes is not None:
            from pystack.observe.captures.ring import RingFile  # only where somebody asks for one

            return RingFile(
                self.what,
                self._path,
                self._ring_bytes,
                mode=self._mode,
                say=self._say,
                before_write=self._wait_writable,
            )
        fd = open_output(self.what, self._path, wait=False, mode=self._mode)
        if fd is None:
            return None
        return OutputFile(self.what, fd, say=self._say, before_write=self._wait_writable)

    def _keep_fifo(self) -> None:
        """Hold on to the FIFO itself, whatever its path leads to later, and whoever we are then."""
        self._fifo = os.open(self._path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISFIFO(os.fstat(self._fifo).st_mode):
            os.close(self._fifo)
            raise OutputError(f"cannot write {self.what}: it is not a FIFO any more")
        self._path = f"/proc/self/fd/{self._fifo}"

    def _let_fifo_go(self) -> None:
        if self._fifo is not None:
            os.close(self._fifo)
            self._fifo = None

    def _run(self) -> None:
        try:
            self._wait_for_reader()
        finally:
            self._let_fifo_go()
        if self._file is not None:
            self._write_on(self._file)

    def _wait_for_reader(self) -> None:
        while self._file is None:
            if time.monotonic() > self._give_up_at:
                self.dropped += len(self._queue)
                return
            time.sleep(_LOOK_AGAIN_S)
            try:
                self._file = self._opened()
            except OSError as error:
                self._say(str(error))
                self._is_over = True
                return

    def _write_on(self, file: OutputFile) -> None:
        while batch := self._next_batch():
            file.write_all(batch)
            if file.has_ended:
                break
        self._is_over = True
        self._queue.clear()
        file.close()

    def _next_batch(self) -> list[Record]:
        """Wait for something to write, and a little longer for more of it; nothing at the end."""
        while not self._queue and not self._is_closing:
            self._is_idle = True
            if not self._queue and not self._is_closing:
                self._wake.get()  # it may have been for what is written already
            self._is_idle = False
        if not self._is_closing:
            time.sleep(_GATHER_S)
        batch, size = [], 0
        while self._queue and size < _BATCH_BYTES:
            record = self._queue.popleft()
            size += sum(map(len, record))
            batch.append(record)
        self._taken_bytes += size
        return batch

    def _wait_writable(self, fd: int) -> None:
        """Wait for a reader to read; not beyond the end."""
        if not hasattr(select, "poll"):  # as on Windows, where the write itself waits
            return
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        while not poll.poll(_LOOK_AGAIN_S * 1000):
            if time.monotonic() > self._give_up_at:
                raise OSError(errno.ETIMEDOUT, "its reader did not read it to the end")


def open_spool(path: str, ring_bytes: int | None = None, *, mode: int = ANYBODYS) -> Spool:
    """Open a capture (a ring of files) that is written by a thread. Raises OutputError."""
    return Spool(f"the capture {path}", os.fspath(path), ring_bytes=ring_bytes, mode=mode)
