"""The process that holds a namespace and whoever talks with it: each may go at any moment."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import trio
import trio.testing

from pystack.core.errors import DeviceError
from pystack.runtime.lab import namespace_process
from pystack.runtime.lab.namespaces import Holder

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

REQUEST: Final = {
    "hostname": "client",
    "interface": "eth0",
    "mac": "02:00:00:00:00:01",
    "mtu_bytes": 1500,
    "offload": False,
    "as_root": False,
    "ipv6": True,
    "files": {},
}


@pytest.mark.parametrize("words", [{}, REQUEST], ids=["unasked", "asked"])
def test_it_ends_silently_if_nobody_is_left_to_tell(words: dict[str, object]) -> None:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        if words:
            ours.send(json.dumps(words).encode())
    with its:
        done = subprocess.run(
            [sys.executable, "-P", namespace_process.__file__, "hold", str(its.fileno())],
            pass_fds=[its.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_file_is_made_that_might_stay_behind(tmp_path: Path) -> None:
    before = tmp_path.stat().st_mtime_ns

    async def main() -> None:
        holder = await Holder.start()
        try:
            for fd in await holder.ask(**{**REQUEST, "files": {"/etc/hosts": "127.0.0.9 here"}}):
                os.close(fd)
            words = holder.command(["cat", "/etc/hosts"], "/")
            read = await trio.run_process(words, capture_stdout=True)
            assert read.stdout == b"127.0.0.9 here"
        finally:
            await holder.aclose()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path))
        trio.run(main)
    assert tmp_path.stat().st_mtime_ns == before


@contextmanager
def talking() -> Iterator[tuple[Holder, socket.socket]]:
    """Have a holder that is a socket of ours."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its, subprocess.Popen(["true"]) as process:
        ours.setblocking(False)
        with trio.socket.from_stdlib_socket(ours) as control:
            yield Holder(process, control), its


@pytest.mark.parametrize("is_asked", [False, True])
def test_that_it_has_gone_is_a_sentence_whatever_was_said(is_asked: bool) -> None:
    async def ask(holder: Holder) -> None:
        with pytest.raises(DeviceError, match="the namespace's process has gone"):
            await holder.ask(mtu_bytes=1500)

    async def main() -> None:
        with talking() as (holder, its):
            if not is_asked:
                its.close()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, holder)
                await trio.testing.wait_all_tasks_blocked()
                its.close()  # with something unread: a reset

    trio.run(main)


def test_files_that_are_too_long_are_said() -> None:
    async def main() -> None:
        with talking() as (holder, _), pytest.raises(DeviceError, match="64 KiB"):
            await holder.ask(files={"/etc/hosts": "x" * 65536})

    trio.run(main)


def test_an_answer_that_nobody_waits_for_any_more_is_not_taken_for_the_next() -> None:
    async def main() -> None:
        with talking() as (holder, its):
            with trio.CancelScope() as scope:
                scope.cancel()
                await holder.ask(number=0)  # which is not even sent
            async with trio.open_nursery() as nursery:
                nursery.start_soon(holder.ask)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            its.send(b'{"error": "of the first"}')
            its.send(b'{"device": {"offload": true}}')
            await holder.ask(number=2)
            assert holder.device == {"offload": True}

    trio.run(main)


def test_what_belonged_to_one_that_was_killed_cannot_be_taken_for_anybody_elses() -> None:
    async def main() -> None:
        holder = await Holder.start()
        try:
            for fd in await holder.ask(**REQUEST):
                os.close(fd)
            pid = int(holder.command([], "/")[5])
            numbers = {os.stat(f"/proc/{pid}/ns/{kind}").st_ino for kind in ("net", "uts")}
            os.kill(pid, signal.SIGKILL)
            await holder.gone()
            # The kernel gives the lowest number that is free.
            spaces = ["stat", "-Lc", "%i", "/proc/self/ns/uts"]
            after = await trio.run_process(["unshare", "--uts", *spaces], capture_stdout=True)
            assert int(after.stdout) not in numbers
        finally:
            await holder.aclose()

    trio.run(main)
