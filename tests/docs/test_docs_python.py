"""Every block of Python in README and docs runs.

A whole program runs as one, in a process of its own. A fragment runs in a small network, with the
names that a reader takes for granted (`net`, `client`, `server`, `link`), and with what the page
only mentions (`my_client`, `fetch`). Files that a page names are left to the tests that run them.
"""

import ast
import inspect
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from random import Random
from types import FunctionType
from typing import Any, Final

import pytest
import trio
from anyio.abc import SocketStream
from doc_blocks import ROOT, Block, of_language
from starlette.applications import Starlette

import pystack
from pystack.apps.service import place_services
from pystack.apps.serving import serve as serve_service
from pystack.link.impair.base import Departures
from pystack.runtime.host import Host
from pystack.wire.frame import Frame

FRAGMENTS: Final = [
    block for block in of_language("python") if not block.file and "pystack.run(" not in block.text
]
PROGRAMS: Final = [block for block in of_language("python") if "pystack.run(" in block.text]
# In real time, with real programs: `examples/curl_through_lab.py` is it as a program, and is run.
# The second needs a SLURM.
_ELSEWHERE: Final = ("net.namespace(", "dask_jobqueue")

Names = dict[str, Any]


async def hello(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(b"hello")


async def ask(name: str) -> str:
    stream = await trio.open_tcp_stream(name.removeprefix("http://").rstrip("/"), 80)
    await stream.send_all(b"?")
    return bytes(await stream.receive_some()).decode()


async def serve(port: int, task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED) -> None:
    await trio.serve_tcp(hello, port, task_status=task_status)


async def handle(stream: SocketStream) -> None:
    await stream.send(await stream.receive())


def names() -> Names:
    """Return what every page takes for granted."""
    return {
        "pystack": pystack,
        "trio": trio,
        "my_service": hello,
        "my_client": ask,
        "serve": serve,
        "fetch": ask,
        "app": Starlette(),
        "handle": handle,
        "Random": Random,
        "Frame": Frame,
        "Departures": Departures,
    }


async def joined(net: pystack.Network) -> Names:
    """Return the network of the pages: a client and a server, which has an iperf3 of ours."""
    client, server = net.host("client"), net.host("server")
    link = net.link(client, server, delay="5ms", rate="10mbit")
    for placed in place_services(["iperf3"]):
        service: Host = server
        run = partial(serve_service, service, placed.service, tcp_port=5201, udp_port=5201)
        await server.start(run)
    more = {name: net.host(name) for name in ("phone", "shop")}
    net.link("phone", "shop")
    return {"net": net, "client": client, "server": server, "link": link, **more}


async def run_fragment(block: Block) -> None:
    """Run the block, with `await` at its top level, then the tests that it defines."""
    makes_its_own = "net.host(" in block.text
    async with pystack.Network(seed=1) as net:
        space = {**names(), "net": net}
        if not makes_its_own:
            space |= await joined(net)
        code = compile(
            "from __future__ import annotations\n" + block.text,
            str(block),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        )
        run = FunctionType(code, space)
        if not code.co_flags & inspect.CO_COROUTINE:
            run()
        elif "anyio_listener" in block.text:  # it is what stands in a program on a host
            await space["server"].run(run)
        else:
            await run()
        for name, function in list(space.items()):
            if name.startswith("test_"):
                await function(net)


@pytest.mark.parametrize(
    "block",
    [block for block in FRAGMENTS if not any(word in block.text for word in _ELSEWHERE)],
    ids=str,
)
def test_a_fragment_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples" / "lab_outage.toml", "lab.toml")

    async def main() -> None:
        with trio.move_on_after(60):  # those that serve do so for ever
            await run_fragment(block)

    pystack.run(main)


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_a_program_runs(block: Block, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(block.text)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_blocks_are_found() -> None:
    assert len(FRAGMENTS) > 10
    assert len(PROGRAMS) >= 1
