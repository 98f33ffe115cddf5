"""Talks to the simple services over TCP; prints the name of each that is right."""

import random
import re
import socket
import threading
import time as clock

PRINTABLE = bytes(range(0x20, 0x7F)) * 2


def connect(port: int) -> socket.socket:
    return socket.create_connection(("10.77.0.2", port), timeout=60)


def send_and_end(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def echo() -> None:
    data = random.Random(1).randbytes(1_000_000)
    with connect(7) as connection:
        sender = threading.Thread(target=send_and_end, args=(connection, data))
        sender.start()
        assert connection.makefile("rb").read() == data
        sender.join()


def discard() -> None:
    with connect(9) as connection:
        send_and_end(connection, bytes(1_000_000))
        assert connection.recv(100) == b""


def chargen() -> None:
    with connect(19) as connection:
        lines = connection.makefile("rb")
        for number in range(1000):
            start = number % 95
            assert lines.readline() == PRINTABLE[start : start + 72] + b"\r\n"


def daytime() -> None:
    with connect(13) as connection:
        line = connection.makefile("rb").read()
        assert re.fullmatch(rb"\w+, \w+ \d+, \d{4} \d\d:\d\d:\d\d-UTC\r\n", line), line


def time() -> None:
    with connect(37) as connection:
        number = connection.makefile("rb").read()
        assert abs(int.from_bytes(number, "big") - 2_208_988_800 - clock.time()) < 60, number


for service in (echo, discard, chargen, daytime, time):
    service()
    print(service.__name__)
