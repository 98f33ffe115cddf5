"""An observer of one's own: who talks how much, and what was thrown away.

Run it with `python examples/custom_observer.py`. As a plug-in (see `pyproject.toml` beside this
file), `net.observe("talkers")`, `observe = ["talkers"]` in a lab's file, and
`pystack up tap0 --observe 'talkers top 3'` find it.
"""

from collections import Counter

import trio

import pystack
from pystack.observe.observer import Dropped, Event, FrameSeen
from pystack.observe.registry import Scene


class Talkers:
    """Counts what each host sends, and says so when all is over."""

    def __init__(self, scene: Scene, *, top: str | int = 5) -> None:
        self.scene = scene
        self.top = int(top)
        self.sent: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def on_event(self, event: Event) -> None:
        """Take note: called for each event, at its instant."""
        match event:
            case FrameSeen(sent=True):
                self.sent[event.host] += len(event.frame)
            case Dropped():
                self.dropped[event.reason] += 1

    def close(self) -> None:
        for host, size in self.sent.most_common(self.top):
            self.scene.say(f"{host:<8} sent {size:>8} bytes")
        for reason, count in self.dropped.most_common(self.top):
            self.scene.say(f"{count:>3} times {reason}")


async def main() -> None:
    """Upload a file, and watch."""
    async with pystack.Network(seed=3) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="20ms", loss="2%")
        net.observe(talkers := Talkers(Scene()))
        [listener] = await server.open_tcp_listeners(9)
        async with await client.open_tcp_stream("server", 9) as stream:
            connection = await listener.accept()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, bytes(200_000))
                received = 0
                while received < 200_000:
                    received += len(await connection.receive_some())
    talkers.close()  # asked for by its name, the network does that


if __name__ == "__main__":
    pystack.run(main)
