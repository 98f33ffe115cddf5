"""Sends datagrams of the sizes given to the echo service, one after the other; each must return."""

import os
import random
import socket
import sys

ADDRESS = os.environ.get("STACK_ADDRESS", "10.77.0.2")
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET

with socket.socket(FAMILY, socket.SOCK_DGRAM) as sender:
    sender.settimeout(60)
    sender.connect((ADDRESS, 7))
    for size in map(int, sys.argv[1:]):
        payload = random.Random(size).randbytes(size)
        sender.send(payload)
        assert sender.recv(65536) == payload, f"{size} bytes came back changed"
        print(size)
