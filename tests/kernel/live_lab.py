"""The lab that the live page is looked at of, with a client that is busy or not."""

from pathlib import Path

LAB = """
seed = 1
[hosts.client]
[routers.r]
[hosts.server]
serve = ["http"]
[[links]]
between = ["client", "r"]
delay = "5ms"
[[links]]
between = ["r", "server"]
delay = "20ms"
rate = "10mbit"
"""
BUSY_CLIENT = """
[hosts.client]
programs = [{ run = "busy:fetch" }]
"""
BUSY = """
import trio
async def fetch(host):
    while True:
        async with await host.open_tcp_stream("server", 80) as stream:
            await stream.send_all(b"GET / HTTP/1.1\\r\\nHost: s\\r\\nConnection: close\\r\\n\\r\\n")
            while await stream.receive_some():
                pass
        await trio.sleep(0.5)
"""


def make_busy(folder: Path) -> None:
    """Let the lab's client fetch the page again and again."""
    (folder / "lab.toml").write_text(LAB.replace("[hosts.client]", BUSY_CLIENT))
    (folder / "busy.py").write_text(BUSY)
