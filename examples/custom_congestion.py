"""A congestion control of one's own: a polite one, which gives way as soon as a queue builds up.

It is the idea of LEDBAT (RFC 6817): hold the queue at 25 ms, so that whoever fills it goes first.
As a plug-in (see `pyproject.toml` beside this file), `congestion="polite"` finds it.
"""

from collections import Counter

import trio

import pystack
from pystack.tcp.congestion.base import AckSample, ControlDefaults, LossSample


class Polite(ControlDefaults):  # one per connection
    name = "polite"
    ssthresh_bytes, target_s = 0, 0.025  # no slow start

    def __init__(self, smss_bytes: int) -> None:
        self.smss_bytes = smss_bytes
        self.cwnd_bytes, self.base_s = 4 * smss_bytes, float("inf")  # the path's own round trip

    def on_ack(self, sample: AckSample) -> None:
        if sample.rtt_s is not None:
            self.base_s = min(self.base_s, sample.rtt_s)
            off_target = 1 - (sample.rtt_s - self.base_s) / self.target_s
            gain = max(off_target, -1) * sample.acked_bytes * self.smss_bytes / self.cwnd_bytes
            self.cwnd_bytes = max(self.cwnd_bytes + int(gain), 2 * self.smss_bytes)

    def on_loss(self, sample: LossSample) -> None:
        self.cwnd_bytes = max(self.cwnd_bytes // 2, 2 * self.smss_bytes)

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        self.cwnd_bytes = self.smss_bytes


async def upload(name: str, sent: Counter[str]) -> None:
    async with await trio.open_tcp_stream("server", 9) as stream:
        while True:
            await stream.send_all(bytes(10_000))
            sent[name] += 10_000


async def main() -> None:
    async with pystack.Network(seed=1) as net:
        server, switch, sent = net.host("server"), net.switch("switch"), Counter[str]()
        net.link(switch, server, delay="20ms", rate="10mbit", limit=100)
        await pystack.serve(server, "discard")
        for name, control in (("polite", Polite), ("cubic", "cubic")):
            net.link(host := net.host(name, congestion=control), switch)
            host.start_soon(upload, name, sent)
            await trio.sleep(20)
            print(*(f"{key} {sent[key] * 8 / 20e6:.1f} Mbit/s" for key in sorted(sent)[::-1]))
            sent.clear()


if __name__ == "__main__":
    pystack.run(main)
