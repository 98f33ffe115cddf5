"""TFTP transfers that are cancelled at each of their steps: nothing stays behind."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
import tftp_client
import trio

import pystack
from pystack.apps.tftp.conversation import Conversation
from pystack.apps.tftp.service import Tftp

TEXT = b"x" * 1500


class CutAtStep(trio.abc.Instrument):
    """Cancels the server's task of a transfer at its n-th step."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.talk: Conversation | None = None  # None: it has not begun
        self._task: trio.lowlevel.Task | None = None

    def watch(self, talk: Conversation) -> None:
        self.talk, self._task = talk, trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task and self.talk is not None and self.left >= 0:
            self.left -= 1
            if self.left < 0:
                self.talk.scope.cancel()


@pytest.mark.parametrize("is_write", [False, True])
def test_a_transfer_that_is_cancelled_anywhere_leaves_nothing(
    is_write: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    usual = Conversation.run
    cut = CutAtStep(0)

    async def run(talk: Conversation, socket: pystack.UdpSocket) -> None:
        cut.watch(talk)
        await usual(talk, socket)

    monkeypatch.setattr(Conversation, "run", run)

    async def main() -> None:
        nonlocal cut
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="10ms")
            (service,) = await pystack.serve(server, "tftp", root=tmp_path, writable=True)
            assert isinstance(service, Tftp)
            descriptors = len(os.listdir("/proc/self/fd"))
            for steps in range(100):
                cut = CutAtStep(steps)
                trio.lowlevel.add_instrument(cut)
                with suppress(tftp_client.TftpError), trio.move_on_after(100):
                    if is_write:
                        await tftp_client.bring(client, server.address, b"new", TEXT)
                    else:
                        assert await tftp_client.fetch(client, server.address, b"text") == TEXT
                trio.lowlevel.remove_instrument(cut)
                await trio.sleep(200)
                assert len(os.listdir("/proc/self/fd")) == descriptors
                assert len(server.stack.udp.sockets) == 1
                assert {*os.listdir(tmp_path)} <= {"text", "new"}
                if is_write and (tmp_path / "new").exists():
                    assert (tmp_path / "new").read_bytes() == TEXT
                if cut.left >= 0:
                    break  # it had come to its end before
            assert steps > 3

    pystack.run(main, until=100_000)
