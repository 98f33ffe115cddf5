"""Python's own `ssl` on the kernel's loopback: what a server in Python can reach with TLS at most.

    python -m benchmark.tls_server NUMBER

Gives the loopback the address of a server that would be behind a TAP, says `ready`, and sends for
as long as somebody takes it, until its standard input ends.
"""

import ssl
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from benchmark import identity, kernel_server, ports


def main(number: str) -> None:
    """Serve until it is ended."""
    address = ports.far(number).partition("/")[0]
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*identity.written_to(Path(folder), address))

    listener = kernel_server.listening(ports.HTTPS)
    chunk = bytes(ports.CHUNK_BYTES)
    print("ready", flush=True)
    while True:
        stream, _ = listener.accept()
        with suppress(OSError), context.wrap_socket(stream, server_side=True) as secure:
            while True:
                secure.sendall(chunk)


if __name__ == "__main__":
    main(*sys.argv[1:])
