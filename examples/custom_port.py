"""A port of one's own: a tunnel that carries frames through a real UDP socket.

Run it with `python examples/custom_port.py`: a ping out of one network into another's. As a plug-in
(see `pyproject.toml` beside this file), `net.port("far", "udp_tunnel ...")` finds it.
"""

import os
import socket
from functools import partial

import trio

import pystack
from pystack.link.port import PortBase
from pystack.runtime.driver.driver import Driver
from pystack.runtime.ports import PortContext
from pystack.wire.frame import Frame


class UdpTunnel(PortBase):
    real_time = True  # not in virtual time

    def __init__(self, context: PortContext, *, local: str | int, remote: str | int) -> None:
        super().__init__(context.mtu_bytes)
        self.udp = socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.udp.bind(("127.0.0.1", int(local)))
        self.remote = ("127.0.0.1", int(remote))

    def close(self) -> None:
        super().close()
        self.udp.close()

    def send(self, frame: Frame, now: float) -> None:
        try:
            self.udp.sendto(frame.data, self.remote)
        except OSError:  # it is full, and a Port never waits
            self.counters.add("tunnel_refused")  # every loss has a name

    async def run(self, driver: Driver) -> None:
        await trio.lowlevel.wait_readable(self.udp)
        while not self.closed:
            self.sink(Frame(self.udp.recv(65535)), driver.now())
            driver.batch_done(driver.now())
            await trio.lowlevel.wait_readable(self.udp)


async def main() -> None:
    one = 10_000 + 2 * (os.getpid() % 10_000)  # free, most likely
    async with pystack.Network(seed=1) as west, pystack.Network(seed=2) as east:
        alice = west.host("alice", address="10.0.0.1/24")
        bob = east.host("bob", address="10.0.0.2/24")
        west.attach(alice, partial(UdpTunnel, local=one, remote=one + 1))
        east.attach(bob, partial(UdpTunnel, local=one + 1, remote=one))
        print(f"bob answers after {await alice.ping('10.0.0.2') * 1000:.1f} ms")


if __name__ == "__main__":
    trio.run(main)
