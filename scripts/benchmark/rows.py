"""The rows that have clients: what is measured over a network, in which unit, and for whom."""

import json
import re
import statistics
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from benchmark import ports, spaces, subjects
from benchmark.row import Figure, Row
from benchmark.subjects import BARE, KERNEL, PYSTACK, Subject, Subjects, load

PING_EVERY_S: Final = 0.005


def bulk(flows: int, *, up: bool, captured: bool = False) -> Row:
    """Return a row of bulk transfer; `captured`: while all frames are written to files."""
    way = "up" if up else "down"
    mode, port, bare = (way, ports.SINK, "read") if up else (way, ports.SOURCE, "write")

    def measure(all_subjects: Subjects, column: str, seconds: float) -> dict[str, float]:
        subject = all_subjects.get(column, bare, captured=captured)
        return load(mode, subject, port, flows, seconds)

    name = f"bulk-{way}" + (f"-{flows}" if flows > 1 else "") + "-captured" * captured
    title = f"bulk TCP {way}, {flows} flow{'s' * (flows > 1)}" + ", captured" * captured
    # The loop that writes knows of one flow only.
    others = () if captured else (*(BARE if up or flows == 1 else ()), *KERNEL)
    columns = (*PYSTACK, *others)
    return Row(name, columns, measure, (Figure(name, title, "Mbit/s", "per_s", 1e6),))


def watched(*, up: bool) -> Row:
    """Return a row of bulk transfer while somebody looks at the live page."""
    way, port = ("up", ports.SINK) if up else ("down", ports.SOURCE)

    def measure(all_subjects: Subjects, column: str, seconds: float) -> dict[str, float]:
        subject = all_subjects.get(column)
        argv = spaces.module("viewer", subject.address, ports.HTTP)
        with spaces.program(argv, subjects.CLIENT) as viewer:
            viewer.line()
            return load(way, subject, port, 1, seconds)

    name = f"bulk-{way}-watched"
    title = f"bulk TCP {way}, 1 flow, live page open"
    return Row(name, PYSTACK, measure, (Figure(name, title, "Mbit/s", "per_s", 1e6),))


def asked(mode: str, title: str, connections: int) -> Row:
    """Return a row of requests over TCP."""

    def measure(all_subjects: Subjects, column: str, seconds: float) -> dict[str, float]:
        return load(mode, all_subjects.get(column), ports.ECHO, connections, seconds)

    name = f"{mode}-{connections}"
    title = f"{title}, {connections} at once"
    return Row(name, (*PYSTACK, *KERNEL), measure, (Figure(name, title, "/s", "per_s"),))


def wrk(name: str, title: str, port: int, path: str) -> Row:
    """Return a row of HTTP requests on 16 kept connections."""

    def measure(all_subjects: Subjects, column: str, seconds: float) -> dict[str, float]:
        subject = all_subjects.get(column)
        url = f"http://{subject.address}:{port}{path}"
        time_s = max(1, round(seconds))
        argv = ["wrk", "-t1", "-c16", f"-d{time_s}s", url]
        busy_ns = subject.busy_ns()
        with spaces.program(argv, subjects.CLIENT) as running:
            said = running.rest()
        busy_s = (subject.busy_ns() - busy_ns) / 1e9
        found = re.search(r"Requests/sec:\s+([\d.]+)", said)
        failed = re.search(r"Socket errors.*|Non-2xx.*", said)
        if failed or not found:
            raise spaces.MeasureError(f"wrk: {failed[0] if failed else said}")
        per_s = float(found[1])
        count = re.search(r"(\d+) requests in", said)
        assert count is not None
        return {"per_s": per_s, "per_busy_s": int(count[1]) / busy_s, "busy": busy_s / time_s}

    return Row(name, PYSTACK, measure, (Figure(name, title, "/s", "per_s"),), needs=("wrk",))


def iperf3(way: str, *words: str) -> Row:
    """Return a row of what iperf3 itself says of our iperf3 service."""

    def measure(all_subjects: Subjects, column: str, seconds: float) -> dict[str, float]:
        subject = all_subjects.get(column)
        time_s = max(1, round(seconds))
        argv = ["iperf3", "-c", subject.address, "-J", "-t", str(time_s), *words]
        busy_ns = subject.busy_ns()
        with spaces.program(argv, subjects.CLIENT) as running:
            said = json.loads(running.rest())
        if "error" in said:
            raise spaces.MeasureError(f"iperf3: {said['error']}")
        received = said["end"]["sum_received"]
        busy_s = (subject.busy_ns() - busy_ns) / 1e9
        return {
            "per_s": received["bits_per_second"],
            "per_busy_s": received["bytes"] * 8 / busy_s,
            "busy": busy_s / time_s,
        }

    figure = Figure(f"iperf3-{way}", f"iperf3 {' '.join(words)}".strip(), "Mbit/s", "per_s", 1e6)
    return Row(figure.name, PYSTACK, measure, (figure,), needs=("iperf3",))


def udp(name: str, title: str, port: int, columns: Sequence[str]) -> Row:
    """Return a row of datagrams that come back."""

    def measure(all_subjects: Subjects, column: str, seconds: float) -> dict[str, float]:
        return load("udp", all_subjects.get(column, "answer"), port, 1, seconds)

    return Row(name, columns, measure, (Figure(name, title, "/s", "per_s"),))


def ping(name: str, title: str, mode: str = "", port: int = 0) -> Row:
    """Return a row of round trips, while nothing happens or during a bulk transfer."""

    def measure(all_subjects: Subjects, column: str, seconds: float) -> dict[str, float]:
        subject = all_subjects.get(column, "answer")
        with ExitStack() as until:
            if mode:
                argv = subjects.load_argv(mode, subject, port, 1, seconds + 1)
                until.enter_context(spaces.program(argv, subjects.CLIENT))
            return round_trips(subject, seconds)

    figures = (
        Figure(name, f"{title}: median", "us", "median_us", less_is_better=True),
        Figure(f"{name}-p99", f"{title}: p99", "us", "p99_us", less_is_better=True),
    )
    columns = (*PYSTACK, *(() if mode else BARE), *KERNEL)
    return Row(name, columns, measure, figures, needs=("ping",))


def round_trips(subject: Subject, seconds: float) -> dict[str, float]:
    """Ping for so long; return what ping(8) measured, in microseconds."""
    count = round(seconds / PING_EVERY_S)
    argv = ["ping", "-n", "-c", str(count), "-i", str(PING_EVERY_S), "-W", "1", subject.address]
    said = subprocess.run(argv, check=False, capture_output=True, text=True).stdout
    times = sorted(float(found) * 1e3 for found in re.findall(r"time=([\d.]+) ms", said))
    if len(times) < count / 2:
        raise spaces.MeasureError(f"only {len(times)} of {count} pings came back")
    return {
        "median_us": statistics.median(times),
        "p99_us": times[int(len(times) * 0.99)],
        "lost": count - len(times),
    }


def rows() -> list[Row]:
    """Return them in the order of the table."""
    return [
        *(bulk(flows, up=up) for up in (True, False) for flows in (1, 8)),
        *(bulk(1, up=up, captured=True) for up in (True, False)),
        *(watched(up=up) for up in (True, False)),
        iperf3("up"),
        iperf3("down", "-R"),
        *(asked("rr", "64 B request/response on kept connections", n) for n in (1, 16)),
        *(asked("crr", "connect, 64 B request/response, close", n) for n in (1, 16)),
        wrk("http", "HTTP by wrk, 16 connections, 12 B", ports.HTTP, "/bytes/12"),
        wrk("http-fixed", "the same, unparsed: a fixed answer", ports.FIXED, "/"),
        udp("udp-echo", "UDP echo 64 B, by a UdpSocket", ports.ECHO, subjects.COLUMNS),
        udp("udp-service", "UDP echo 64 B, by the echo service", ports.SERVICE, PYSTACK),
        ping("ping", "ping, idle"),
        ping("ping-up", "ping during bulk up", "up", ports.SINK),
        ping("ping-down", "ping during bulk down", "down", ports.SOURCE),
    ]
