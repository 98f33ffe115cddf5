"""Sends datagrams of the sizes given to the echo service, one after the other; each must return."""

import random
import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.settimeout(60)
    sender.connect(("10.77.0.2", 7))
    for size in map(int, sys.argv[1:]):
        payload = random.Random(size).randbytes(size)
        sender.send(payload)
        assert sender.recv(65536) == payload, f"{size} bytes came back changed"
        print(size)
