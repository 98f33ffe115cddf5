"""Crowds that deliver while the disk fails and clients are cut off: what had its 250 is there."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import smtp_talk
import trio
import trio.testing

import pystack
from pystack.apps.smtp import SmtpLimits, SmtpService
from pystack.apps.smtp.maildir import Maildir

HELD_BYTES = 600_000
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE)


class FailingFiles:
    """The calls of `os`; each fails with a probability, and writes take less than was given."""

    def __init__(self, rng: Random, probability: float) -> None:
        self.probability = probability
        self.failed: Counter[str] = Counter()
        self._rng = rng

    def __getattr__(self, name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*args: object, **words: object) -> object:
            if name != "close" and self._rng.random() < self.probability:
                self.failed[name] += 1
                raise OSError(self._rng.choice(ERRORS), "not today")
            if name == "write":
                fd, data = args
                assert isinstance(data, memoryview)
                args = fd, data[: max(1, len(data) // 2)]
            return None if name == "fsync" else real(*args, **words)

        return call


async def serve(service: SmtpService, stream: trio.abc.HalfCloseableStream, left: float) -> None:
    """Serve until so much time is over: the service is stopped, or its host has no power."""
    with trio.move_on_after(left), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await service.handle_tcp(stream)
    await trio.aclose_forcefully(stream)


async def deliver(service: SmtpService, number: int, rng: Random, kept: set[str]) -> None:
    """Bring a few messages, each with a key of its own; note those that were taken."""
    client, server = trio.testing.memory_stream_pair()
    left = rng.choice((1000.0, rng.random() * 3))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, service, server, left)
        talk = smtp_talk.Talk(client)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await talk.reply()
            await talk.ask("EHLO client")
            for count in range(5):
                key = f"{number}-{count}"
                text = b"y" * 70 + b"\r\n"
                head = f"X-Key: {key}\r\n\r\n".encode()
                body = head + text * rng.choice((0, 10, 700))
                await talk.send(smtp_talk.TRANSACTION + body + b".\r\n")
                answers = [await talk.reply() for _ in range(4)]
                if answers[-1].startswith("250"):
                    kept.add(key)
                await trio.sleep(rng.random())
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.1])
def test_what_was_taken_is_there_once_and_nothing_is_held(
    probability: float, tmp_path: Path
) -> None:
    rng, kept = Random(f"crowd {probability}"), set[str]()

    async def main() -> None:
        service = smtp_talk.smtp_service(tmp_path, limits=SmtpLimits(held_bytes=HELD_BYTES))
        files = FailingFiles(rng, 0.0)
        service._maildir = maildir = Maildir(tmp_path, smtp_talk.HOST, files)  # type: ignore[arg-type]
        service._server.store._maildir = maildir  # type: ignore[attr-defined]
        maildir.prepare()
        files.probability = probability
        descriptors = len(os.listdir("/proc/self/fd"))
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(deliver, service, number, rng, kept)
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert service._server.room.free_bytes == HELD_BYTES
        assert bool(files.failed) is bool(probability)

    pystack.run(main, seed=1)
    found = Counter(
        key.decode()
        for text in smtp_talk.files(tmp_path)
        for key in re.findall(rb"X-Key: (\S+)", text)
    )
    assert len(kept) > 20
    assert kept <= found.keys()
    assert set(found.values()) == {1}
