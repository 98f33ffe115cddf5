"""FTP with many at once, over bad lines, and stopped in the middle of it."""

import logging
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from ftp_client import BIG, Control, all_codes, drain, open_below, run

import pystack
from pystack.apps import serving
from pystack.apps.ftp.service import FtpService
from pystack.apps.hosting import serve
from pystack.apps.options import ServiceOptions


def test_a_thousand_sessions(root: Path) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="1ms")
            await serve(server, "ftp", root=root)
            done = []

            async def one() -> None:
                control = Control(client, await client.open_tcp_stream("server", 21))
                await control.login()
                await trio.sleep(30)
                assert await control.get("RETR hello") == b"hello\n"
                assert await control.code("QUIT") == 221
                done.append(1)

            with trio.fail_after(300):
                async with trio.open_nursery() as nursery:
                    for _ in range(1000):
                        nursery.start_soon(one)
            assert len(done) == 1000
            await trio.sleep(120)
            assert not server.connections()

    pystack.run(main)


@pytest.mark.parametrize("seed", range(20))
def test_over_a_bad_line_all_is_whole_or_said(root: Path, seed: int) -> None:
    async def main() -> None:
        async with pystack.Network(seed=seed) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="10ms", jitter="5ms", loss="5%", duplicate="2%")
            await serve(server, "ftp", root=root, writable=True)
            control = Control(client, await client.open_tcp_stream("server", 21))
            with trio.fail_after(3600):
                await control.login()
                assert await control.get("RETR big") == BIG
                await control.put("STOR up", BIG)
                assert (root / "up").read_bytes() == BIG
                assert len(await control.get("LIST")) > 100

    pystack.run(main)


def test_two_runs_are_the_same(root: Path, tmp_path: Path) -> None:
    captures = []
    for number in range(2):
        path = tmp_path / f"{number}.pcap"

        async def talk(control: Control, path: Path = path) -> None:
            control.host.capture(path)
            assert await control.get("RETR big") == BIG
            await control.put("STOR sub/up", BIG)
            await control.get("RETR sub/up")

        run(root, talk, writable=True)
        captures.append(path.read_bytes())
    assert captures[0] == captures[1]


def test_who_transfers_is_not_the_slowest(root: Path) -> None:
    """A full house sheds who moves nothing: the control connection of a transfer moves nothing."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="1ms", rate="10mbit")
            (root / "huge").write_bytes(BIG * 15)
            service = FtpService(ServiceOptions(root=root))
            full = partial(serving.serve, server, service, tcp_port=21, udp_port=None)
            await nursery.start(partial(full, max_connections=2))
            busy = Control(client, await client.open_tcp_stream("server", 21))
            await busy.login()
            data = await busy.passive()
            await busy.send("RETR huge")
            await busy.answer()
            idle = Control(client, await client.open_tcp_stream("server", 21))
            await idle.login()
            with trio.move_on_after(4):
                await drain(data)
            third = Control(client, await client.open_tcp_stream("server", 21))
            await third.login()
            await drain(data)
            assert (await busy.answer()).code == 226
            with pytest.raises(trio.BrokenResourceError):
                await idle.do("NOOP")
            nursery.cancel_scope.cancel()

    pystack.run(main)


class Step(trio.abc.Instrument):
    """Cancels a scope before the Nth step of the tasks in it."""

    def __init__(self, scope: trio.CancelScope, number: int) -> None:
        self.scope = scope
        self.number = number
        self.taken = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if "ftp" in repr(task.coro) or "_Door" in task.name or "_Transfer" in task.name:
            self.taken += 1
            if self.taken == self.number:
                self.scope.cancel()


def stop_at(root: Path, number: int) -> int:
    """Stop the server at that step of it; return how many it has taken."""
    taken = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="1ms")
            service = FtpService(ServiceOptions(root=root, writable=True))
            scope = trio.CancelScope()

            async def serve_it(*, task_status: trio.TaskStatus[None]) -> None:
                with scope:
                    await serving.serve(
                        server, service, tcp_port=21, udp_port=None, task_status=task_status
                    )

            await nursery.start(serve_it)
            step = Step(scope, number)
            trio.lowlevel.add_instrument(step)
            gone = suppress(trio.BrokenResourceError, EOFError, OSError, AssertionError)
            with gone, trio.move_on_after(100):
                control = Control(client, await client.open_tcp_stream("server", 21))
                await control.login()
                await control.get("RETR hello")
                await control.get("LIST", active=True)
                await control.put("STOR up", BIG)
                data = await control.passive()
                await control.send("RETR big", "NOOP", "PWD")
                await data.receive_some(1000)
                await control.send("ABOR", "QUIT")
                await all_codes(control)
            trio.lowlevel.remove_instrument(step)
            taken.append(step.taken)
            scope.cancel()
            await trio.sleep(10)
            assert not open_below(root)
            await trio.sleep(1000)
            assert not server.connections()
            nursery.cancel_scope.cancel()

    pystack.run(main)
    return taken[0]


def test_it_can_be_stopped_at_any_step(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    steps = stop_at(root, 0)
    assert steps > 60
    for number in range(1, steps + 1, 13):  # with 1 it takes half a minute
        (root / "up").unlink(missing_ok=True)
        stop_at(root, number)
        if (root / "up").exists():
            assert BIG.startswith((root / "up").read_bytes())
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
