"""Flows that send as fast as their congestion control lets, and what comes of them."""

from dataclasses import dataclass, field
from typing import Any, Final

import trio

import pystack
from pystack.tcp.info import TcpInfo

PORT: Final = 9
# Without chance two flows are in phase, and a queue that drops its tail drops that of always the
# same one (Floyd and Jacobson 1992, on traffic phase effects).
ACCESS: Final[dict[str, object]] = {"delay": "1ms", "jitter": "1ms"}


@dataclass(slots=True)
class Flow:
    """One bulk transfer, while it goes on and after it."""

    congestion: str
    start_s: float = 0.0
    access_s: float | None = None  # one way, beside the link that is shared; None: as ACCESS
    received_bytes: int = 0
    stream: pystack.TcpStream | None = None  # the sender's end; None: not started yet
    cwnd_bytes: list[tuple[float, int]] = field(default_factory=list)  # (when, cwnd)

    @property
    def mss_bytes(self) -> int:
        """Return how much text a segment carries."""
        return self.info().snd_mss_bytes

    @property
    def control(self) -> Any:  # noqa: ANN401 - the test knows which it is
        """Return the sender's congestion control."""
        assert self.stream is not None
        return self.stream._socket.connection.congestion

    def info(self) -> TcpInfo:
        """Return the sender's variables."""
        assert self.stream is not None
        return self.stream.info()

    async def send(self, client: pystack.Host) -> None:
        """Connect, and send for ever."""
        await trio.sleep(self.start_s)
        self.stream = await client.open_tcp_stream("server", PORT, congestion=self.congestion)
        while True:
            await self.stream.send_all(bytes(200_000))

    async def receive(self, stream: pystack.TcpStream) -> None:
        """Take what comes."""
        while data := await stream.receive_some():
            self.received_bytes += len(data)

    async def watch(self, every_s: float) -> None:
        """Note the window at regular times."""
        while True:
            if self.stream is not None:
                self.cwnd_bytes.append((trio.current_time(), self.stream.info().cwnd_bytes))
            await trio.sleep(every_s)


def run_flows(
    *flows: Flow,
    seconds: float,
    settle_s: float = 0.0,
    watch_s: float | None = None,
    seed: int = 1,
    server_congestion: str | None = None,
    **words: object,
) -> list[float]:
    """Let flows share one link; return the rate of each in bits a second, from `settle_s` on.

    `words` are those of the link towards the server; the other direction has the same delay.
    """
    rates: list[float] = []

    async def main() -> None:
        async with (
            pystack.Network(seed=seed, ip="4") as net,  # who connects is told by its one address
            trio.open_nursery() as nursery,
        ):
            server, switch = net.host("server", congestion=server_congestion), net.switch("switch")
            net.link(switch, server, a_to_b=words, b_to_a={"delay": words["delay"]})
            (listener,) = await server.open_tcp_listeners(PORT)
            by_address = {}
            for number, flow in enumerate(flows):
                client = net.host(f"client{number}")
                if flow.access_s is not None:
                    net.link(client, switch, delay=flow.access_s)
                else:
                    net.link(client, switch, a_to_b=ACCESS if len(flows) > 1 else {})
                by_address[client.address] = flow
                nursery.start_soon(flow.send, client)
                if watch_s is not None:
                    nursery.start_soon(flow.watch, watch_s)

            async def accept() -> None:
                while True:
                    stream = await listener.accept()
                    nursery.start_soon(by_address[stream.remote_address[0]].receive, stream)

            nursery.start_soon(accept)
            await trio.sleep(settle_s)
            before = [flow.received_bytes for flow in flows]
            await trio.sleep(seconds - settle_s)
            rates.extend(
                (flow.received_bytes - was) * 8 / (seconds - settle_s)
                for flow, was in zip(flows, before, strict=True)
            )
            nursery.cancel_scope.cancel()

    pystack.run(main, seed=seed)
    return rates


def jain(rates: list[float]) -> float:
    """Return Jain's index of fairness: 1 where all get the same, 1/n where one gets all."""
    return sum(rates) ** 2 / (len(rates) * sum(rate**2 for rate in rates))
