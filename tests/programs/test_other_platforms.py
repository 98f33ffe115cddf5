"""Networks in virtual time where Python has nothing that only Linux or POSIX has."""

import subprocess
import sys
from pathlib import Path

# Run by a Python of its own: what is taken away here would be missed by other tests.
PROGRAM = """
import os, socket, sys
import trio, trio.socket, trio.testing

NO_MODULES = {"fcntl", "grp", "pwd", "pytun", "resource", "termios"}
NOT_IN_OS = {"getegid", "geteuid", "getgid", "getuid", "mkfifo", "pipe2", "readv", "set_blocking",
             "writev", *(name for name in dir(os) if name.startswith("O_"))}
NOT_IN_OS -= {"O_APPEND", "O_CREAT", "O_EXCL", "O_RDONLY", "O_RDWR", "O_TRUNC", "O_WRONLY"}
IN_SOCKET = {"IPPROTO_IP", "IPPROTO_TCP", "IPPROTO_UDP", "SO_BROADCAST", "SO_DONTROUTE", "SO_ERROR",
             "SO_KEEPALIVE", "SO_LINGER", "SO_OOBINLINE", "SO_RCVBUF", "SO_REUSEADDR", "SO_SNDBUF",
             "SO_TYPE", "TCP_NODELAY"}


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in NO_MODULES:
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Missing())
for name in NOT_IN_OS & set(dir(os)):
    delattr(os, name)
for name in dir(socket):
    if name.startswith(("SO_", "TCP_", "UDP_", "IP_", "MSG_")) and name not in IN_SOCKET:
        delattr(socket, name)

import pystack


async def echo(stream):
    async for data in stream:
        await stream.send_all(data)


async def serve(task_status=trio.TASK_STATUS_IGNORED):
    await trio.serve_tcp(echo, 80, task_status=task_status)


async def ask():
    async with await trio.open_tcp_stream("server", 80) as stream:
        await stream.send_all(b"by TCP")
        print((await stream.receive_some()).decode())
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as one:
        await one.bind(("127.0.0.1", 7))
        await one.sendto(b"by UDP", ("127.0.0.1", 7))
        print((await one.recv(100)).decode())


async def main():
    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="1ms")
        net.capture(sys.argv[1])
        await server.start(serve)
        await client.run(ask)


pystack.run(main)
"""


def test_a_network_runs_and_is_captured(tmp_path: Path) -> None:
    capture = tmp_path / "run.pcap"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(capture)], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["by TCP", "by UDP"]
    assert capture.stat().st_size > 500
