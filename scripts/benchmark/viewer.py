"""One who looks at the live page while something else is measured.

    python -m benchmark.viewer ADDRESS PORT

Takes the feed as a browser does, and throws it away, until its standard input ends.
"""

import select
import socket
import sys
import time

_SEEN_EVERY_S = 0.1
_FEED = (
    "GET /live/feed HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# A whole text frame, masked with zeros: all that was sent has been seen.
_SAYS = b'{"seen":1000000000}'
_SEEN = bytes([0x81, 0x80 | len(_SAYS), 0, 0, 0, 0]) + _SAYS


def main(address: str, port: str) -> None:
    """Look on."""
    with socket.create_connection((address, int(port))) as stream:
        stream.sendall(_FEED.format(address).encode())
        if b" 101 " not in stream.recv(1 << 16):
            sys.exit("the feed was refused")
        print("ready", flush=True)
        said_at = 0.0
        while True:
            readable, _, _ = select.select([stream, sys.stdin], [], [], _SEEN_EVERY_S)
            if sys.stdin in readable:
                return
            if stream in readable and not stream.recv(1 << 20):
                sys.exit("the feed has ended")
            if time.monotonic() - said_at > _SEEN_EVERY_S:
                said_at = time.monotonic()
                stream.sendall(_SEEN)


if __name__ == "__main__":
    main(*sys.argv[1:])
