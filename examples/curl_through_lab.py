"""Real programs in the lab: curl fetches a page from a web server over a satellite and a router.

    laptop (a network namespace)  --  300 ms each way  --  router  --  web (another namespace)

Run it as root, or as yourself where users may make namespaces. It needs curl. Nothing of it touches
the machine's own network: both programs see nothing but the lab, whose DNS knows the names.
"""

import sys
import tempfile
from pathlib import Path
from subprocess import DEVNULL, PIPE

import trio

import pystack

TIMES = "name %{time_namelookup} s, connection %{time_connect} s, all %{time_total} s"


async def main(folder: str) -> None:
    """Build the lab, start the server, fetch the page."""
    async with pystack.Network(seed=1) as net:
        laptop, router, web = net.namespace("laptop"), net.router("router"), net.namespace("web")
        net.link(laptop, router, delay="300ms")
        net.link(router, web, delay="1ms")

        await serve(web, folder)
        reply = await laptop.run(["curl", "-sS", "-w", TIMES, "http://web/"])
        print(reply.stdout)


async def serve(web: pystack.Namespace, folder: str) -> None:
    """Start a web server; return when it listens."""
    command = [sys.executable, "-u", "-m", "http.server", "80", "--bind", "::"]
    command += ["--directory", folder]
    server = await web.open_process(command, stdout=PIPE, stderr=DEVNULL)
    assert server.stdout is not None
    await server.stdout.receive_some()  # "Serving HTTP on ..."


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "index.html").write_text("Hello from the other side of the sky\n")
        trio.run(main, folder)
