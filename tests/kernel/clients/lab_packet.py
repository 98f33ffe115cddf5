"""A lab whose namespace has no TAP: prints what it is told to try, a line each."""

import sys
import zlib

import trio

import pystack

WHAT = sys.argv[1:]
SIZE = 2 << 20
TEXT = bytes(range(256)) * (SIZE // 256)


async def main() -> None:
    """Join a namespace and a host, and try it."""
    async with pystack.Network(seed=7) as net:
        inside = net.namespace("inside", offload="offload" in WHAT)
        host = net.host("host")
        net.link(inside, host, offload="offload" in WHAT)
        if "deleted" in WHAT:
            await inside.run(["ip", "link", "del", "eth0"])
            await trio.sleep_forever()
        names = [host.address, host.address6]
        print((await inside.run(["ip", "-o", "link", "show", "eth0"])).stdout, end="")
        for address in names:
            await inside.run(["ping", "-n", "-c", "1", "-W", "5", address])
        await host.start(trio.serve_tcp, echo, 7)
        await host.start(datagrams)
        for address in names:
            done = await inside.run([sys.executable, "-c", CLIENT, address, str(SIZE)])
            print(done.stdout, end="")
        print(zlib.crc32(TEXT))


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def datagrams(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Answer each datagram with itself, over both IP versions."""
    socket = trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM)
    await socket.bind(("::", 7))
    task_status.started()
    while True:
        data, sender = await socket.recvfrom(65536)
        await socket.sendto(data, sender)


CLIENT = """
import socket, sys, threading, zlib
address, size = sys.argv[1], int(sys.argv[2])
text = bytes(range(256)) * (size // 256)
with socket.create_connection((address, 7), 20) as stream:
    sender = threading.Thread(target=stream.sendall, args=(text,))
    sender.start()
    check, left = 0, size
    while left:
        data = stream.recv(1 << 18)
        check, left = zlib.crc32(data, check), left - len(data)
    sender.join()
kind = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(kind, socket.SOCK_DGRAM) as datagrams:
    datagrams.settimeout(20)
    datagrams.connect((address, 7))
    burst = [bytes([n]) * 1000 for n in range(8)]
    datagrams.sendmsg([b"".join(burst)], [(socket.IPPROTO_UDP, 103, (1000).to_bytes(2, "little"))])
    got = sorted(datagrams.recv(65536) for _ in burst)
print(check, got == burst)
"""

trio.run(main)
