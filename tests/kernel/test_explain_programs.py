"""What is said of Python and Node at each step is what they do: their system calls tell."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from netns import NetworkNamespace, read_line

from pystack.observe.explain.knowledge import table

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here"),
]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node here")

HTTP_CLIENT = """
import http.client, sys
client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
client.request("POST", "/", body=b"y" * 100)
client.getresponse().read()
"""
ASYNCIO = """
import asyncio, sys
async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    writer.write(b"POST / HTTP/1.1\\r\\nContent-Length: 0\\r\\n\\r\\n")
    await reader.read()
asyncio.run(main())
"""
NODE = """
const request = require("http").request({host: "127.0.0.1", port: process.argv[1], method: "POST"},
                                        answer => answer.resume());
request.end("y".repeat(100));
"""
NODE_UNANSWERED = """
require("http").get({host: "127.0.0.1", port: process.argv[1]})
    .on("error", error => console.log(error.code, error.message));
"""
PYTHON_UNANSWERED = """
import http.client, sys
client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
client.request("GET", "/")
try:
    client.getresponse()
except ConnectionError as error:
    print(type(error).__name__)
"""
SERVER = """
import socket, struct, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
stream, _ = listener.accept()
data = stream.recv(4096)
if sys.argv[1] == "answer":
    while b"\\r\\n\\r\\n" not in data or (b": 100" in data and b"y" * 100 not in data):
        data += stream.recv(4096)
    stream.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
elif sys.argv[1] == "rst":
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
stream.close()
"""


def calls(netns: NetworkNamespace, folder: Path, *argv: str) -> str:
    """Return the system calls on sockets of a program that asks a server."""
    server = netns.popen([sys.executable, "-c", SERVER, "answer"])
    port = read_line(server).strip()
    trace = folder / "trace"
    words = [
        "strace",
        "-f",
        "-y",
        "-s",
        "200",
        "-o",
        str(trace),
        "-e",
        "trace=network,write,writev",
    ]
    netns.run([*words, *argv, port])
    return trace.read_text()


def unanswered(netns: NetworkNamespace, how: str, *argv: str) -> str:
    """Return what a program prints whose server ends the connection before it answers."""
    server = netns.popen([sys.executable, "-c", SERVER, how])
    return netns.run([*argv, read_line(server).strip()]).stdout.decode().strip()


def test_http_client_blocks_and_writes_head_and_body_apart(
    netns: NetworkNamespace, tmp_path: Path
) -> None:
    trace = calls(netns, tmp_path, sys.executable, "-c", HTTP_CLIENT)
    assert re.search(r"connect\(.*sin_port.*\) = 0", trace)
    assert "TCP_NODELAY" in trace
    assert len(re.findall(r"sendto\(.*(POST|yyyy)", trace)) == 2
    assert "a body with another" in table()["request-http"].python
    assert "waits within connect()" in table()["neighbor"].python


def test_asyncio_connects_without_blocking(netns: NetworkNamespace, tmp_path: Path) -> None:
    trace = calls(netns, tmp_path, sys.executable, "-c", ASYNCIO)
    assert re.search(r"connect\(.*sin_port.*EINPROGRESS", trace)
    assert "TCP_NODELAY" in trace
    assert "EINPROGRESS" in table()["neighbor"].python


@needs_node
def test_node_connects_without_blocking_and_writes_once(
    netns: NetworkNamespace, tmp_path: Path
) -> None:
    trace = calls(netns, tmp_path, "node", "-e", NODE)
    assert re.search(r"connect\(.*sin_port.*EINPROGRESS", trace)
    assert "EINPROGRESS" in table()["neighbor"].node
    assert len(re.findall(r"writev?\(.*(POST|yyyy)", trace)) == 1
    assert "in one write" in table()["request-http"].node
    for option in ("TCP_NODELAY, [1]", "SO_KEEPALIVE, [1]", "TCP_KEEPIDLE, [1]"):
        assert option in trace
    assert "http's default Agent does, with 1 s" in table()["keep_alive"].node


@needs_node
def test_what_node_says_of_a_reset_and_of_an_end_before_the_answer(
    netns: NetworkNamespace,
) -> None:
    words = ("node", "-e", NODE_UNANSWERED)
    assert unanswered(netns, "rst", *words) == "ECONNRESET read ECONNRESET"
    assert unanswered(netns, "fin", *words) == "ECONNRESET socket hang up"
    assert "'read ECONNRESET'" in table()["reset"].node
    assert "'socket hang up'" in table()["close"].node


def test_what_http_client_says_of_them(netns: NetworkNamespace) -> None:
    words = (sys.executable, "-c", PYTHON_UNANSWERED)
    assert unanswered(netns, "rst", *words) == "ConnectionResetError"
    assert unanswered(netns, "fin", *words) == "RemoteDisconnected"
    assert "ConnectionResetError" in table()["reset"].python
    assert "RemoteDisconnected" in table()["close"].python
