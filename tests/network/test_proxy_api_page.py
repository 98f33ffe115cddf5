"""docs/proxy-api.md and docs/toxics.md: commands print what they show, tables have all there is."""

import os
import re
import shutil
import socket
from pathlib import Path

import pytest
import trio
from doc_blocks import PAGES, Command, blocks, commands, difference
from proxy_place import proxy_place

from pystack.apps.proxy.api.metrics import COUNTED, METRICS
from pystack.apps.proxy.api.routes import ROUTES

PAGE = next(page for page in PAGES if page.name == "proxy-api.md")
TEXT = PAGE.read_text("utf-8")


def curls(page: Path) -> list[Command]:
    found = [
        each for block in blocks(page) if block.language == "console" for each in commands(block)
    ]
    assert [each.line for each in found if not each.line.startswith("curl ")] == [
        "pystack proxy --api"
    ]
    return [each for each in found if each.line.startswith("curl ")]


@pytest.mark.trio
@pytest.mark.parametrize("name", ["proxy-api.md", "toxics.md"])
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here (sudo scripts/provision)")
async def test_its_commands_print_what_it_shows(name: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    async with proxy_place() as place:
        for command in curls(PAGE.with_name(name)):
            line = command.line.replace(":8474", f":{place.api_port}").replace("26379", port)
            run = await trio.run_process(
                ["bash", "-c", line], capture_stdout=True, env={**os.environ, "no_proxy": "*"}
            )
            printed = run.stdout.decode().replace(port, "26379").splitlines()
            assert not difference(command.output, printed), command.line


def test_its_table_has_all_requests() -> None:
    asked = set()
    for first, others in re.findall(r"^\| `([A-Z]+ /\S+)`(?:, or `(\w+)`)? \| 20\d \|", TEXT, re.M):
        method, path = first.split()
        asked |= {(each, path) for each in (method, others) if each}
    served = set()
    for route in ROUTES:
        names = iter(("NAME", "TOXIC"))
        path = "/" + "/".join(part or next(names) for part in route.parts)
        served |= {(method, path) for method in route.actions}
    assert asked == served


def test_its_table_has_all_metrics() -> None:
    assert re.findall(r"^\| `((?:toxiproxy|pystack)_\w+)` \|", TEXT, re.M) == [
        *(metric.name for metric in METRICS),
        COUNTED,
    ]
