"""A queue of one's own: last in, first out, for whoever would rather hear of now than of then.

Run it with `python examples/custom_qdisc.py`: 150 frames are to go out at once, and a ping waits
for all of them, or only for the one that is being sent. As a plug-in (see `pyproject.toml` beside
this file), `qdisc="lifo limit 100"` finds it.
"""

from math import inf

import trio

import pystack
from pystack.link.qdisc.base import Report, ignore
from pystack.wire.frame import Frame


class Lifo:
    def __init__(self, _: object, *, limit: str | int = 100) -> None:
        self.report: Report = ignore  # whoever carries the frames puts something better there
        self.limit = int(limit)
        self.frames: list[Frame] = []  # the newest is the last

    def enqueue(self, frame: Frame, now: float) -> None:
        self.frames.append(frame)
        if len(self.frames) > self.limit:
            self.report("lifo_full", self.frames.pop(0), now)  # a drop has a name

    def dequeue(self, now: float) -> Frame | None:
        return self.frames.pop() if self.frames else None

    def next_at(self, now: float) -> float:
        return now if self.frames else inf

    def drain(self, now: float) -> list[Frame]:
        return [self.frames.pop(0) for _ in range(len(self.frames))]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def backlog_bytes(self) -> int:
        return sum(len(frame.data) for frame in self.frames)


async def main() -> None:
    for name, qdisc in (("pfifo", "pfifo limit 100"), ("lifo", Lifo)):
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            link = net.link(a, b, delay="5ms", rate="1mbit", qdisc=qdisc)
            socket = await a.open_udp_socket()
            await a.ping("b")  # ARP first
            for _ in range(150):
                await socket.send_to(bytes(958), ("b", 9))  # 8 ms on the line
            await trio.sleep(0.02)
            print(f"{name}: {await a.ping('b'):.3f} s, {link.counters[f'{name}_full']} of 150 lost")


if __name__ == "__main__":
    pystack.run(main)
