"""How late real time is: the error of a delay of 10 ms, with Trio's own sleep and with ours.

    python scripts/bench_realtime.py [COUNT]

Three lines for each way to wake up: frames as the link delivers them (against the instant that was
meant), datagrams from program to program on two hosts of ours, and, where network namespaces can be
had, the round trips that the machine's own ping(8) sees over a TAP device (10 ms each way). COUNT
of each are measured (default 500), at odd moments, so that no timer can be right by chance.
"""

import re
import statistics
import sys
import time
from functools import partial

import trio

import pystack
from pystack.core.rng import component_rng
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.runtime import network
from pystack.runtime.driver.alarm import DeadlineAlarm
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.wire.frame import Frame

DELAY_S = 0.01
WAYS = {
    "Trio's sleep": partial(RealtimeDriver, make_alarm=DeadlineAlarm, lead_s=0.0),
    "timer descriptor": partial(RealtimeDriver, lead_s=0.0),
    "and 150 us awake": RealtimeDriver,
}


def report(way: str, what: str, errors_s: list[float], busy_s: float, wall_s: float) -> None:
    """Print one line."""
    ordered = sorted(error * 1e6 for error in errors_s)
    p99 = ordered[int(len(ordered) * 0.99)]
    print(
        f"{way:17} {what:25} median {statistics.median(ordered):6.0f} us"
        f"   p99 {p99:6.0f} us   max {ordered[-1]:6.0f} us   processor {busy_s / wall_s:5.1%}",
        flush=True,
    )


async def frames(count: int) -> list[float]:
    """Return how late a link delivers frames."""
    driver = network.RealtimeDriver()
    config = PipeConfig.parse(delay=DELAY_S)
    link = Link(driver.scheduler, 1, "a-b", config, config)
    rng = component_rng(1, "gaps")
    errors: list[float] = []
    link.b.attach(lambda frame, when: errors.append(trio.current_time() - when))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        for _ in range(count):
            await trio.sleep(rng.uniform(0.004, 0.02))
            link.a.send(Frame(bytes(60)), driver.now())
        await trio.sleep(3 * DELAY_S)
        nursery.cancel_scope.cancel()
    return errors


async def datagrams(count: int) -> list[float]:
    """Return how much longer than the delay datagrams take, from program to program."""
    rng = component_rng(1, "gaps")
    errors: list[float] = []
    async with pystack.Network(seed=1) as net:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay=DELAY_S)
        sender, receiver = await a.open_udp_socket(), await b.open_udp_socket(7)
        await a.ping("b")
        for _ in range(count):
            await trio.sleep(rng.uniform(0.004, 0.02))
            start = trio.current_time()
            await sender.send_to(b"x", ("b", 7))
            await receiver.receive_from()
            errors.append(trio.current_time() - start - DELAY_S)
    return errors


async def pings(count: int) -> list[float]:
    """Return how much longer than twice the delay the kernel's pings take, over a TAP device."""
    async with pystack.Network(seed=1) as net:
        machine, host = net.namespace("machine"), net.host("host")
        net.link(machine, host, delay=DELAY_S)
        await machine.run(["ping", "-c", "1", "host"])
        done = await machine.run(["ping", "-n", "-i", "0.0133", "-c", str(count), host.address])
    found = re.findall(r"time=([\d.]+) ms", done.stdout)
    return [float(text) / 1e3 - 2 * DELAY_S for text in found]


def main() -> None:
    """Measure all ways, each in a run of Trio of its own."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    for way, make_driver in WAYS.items():
        network.RealtimeDriver = make_driver  # type: ignore[assignment,misc]
        for what, measure in (
            ("frame on a link", frames),
            ("datagram between programs", datagrams),
            ("kernel's ping over a TAP", pings),
        ):
            start, busy = time.perf_counter(), time.process_time()
            try:
                errors_s = trio.run(measure, count)
            except pystack.DeviceError as error:
                print(f"{way:17} {what:25} not measured: {error}")
                continue
            report(way, what, errors_s, time.process_time() - busy, time.perf_counter() - start)


if __name__ == "__main__":
    main()
