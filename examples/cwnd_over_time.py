"""The congestion window over time, for each control that is named.

Run it with `python examples/cwnd_over_time.py newreno cubic bbr`: half a minute over 10 Mbit/s and
80 ms there and back, with a queue of 60 packets, as lines of text. With the extra `[plot]`
(matplotlib), `--plot cwnd.png` draws them.
"""

import argparse

import trio

import pystack

TIME_S = 30
EVERY_S = 0.1
WIDTH = 75
BARS = " ▁▂▃▄▅▆▇█"
Series = list[tuple[float, float]]  # seconds, segments


async def swallow(listener: pystack.TcpListener) -> None:
    """Read whatever comes."""
    async for _data in await listener.accept():
        pass


async def watch(congestion: str, series: Series) -> None:
    """Send as fast as the control lets, and note its window."""
    async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="40ms", rate="10mbit", limit=60)
        (listener,) = await server.open_tcp_listeners(9)
        nursery.start_soon(swallow, listener)
        stream = await client.open_tcp_stream("server", 9, congestion=congestion)
        nursery.start_soon(stream.send_all, bytes(2 * TIME_S * 1_250_000))
        for tick in range(round(TIME_S / EVERY_S)):
            info = stream.info()
            series.append((tick * EVERY_S, info.cwnd_bytes / info.snd_mss_bytes))
            await trio.sleep(EVERY_S)
        nursery.cancel_scope.cancel()


def line_of(series: Series) -> str:
    """Return a window as a line of bars, full where it was largest."""
    largest = max(window for _, window in series)
    step = len(series) / WIDTH
    windows = [series[int(at * step)][1] for at in range(WIDTH)]
    return "".join(BARS[round(window / largest * (len(BARS) - 1))] for window in windows)


def plot(found: dict[str, Series], path: str) -> None:
    """Draw all windows into one picture."""
    from matplotlib import pyplot

    for name, series in found.items():
        pyplot.plot(*zip(*series, strict=True), label=name)
    pyplot.xlabel("seconds")
    pyplot.ylabel("congestion window, segments")
    pyplot.legend()
    pyplot.savefig(path)


def main() -> None:
    """Run them one by one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("congestion", nargs="*", default=["newreno", "cubic", "bbr"])
    parser.add_argument("--plot", metavar="FILE", help="draw a picture, with matplotlib")
    options = parser.parse_args()
    found: dict[str, Series] = {name: [] for name in options.congestion}
    for name, series in found.items():
        pystack.run(watch, name, series)
        print(f"{name:>8} up to {max(window for _, window in series):3.0f} |{line_of(series)}|")
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
