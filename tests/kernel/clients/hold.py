"""Connects to a port of the stack and prints "connected"; then how the connection ends."""

import socket
import sys

with socket.create_connection(("10.77.0.2", int(sys.argv[1])), timeout=60) as connection:
    print("connected", flush=True)
    try:
        rest = connection.recv(1000)
    except OSError as error:
        print(error.strerror)
    else:
        print(rest.decode() or "end")
