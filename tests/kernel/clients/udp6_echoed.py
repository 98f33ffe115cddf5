"""Send datagrams of all sizes to ADDRESS PORT over IPv6; print the sizes of those that return."""

import socket
import sys

address, port = sys.argv[1], int(sys.argv[2])
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
    client.settimeout(10)
    for size in (1, 1452, 1453, 9000, 65_000):
        sent = bytes(at * 7 & 0xFF for at in range(size))
        client.sendto(sent, (address, port))
        assert client.recv(70_000) == sent
        print(size)
