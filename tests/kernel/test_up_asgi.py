"""`pystack up --asgi` on a real TAP: an application in the directory one is in."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from netns import NetworkNamespace
from up import URL, StackUp

pytestmark = pytest.mark.kernel

APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

async def hello(request):
    return PlainTextResponse(f"hello {request.client.host} by {request['http_version']}\\n")

async def echo(socket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)

app = Starlette(routes=[Route("/", hello), WebSocketRoute("/ws/echo", echo)])
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be where the application is."""
    (tmp_path / "site_of_mine.py").write_text(APP)
    monkeypatch.chdir(tmp_path)


def test_curl_and_websockets_in_clear(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack = stack_up("--asgi", "site_of_mine:app")
    assert stack.ready == "ready: tap0 10.77.0.2 http://10.77.0.2/ fd77::2 http://[fd77::2]/"
    assert netns.run(["curl", "-sS", f"{URL}/"]).stdout == b"hello 10.77.0.1 by 1.1\n"
    assert netns.python("websockets_echo", "ws://10.77.0.2/ws/echo", "-") == "100\n"


def test_curl_and_websockets_with_tls(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    ca = str(tmp_path / "ca.pem")
    stack = stack_up("--asgi", "site_of_mine:app", "--asgi-tls", "--ca", ca)
    assert stack.ready == "ready: tap0 10.77.0.2 https://10.77.0.2/ fd77::2 https://[fd77::2]/"
    for option, version in (("--http1.1", b"1.1"), ("--http2", b"2")):
        argv = ["curl", "-sS", option, "--cacert", ca, "https://10.77.0.2/"]
        assert netns.run(argv).stdout == b"hello 10.77.0.1 by " + version + b"\n"
    assert netns.python("websockets_echo", "wss://10.77.0.2/ws/echo", ca) == "100\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("site_of_mine", "an ASGI application is MODULE:APP"),
        ("nowhere:app", "there is no module 'nowhere'"),
        ("site_of_mine:nothing", "there is no 'nothing' in the module 'site_of_mine'"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_sentence(
    netns: NetworkNamespace, name: str, words: str
) -> None:
    argv = [sys.executable, "-m", "pystack", "up", "tap0", "--user", "root", "--asgi", name]
    said = netns.run(argv, expect=2).stderr.decode()
    assert re.fullmatch(rf".*{words}.*\n", said), said


def test_the_application_is_imported_by_who_root_has_become(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    source = "import os\nuid = os.getuid()\n" + APP.replace("hello {", "user {uid} {")
    (tmp_path / "site_of_mine.py").write_text(source)
    for each in (tmp_path, *tmp_path.parents):
        each.chmod(each.stat().st_mode | 0o055)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*nobody, "test", "-r", sys.base_prefix], check=False).returncode:
        pytest.skip(f"the user nobody may not use the Python here, {sys.executable}")
    stack_up("--asgi", "site_of_mine:app", "--user", "nobody")
    said = netns.run(["curl", "-sS", f"{URL}/"]).stdout
    assert said.startswith(b"user 65534 10.77.0.1"), said
