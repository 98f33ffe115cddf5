"""A service of one's own: finger (RFC 1288), which says who somebody is.

Run it with `python examples/custom_service.py`. As a plug-in (see `pyproject.toml` beside this
file), `pystack up tap0 --serve finger` offers it, and so does `serve = ["finger"]` in a lab's file.
"""

import trio

import pystack
from pystack.apps.service import Service, ServiceOptions
from pystack.apps.serving import serve

PEOPLE = {"jon": "Jon Postel, editor of RFC 793", "van": "Van Jacobson, author of RFC 1323"}
PATIENCE_S = 30


class Finger(Service):
    """Answers one line on TCP port 79; one object serves all connections."""

    name = "finger"
    tcp_port = 79

    def __init__(self, options: ServiceOptions) -> None:
        self.people = PEOPLE  # the options have what services may be told; this one needs nothing

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection; the caller closes it."""
        question = b""
        with trio.move_on_after(PATIENCE_S):  # a slow loris may not stay
            while not question.endswith(b"\r\n") and len(question) < 100:
                question += await stream.receive_some() or b"\r\n"
        user = question.decode("ascii", "replace").strip()
        answer = self.people.get(user, f"nobody here is called {user!r}")
        await stream.send_all(f"{answer}\r\n".encode())


async def main() -> None:
    """Ask for two people over a line that loses a tenth."""
    async with pystack.Network(seed=2) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="20ms", loss="10%")
        finger = Finger(ServiceOptions())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: serve(server, finger, tcp_port=79, udp_port=None))
            for user in ("jon", "bob"):
                async with await client.open_tcp_stream("server", 79) as stream:
                    await stream.send_all(f"{user}\r\n".encode())
                    print(b"".join([part async for part in stream]).decode().strip())
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    pystack.run(main)
