"""Sends a datagram to a port of the stack and prints the error that comes back for it."""

import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.settimeout(60)
    sender.connect(("10.77.0.2", int(sys.argv[1])))
    sender.send(b"anybody there?")
    try:
        sender.recv(100)
    except OSError as error:
        print(error.strerror)
