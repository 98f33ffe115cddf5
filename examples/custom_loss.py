"""A loss model of one's own: a microwave oven beside a Wi-Fi link.

Run it with `python examples/custom_loss.py`. The oven's magnetron works during one half of each
period of the mains, so what is sent in that half is lost: half of a steady stream, eight datagrams
of a millisecond each in a row. As a plug-in (see `pyproject.toml` beside this file),
`impairments=["microwave mains_hz 50"]` finds it.
"""

from functools import partial
from itertools import groupby

import trio

import pystack
from pystack.core.rng import Random
from pystack.link.impair.base import Departures
from pystack.wire.frame import Frame


class Microwave:
    """Loses all that is sent while the magnetron works."""

    name = "microwave"  # of its counter

    def __init__(self, rng: Random, *, mains_hz: str | float = 60) -> None:
        self.period_s = 1 / float(mains_hz)
        self.phase = rng.random()  # nobody knows when the oven was plugged in

    def apply(self, frame: Frame, now: float) -> Departures:
        """Return nothing (lost), or the frame and the instant at which it goes on."""
        works = (now / self.period_s + self.phase) % 1.0 < 0.5
        return () if works else ((now, frame),)


async def main() -> None:
    """Send a stream of numbered datagrams past the oven, and look at the gaps."""
    async with pystack.Network(seed=4) as net:
        laptop, radio = net.host("laptop"), net.host("radio")
        link = net.link(laptop, radio, delay="2ms")
        sender, receiver = await laptop.open_udp_socket(), await radio.open_udp_socket(5000)
        await radio.ping("laptop")  # ARP first, while the oven is off
        link.set(a_to_b={"impairments": [partial(Microwave, mains_hz=62.5)]})
        for number in range(1000):
            await sender.send_to(number.to_bytes(2, "big"), ("radio", 5000))
            await trio.sleep(0.001)
        lost = link.counters["microwave"]
        arrived = {int.from_bytes((await receiver.receive_from())[0]) for _ in range(1000 - lost)}
        runs = groupby(range(1000), key=lambda number: number in arrived)
        longest = max(len(list(run)) for there, run in runs if not there)
        print(f"{lost} of 1000 datagrams lost, up to {longest} in a row")


if __name__ == "__main__":
    pystack.run(main)
