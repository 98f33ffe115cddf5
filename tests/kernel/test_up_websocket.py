"""WebSocket clients as they are, against `pystack up` on a real TAP."""

import json
import re
import shutil
from pathlib import Path

import pytest
from netns import NetworkNamespace
from up import URL, StackUp

pytestmark = pytest.mark.kernel


def test_pythons_websockets_asyncio_and_blocking(
    netns: NetworkNamespace, stack_up: StackUp, offload: str
) -> None:
    stack_up(offload)
    saw = json.loads(netns.python("websockets_library", "ws://10.77.0.2/ws", "-"))
    assert saw["asyncio"] == {
        "extensions": "permessage-deflate; server_max_window_bits=12; client_max_window_bits=15",
        "text": "Hello",
        "bytes": True,
        "big": True,
        "fragments": "one two three",
        "pong": True,
        "many": True,
        "close": [1000, ""],
        "times": True,
        "time takes nothing": 1003,
        "refused": 400,
    }
    assert saw["blocking"] == {"big": True, "too big": 1009}


def test_through_tls_and_over_http2_not(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    ca = str(tmp_path / "ca.pem")
    stack_up("--serve", "https", "--ca", ca)
    saw = json.loads(netns.python("websockets_library", "wss://10.77.0.2/ws", ca))
    assert saw["asyncio"]["big"]
    assert saw["asyncio"]["close"] == [1000, ""]
    assert saw["blocking"] == {"big": True, "too big": 1009}
    argv = ["curl", "-sS", "--http2", "--cacert", ca, "https://10.77.0.2/ws/echo"]
    assert b"over HTTP/1.1" in netns.run(argv).stdout


def test_curl_is_told_what_a_websocket_wants(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up()
    said = netns.run(["curl", "--silent", "--include", f"{URL}/ws/echo"]).stdout.decode()
    assert said.startswith("HTTP/1.1 426 Upgrade Required\r\n")
    assert "\r\nSec-WebSocket-Version: 13\r\n" in said


def test_a_browser_runs_the_page(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium here: the page /ws/ is not tried by a browser")
    stack_up()
    argv = [
        chromium,
        "--headless",
        "--no-sandbox",  # as root there is none
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=3000",  # of the page
        "--dump-dom",
        f"{URL}/ws/",
    ]
    # The browser's clock leaps while no more than a WebSocket is awaited, so that it may be too
    # early with the page; what is there is right each time.
    echoed = re.compile(r"<li>← Hello  \([\d.]+ ms\)</li>")
    for _ in range(20):
        page = netns.run(argv).stdout.decode()
        if echoed.search(page) and re.search(r'<b id="time">\d', page):
            break
    assert echoed.search(page)
    assert re.search(r'<b id="time">\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z</b>', page)
    assert "<li>→ Hello</li>" in page
    assert "open, extensions: permessage-deflate; server_max_window_bits=12" in page


def test_two_hundred_clients_are_told_at_the_end(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    stack = stack_up()
    crowd = netns.popen_python("websockets_crowd", "200")
    assert crowd.stdout is not None
    assert crowd.stdout.readline() == b"open\n"
    assert stack.stop() == 0
    out, _ = crowd.communicate(timeout=30)
    assert out == b"1001: 200\n"
