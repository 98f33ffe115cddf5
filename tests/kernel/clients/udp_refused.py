"""Sends a datagram to a port of the stack and prints the error that comes back for it."""

import os
import socket
import sys

ADDRESS = os.environ.get("STACK_ADDRESS", "10.77.0.2")
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET

with socket.socket(FAMILY, socket.SOCK_DGRAM) as sender:
    sender.settimeout(60)
    sender.connect((ADDRESS, int(sys.argv[1])))
    sender.send(b"anybody there?")
    try:
        sender.recv(100)
    except OSError as error:
        print(error.strerror)
