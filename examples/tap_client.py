"""From the stack to a real server: a client in user space talks to a program on this machine.

Run it as root, or in a user namespace of your own, which needs no rights at all:

    unshare --user --map-root-user --net python examples/tap_client.py

It starts Python's own web server on the kernel's end of a TAP device (10.77.0.1), and fetches a
page from it over pystack's TCP at the other end (10.77.0.2).
"""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import trio

import pystack


class Hello(BaseHTTPRequestHandler):
    """Answers every GET; a plain server of the standard library, over the kernel's sockets."""

    def do_GET(self) -> None:
        """Tell the client who it is."""
        body = f"The kernel sees you at {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


async def main() -> None:
    """Open the device, start the server on the kernel's side, fetch a page from the stack's."""
    async with pystack.tap_host(pystack.TapHostConfig("tap0")) as host:
        server = HTTPServer(("10.77.0.1", 8000), Hello)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stream = await host.open_tcp_stream("10.77.0.1", 8000)
        await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
        async for part in stream:
            print(part.decode(), end="")
        info = stream.info()
        print(f"round trip {info.srtt_s or 0:.6f} s, MSS {info.snd_mss_bytes} bytes")
        for segment in stream.handshake:
            print("->" if segment.sent else "<-", segment.flags, segment.seq, segment.options)
        await stream.aclose()
        await host.close_connections(grace_s=2)
        server.shutdown()


if __name__ == "__main__":
    trio.run(main)
