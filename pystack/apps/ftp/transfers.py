"""The commands that need a data connection: LIST, NLST, MLSD, RETR, STOR, STOU, APPE."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import trio

from pystack.apps.ftp import limits
from pystack.apps.ftp.listing import Line, Listing, facts_of, has_wildcard, list_line
from pystack.apps.ftp.replies import RefusedError, doubled, quoted, shown
from pystack.apps.ftp.transfer import FileSink, Progress, receive, send
from pystack.apps.http.files import FileBody
from pystack.apps.world import machine_now

if TYPE_CHECKING:
    from pystack.apps.ftp.session import Session


# down


async def retr(session: Session, argument: bytes) -> None:
    """Send a file (RFC 959 section 4.1.3), from where REST has said."""
    segments = session.path(argument)
    start = session.take_restart()
    descriptor = session.site.tree.open(segments)
    body: FileBody | None = None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(550, "That is not a file")
        if start > status.st_size:
            raise RefusedError(554, f"It has {status.st_size} bytes only")
        body = FileBody(descriptor, start, status.st_size, status)
        ascii_lines = session.choices.ascii_lines

        async def job(stream: trio.abc.HalfCloseableStream, progress: Progress) -> str:
            await send(stream, body, progress, ascii_lines=ascii_lines)
            return f"{progress.bytes} bytes sent"

        size = "" if ascii_lines else f" ({status.st_size - start} bytes)"
        await session.transfer(f"{quoted(segments)} comes{size}", job, is_upload=False)
    finally:
        if body is not None:
            body.close()
        else:
            os.close(descriptor)


async def list_(session: Session, argument: bytes) -> None:
    """Send a listing for people."""
    now_s = machine_now()
    await _send_listing(session, _without_options(argument), _ls(now_s))


async def nlst(session: Session, argument: bytes) -> None:
    """Send names that can be used in commands (RFC 1123 section 4.1.2.7)."""
    argument = _without_options(argument)
    directory, slash, last = argument.rpartition(b"/")
    prefix = b""
    if argument and has_wildcard(last):
        prefix = directory + slash
    elif argument and argument not in (b".", b"./"):
        prefix = argument if argument.endswith(b"/") else argument + b"/"

    def line(name: bytes, _status: os.stat_result) -> bytes:
        return prefix + name + b"\r\n"

    await _send_listing(session, argument, line, whole_name=True)


async def mlsd(session: Session, argument: bytes) -> None:
    """Send facts about what is in a directory (RFC 3659 section 7)."""
    segments = session.path(argument)
    if not stat.S_ISDIR(session.site.tree.stat(segments).st_mode):
        raise RefusedError(501, "That is not a directory")
    facts, writable = session.choices.facts, session.site.writable

    def line(name: bytes, status: os.stat_result) -> bytes:
        head = facts_of(status, facts, writable=writable)
        return head.encode("ascii") + b" " + name + b"\r\n"

    listing = Listing(session.site.tree, segments, session.site.tree.open(segments))
    await _send_lines(session, segments, listing, listing.chunks(line))


async def _send_listing(
    session: Session, argument: bytes, line: Line, *, whole_name: bool = False
) -> None:
    """`whole_name`: a file that is named itself is listed as it was named."""
    tree = session.site.tree
    try:
        segments, pattern = _place(session, argument)
        status = tree.stat(segments)
        if stat.S_ISDIR(status.st_mode):
            listing = Listing(tree, segments, tree.open(segments), pattern)
            await _send_lines(session, segments, listing, listing.chunks(line))
            return
        text = argument + b"\r\n" if whole_name else line(segments[-1], status)
    except OSError as error:
        raise RefusedError(450, error.strerror or "It cannot be listed") from None
    await _send_lines(session, segments, None, _once(text))


def _place(session: Session, argument: bytes) -> tuple[list[bytes], bytes | None]:
    """Return what is to be listed, and a pattern for the names in it."""
    segments = session.path(argument)
    if not segments or not has_wildcard(segments[-1]) or argument.endswith(b"/"):
        return segments, None
    if len(segments[-1]) > limits.PATTERN_BYTES:
        raise RefusedError(501, "The pattern is too long")
    try:
        session.site.tree.stat(segments)
    except OSError:
        return segments[:-1], segments[-1]
    return segments, None  # there is a file of this very name


async def _send_lines(
    session: Session,
    segments: list[bytes],
    listing: Listing | None,
    chunks: AsyncIterator[bytes],
) -> None:
    async def job(stream: trio.abc.HalfCloseableStream, progress: Progress) -> str:
        await send(stream, chunks, progress)
        if listing is not None and listing.left_out:
            return f"The first names; {listing.left_out} more are left out"
        return "That was all"

    session.choices.restart_at = 0
    try:
        await session.transfer(f"The listing of {quoted(segments)} comes", job, is_upload=False)
    finally:
        if listing is not None:
            listing.close()


async def stat_path(session: Session, argument: bytes) -> None:
    """Send a listing over the control connection."""
    segments = session.path(_without_options(argument))
    tree, line = session.site.tree, _ls(machine_now())
    status = tree.stat(segments)
    await session.lines.reply(b"213-Status:\r\n")
    if stat.S_ISDIR(status.st_mode):
        listing = Listing(tree, segments, tree.open(segments))
        try:
            async with aclosing(listing.chunks(line)) as chunks:
                async for chunk in chunks:
                    await session.lines.reply(doubled(chunk))
        finally:
            listing.close()
    else:
        await session.lines.reply(doubled(line(segments[-1], status)))
    await session.say(213, "End")


# up


async def stor(session: Session, argument: bytes) -> None:
    """Take a file that replaces the existing one, or its rest from where REST has said."""
    segments = session.path(argument, is_new=True)
    start = session.take_restart()
    descriptor = session.site.tree.open_to_write(segments)
    try:
        size = os.fstat(descriptor).st_size
        if start > size:
            raise RefusedError(554, f"It has {size} bytes only")
    except BaseException:
        os.close(descriptor)
        raise
    await _take(session, segments, descriptor, start)


async def appe(session: Session, argument: bytes) -> None:
    """Take what is to be added to a file."""
    segments = session.path(argument, is_new=True)
    session.choices.restart_at = 0
    descriptor = session.site.tree.open_to_write(segments, append=True)
    await _take(session, segments, descriptor, None)


async def stou(session: Session, argument: bytes) -> None:
    """Take a file under a name that nothing has yet, which the opening reply tells."""
    wanted = session.path(argument or b"file", is_new=True)
    session.choices.restart_at = 0
    if not wanted:
        raise RefusedError(553, "That is the root")
    for number in range(limits.STOU_TRIES):
        name = wanted[-1] if argument and not number else b"%s.%d" % (wanted[-1], number)
        segments = [*wanted[:-1], name]
        try:
            descriptor = session.site.tree.create(segments)
        except FileExistsError:
            continue
        # RFC 1123 section 4.1.2.9 has the words
        await _take(session, segments, descriptor, 0, opening=f"FILE: {shown(name)}")
        return
    raise RefusedError(553, "There are too many of that name")


async def _take(
    session: Session,
    segments: list[bytes],
    descriptor: int,
    at: int | None,
    opening: str | None = None,
) -> None:
    """`at`: from where on it is written, None: from its end on."""
    sink = FileSink(descriptor, at)
    ascii_lines = session.choices.ascii_lines

    async def job(stream: trio.abc.HalfCloseableStream, progress: Progress) -> str:
        await sink.begin()
        await receive(stream, sink, progress, ascii_lines=ascii_lines)
        return f"{progress.bytes} bytes taken"

    try:
        opening = f"{quoted(segments)} may come" if opening is None else opening
        await session.transfer(opening, job, is_upload=True)
    finally:
        sink.close()


# helpers


def _ls(now_s: float) -> Line:
    def line(name: bytes, status: os.stat_result) -> bytes:
        return list_line(name, status, now_s)

    return line


def _without_options(argument: bytes) -> bytes:
    """Return it without what clients hand to an `ls` that they take us for: `LIST -al`."""
    while argument.startswith(b"-"):
        argument = argument.partition(b" ")[2].lstrip(b" ")
    return argument


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
