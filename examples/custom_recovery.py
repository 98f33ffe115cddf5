"""A loss recovery of one's own: that of 1981 (RFC 793), with nothing but the retransmission timer.

What fast retransmit (1990) and RACK with SACK (2021) are worth: a megabyte over a lossy line.
As a plug-in (see `pyproject.toml` beside this file), `recovery="timer_only"` finds it.
"""

import trio

import pystack
from pystack.tcp.config import TcpConfig
from pystack.tcp.recovery.newreno import NewRenoRecovery
from pystack.tcp.recovery.registry import RecoveryLike
from pystack.wire.tcp import Segment

SIZE_BYTES = 1_000_000


class TimerOnly(NewRenoRecovery):  # one per connection
    name = "timer_only"

    def on_ack(self, seg: Segment, acked_bytes: int, now: float, *, duplicate: bool) -> int:
        return super().on_ack(seg, acked_bytes, now, duplicate=False)  # deaf to duplicates


async def upload() -> None:
    async with await trio.open_tcp_stream("server", 80) as stream:
        await stream.send_all(bytes(SIZE_BYTES))
        await stream.send_eof()
        await stream.receive_some()  # the end: all has arrived


async def swallow(stream: trio.SocketStream) -> None:
    async for _ in stream:
        pass


async def main(name: str, recovery: RecoveryLike) -> None:
    async with pystack.Network(seed=1) as net:
        tcp = TcpConfig(recovery=recovery, sack=name == "rack")
        client, server = net.host("client", tcp=tcp), net.host("server")
        net.link(client, server, delay="20ms", rate="10mbit", a_to_b={"loss": "1%"})
        await server.start(trio.serve_tcp, swallow, 80)
        await client.run(upload)
        sent_again = sum(n for key, n in client.counters.items() if "retransmits" in key)
        print(f"{name:10} {trio.current_time():5.1f} s, {sent_again} segments again")


if __name__ == "__main__":
    pystack.run(main, "timer_only", TimerOnly)
    for each in ("newreno", "rack"):
        pystack.run(main, each, each)
