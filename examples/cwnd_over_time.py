"""The congestion window over time, for each control that is named.

`python examples/cwnd_over_time.py newreno cubic bbr`: half a minute over 10 Mbit/s and 80 ms there
and back, with a queue of 60 packets, as lines of text. With the extra `[plot]` (matplotlib; in a
checkout, `scripts/environment plot` gets it) and a name like cwnd.png among them, as a picture too.
"""

import sys

import trio

import pystack

TIME_S, EVERY_S, WIDTH = 30, 0.1, 75
BARS = " ▁▂▃▄▅▆▇█"


async def watch(congestion: str) -> list[float]:
    """Send as fast as the control lets; return its window, in segments, at every tick."""
    async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="40ms", rate="10mbit", limit=60)
        (listener,) = await server.open_tcp_listeners(9)
        stream = await client.open_tcp_stream("server", 9, congestion=congestion)
        receiver = await listener.accept()
        nursery.start_soon(stream.send_all, bytes(2 * TIME_S * 1_250_000))
        windows = []
        for _ in range(round(TIME_S / EVERY_S)):
            with trio.move_on_after(EVERY_S):
                while await receiver.receive_some():
                    pass
            info = stream.info()
            windows.append(info.cwnd_bytes / info.snd_mss_bytes)
        nursery.cancel_scope.cancel()
        return windows


def main(names: list[str]) -> None:
    pictures = [name for name in names if name.endswith(".png")]
    found = {name: pystack.run(watch, name) for name in names if name not in pictures}
    for name, windows in found.items():
        most, step = max(windows), len(windows) / WIDTH
        bars = (round(windows[int(at * step)] / most * (len(BARS) - 1)) for at in range(WIDTH))
        print(f"{name:>8} up to {most:3.0f} |{''.join(BARS[bar] for bar in bars)}|")
    for path in pictures:
        from matplotlib import pyplot

        for name, windows in found.items():
            times = [(tick + 1) * EVERY_S for tick in range(len(windows))]
            pyplot.plot(times, windows, label=name)
        pyplot.xlabel("seconds")
        pyplot.ylabel("congestion window, segments")
        pyplot.legend()
        pyplot.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1:] or ["newreno", "cubic", "bbr"])
