"""What is short is said in one sentence, wherever the error came up."""

import errno
import os

import pytest

from pystack.cli.shortage import sentence


def _with_cause() -> OSError:
    error = OSError("something came of it")
    error.__cause__ = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return error


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (MemoryError(), "ulimit -v"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "ulimit -v"),
        (ImportError("libssl.so.3: failed to map segment from shared object"), "ulimit -v"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "ulimit -u"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "ulimit -n"),
        (ImportError(f"libssl.so.3: {os.strerror(errno.EMFILE)}"), "ulimit -n"),
        (ExceptionGroup("two", [ValueError(), MemoryError()]), "ulimit -v"),
        (_with_cause(), "ulimit -n"),
    ],
    ids=str,
)
def test_what_is_short_is_said_with_the_limit_that_may_help(error: Exception, limit: str) -> None:
    assert limit in (sentence(error) or "")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("another"),
        OSError(errno.EIO, os.strerror(errno.EIO)),
        # A standard stream that does not block: `print` into a full pipe
        BlockingIOError(errno.EAGAIN, "write could not complete without blocking", 5),
        ImportError("no module named x"),
    ],
    ids=str,
)
def test_of_all_else_nothing_is_said(error: Exception) -> None:
    assert sentence(error) is None
