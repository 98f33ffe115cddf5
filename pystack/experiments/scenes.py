"""Networks that experiments begin with: a dumbbell, and requests over a line.

Each is an async function of texts and numbers, as the files of experiments have them:
`run = "pystack.experiments:dumbbell"`. What they measure is the meter's (`measure = [...]`), and
what they return.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from pystack.core.errors import ConfigError
from pystack.core.rng import Random, component_rng
from pystack.core.units import parse_rate_bps, parse_size_bytes, parse_time_s
from pystack.experiments.measures.distribution import quantile
from pystack.experiments.scene_runs import capture_at, seed_of_scene
from pystack.link.words import NetemWords
from pystack.runtime.network import Network
from pystack.tcp.config import TcpConfig
from pystack.tcp.congestion.registry import CONTROLS
from pystack.topology.addressing import IpVersions

if TYPE_CHECKING:
    from pystack.experiments.model import Value
    from pystack.runtime.host import Host
    from pystack.runtime.streams import TcpStream
    from pystack.runtime.tcp_listener import TcpListener
    from pystack.tcp.congestion.registry import ControlLike

T = TypeVar("T")

PORT: Final = 5001
FRAME_BYTES: Final = 1514  # of a full segment, as a link counts: BDPs in packets are of these
_CHUNK: Final = memoryview(bytes(1 << 18))
_DATAGRAM: Final = bytes(1200)
_DATAGRAM_BITS: Final = (len(_DATAGRAM) + 42) * 8  # with the headers of UDP, IPv4, Ethernet


async def dumbbell(
    *,
    control: ControlLike = "cubic",
    controls: str | Sequence[ControlLike] | None = None,
    flows: int | None = None,
    rate: str | float = "10mbit",
    delay: str | float = "20ms",
    back_rate: str | float | None = None,
    access_delay: str | float | Sequence[str | float] = 0,
    limit: str | int = "1bdp",
    qdisc: str = "",
    loss: str | float = 0,
    drop: str = "",
    jitter: str | float = 0,
    overhead: int = 0,
    duration: str | float = "30s",
    starts: str | float | Sequence[str | float] = 0,
    spread: str | float = "100ms",
    size: str | float | Sequence[str | float] | None = None,
    reverse: int = 0,
    cross: str | float = 0,
    ecn: str | bool | None = None,
    buffer: str | float = "16mb",
    warmup: str | float = 0,
    ip: IpVersions = "4",
    tcp: TcpConfig | None = None,
    pcap: str = "",
    seed: int | None = None,
) -> dict[str, Value | None]:
    """Send by N flows through one bottleneck: left1..leftN - r1 - r2 - right1..rightN.

    Flow i goes from left i to right i. `flows`: how many; None: as many as there are `controls`
    ("bbr cubic", or a list, in which classes may be), access delays, starts or sizes, of which each
    is one for all or one for each.
    `rate`, `delay` (one way), `loss`, `drop` (a pattern: "..x"), `jitter`, `overhead`, `qdisc`
    ("fq_codel") and `limit` are of the bottleneck, all but `rate` and `delay` on the way from left
    to right alone; `back_rate`: the rate of the way back (None: the same). `limit` is in packets,
    or in products of rate and round trip ("1.5bdp") in full frames (of the shortest round trip
    where they differ); it is that of pfifo, or of `qdisc` where it is a number. `access_delay`: one
    way, of the link from left i to r1.
    Flow i begins at its start, and up to `spread` later, by chance; it sends `size` bytes and
    closes, or (None) until `duration`, when all ends. `reverse`: flows of the first control from
    right to left, between hosts of their own (back...), where the queue is the same then; `cross`:
    a constant rate of UDP from left to right (crossleft, crossright), in frames of 1242 bytes; 0:
    none. `ecn`: that of `TcpConfig` (True: "request"); `buffer`: send and receive buffers; `tcp`:
    all other settings.
    `pcap`: the whole path of a capture of the run. `seed`: None: that of the run in an experiment,
    also below another function, else 1.
    Returns `goodput_I_bps` of each flow, from `warmup` to the end. Raises ConfigError.
    """
    seed = seed_of_scene(seed)
    end_s, warm_s = parse_time_s(duration), parse_time_s(warmup)
    if warm_s >= end_s:
        raise ConfigError(f"a warm-up of {warmup!r} leaves nothing of a duration of {duration!r}")
    plans = _plans(control, controls, flows, access_delay, starts, size)
    plans = _at_chance(plans, parse_time_s(spread), component_rng(seed, "scenes/starts"))
    back = [
        replace(plans[0], sender=f"back{i}right", receiver=f"back{i}left", size=None, is_back=True)
        for i in range(1, _check_whole("reverse", reverse, 0) + 1)
    ]
    config = _config(tcp, ecn=ecn, buffer=buffer)
    queue = _bottleneck(rate, delay, min(plan.delay_s for plan in plans), limit, qdisc)
    forward: NetemWords = {**queue, **_chance(loss, jitter)}
    if drop:
        forward["drop"] = drop
    if overhead:
        forward["overhead"] = overhead
    async with Network(seed=seed, ip=ip) as net:
        capture_at(net, pcap)
        r1, r2 = net.router("r1"), net.router("r2")
        backward: NetemWords = queue if reverse else {"rate": rate, "delay": delay}
        if back_rate is not None:
            backward = {**backward, "rate": back_rate}
        net.link(r1, r2, a_to_b=forward, b_to_a=backward)
        if cross:
            await _cross(net, parse_rate_bps(cross))
        rates = await _carry(net, [*plans, *back], config, end_s, warm_s)
    return {f"goodput_{i}_bps": rates[plan.receiver] for i, plan in enumerate(plans, 1)}


async def request_response(
    *,
    rate: str | float = "10mbit",
    delay: str | float = "25ms",
    loss: str | float = 0,
    limit: str | int = "1bdp",
    qdisc: str = "",
    requests: int = 100,
    request: str | float = "200b",
    response: str | float = "10kb",
    think: str | float = "100ms",
    clients: int = 1,
    reuse: bool = True,
    control: str = "cubic",
    timeout: str | float = "60s",
    ip: IpVersions = "4",
    tcp: TcpConfig | None = None,
    pcap: str = "",
    seed: int | None = None,
) -> dict[str, Value | None]:
    """Let clients ask a server over a line for something, again and again, and time each answer.

    `requests`: of each client, one after the other, with exponentially distributed pauses of
    `think` on average. `reuse`: all over one connection; False: each over a new one, whose opening
    is timed too. `loss`: both ways. A request that takes longer than `timeout` has failed, and its
    connection is closed. `limit` and `qdisc`: as for `dumbbell`, at the server's end of the line;
    `pcap` and `seed`: as there.
    Returns the latencies' `latency_p50_s`, `_p90_s`, `_p99_s`, `_max_s`, `_mean_s` (None: nothing
    was answered), and how many were `answered` and `failed`. Raises ConfigError.
    """
    seed = seed_of_scene(seed)
    _check_whole("requests", requests, 1)
    _check_whole("clients", clients, 1)
    asked, answer = parse_size_bytes(request), parse_size_bytes(response)
    if not asked or not answer:
        raise ConfigError("a request and a response have a byte at least")
    think_s, timeout_s = parse_time_s(think), parse_time_s(timeout)
    both = _chance(loss, 0)
    down: NetemWords = {**_bottleneck(rate, delay, 0.0, limit, qdisc), **both}
    up: NetemWords = {"rate": rate, "delay": delay, **both}
    latencies: list[float] = []
    config = TcpConfig() if tcp is None else tcp
    CONTROLS.read(control)
    async with Network(seed=seed, ip=ip) as net:
        capture_at(net, pcap)
        server = net.host("server", tcp=config, congestion=control)
        router = net.router("router")
        net.link(server, router, a_to_b=down, b_to_a=up)
        hosts = [net.host(f"client{number}", tcp=config) for number in range(1, clients + 1)]
        for client in hosts:
            net.link(router, client)
        _introduce(net)
        await server.start(_answering, asked, answer)
        async with trio.open_nursery() as nursery:
            for client in hosts:
                exchange = _Exchange(client, asked, answer, timeout_s, latencies, reuse=reuse)
                nursery.start_soon(exchange.run, requests, think_s, seed)
    measures = _of_latencies(latencies)
    return measures | {"answered": len(latencies), "failed": requests * clients - len(latencies)}


def _of_latencies(latencies: Sequence[float]) -> dict[str, Value | None]:
    known = sorted(latencies)
    found: dict[str, Value | None] = {
        f"latency_{word}_s": quantile(known, part) if known else None
        for word, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    }
    found["latency_mean_s"] = math.fsum(known) / len(known) if known else None
    return found


@dataclass(frozen=True, slots=True)
class _Plan:
    """A flow."""

    sender: str
    receiver: str
    control: ControlLike
    start_s: float
    size: int | None  # None: endless
    delay_s: float
    is_back: bool = False  # from right to left


def _introduce(net: Network) -> None:
    """Let neighbours know each other's stations: no flow is to begin with ARP's round trip."""
    net.settle()
    for cable in net.topology.cables:
        for here, there in (
            (cable.a.interface, cable.b.interface),
            (cable.b.interface, cable.a.interface),
        ):
            if here is not None and there is not None and here.neighbors is not None:
                for own in there.addresses:
                    here.neighbors.heard(own.address, there.mac, net.now(), create=True)


def _plans(
    control: ControlLike,
    controls: str | Sequence[ControlLike] | None,
    flows: int | None,
    access_delay: str | float | Sequence[str | float],
    starts: str | float | Sequence[str | float],
    size: str | float | Sequence[str | float] | None,
) -> list[_Plan]:
    """Return what each flow does."""
    names: list[ControlLike] = [control]
    if isinstance(controls, str):
        names = [*_list("controls", controls, str)]
    elif controls is not None:  # classes may be among them
        names = [*controls]
        if not names:
            raise ConfigError("controls is empty: leave it out")
    delays = _list("access_delay", access_delay, parse_time_s)
    begins = _list("starts", starts, parse_time_s)
    sizes: Sequence[int | None] = _list("size", size, parse_size_bytes) or [None]
    most = max(len(names), len(delays), len(begins), len(sizes))
    count = most if flows is None else _check_whole("flows", flows, 1)
    names = _each("controls", names, count)
    for name in names:
        CONTROLS.read(name)
    delays = _each("access_delay", delays, count)
    begins, sizes = _each("starts", begins, count), _each("size", sizes, count)
    return [
        _Plan(f"left{i}", f"right{i}", *each)
        for i, each in enumerate(zip(names, begins, sizes, delays, strict=True), 1)
    ]


def _at_chance(plans: Sequence[_Plan], spread_s: float, chance: Random) -> list[_Plan]:
    """Return the plans, each with a start that is a bit later."""
    return [replace(plan, start_s=plan.start_s + chance.random() * spread_s) for plan in plans]


async def _carry(
    net: Network, plans: Sequence[_Plan], config: TcpConfig, end_s: float, warm_s: float
) -> dict[str, Value | None]:
    """Let all flows send, for so long; return what each receiver got, in bits a second."""
    received, before = dict.fromkeys((plan.receiver for plan in plans), 0), dict[str, int]()
    pairs: list[tuple[Host, Host]] = []
    for plan in plans:
        sender = net.host(plan.sender, tcp=config, congestion=plan.control)
        receiver = net.host(plan.receiver, tcp=config, congestion=plan.control)
        near, far = ("r2", "r1") if plan.is_back else ("r1", "r2")
        net.link(sender, near, delay=plan.delay_s or None)
        net.link(receiver, far)
        pairs.append((sender, receiver))
    _introduce(net)
    began_at = net.now()
    net.at(began_at + warm_s, lambda: before.update(received))
    with trio.move_on_after(end_s):
        async with trio.open_nursery() as nursery:
            for plan, ends in zip(plans, pairs, strict=True):
                nursery.start_soon(_flow, *ends, plan, received)
    time_s = net.now() - began_at - warm_s
    return {
        name: (total - before.get(name, 0)) * 8 / time_s if time_s > 0 else None
        for name, total in received.items()
    }


async def _flow(sender: Host, receiver: Host, plan: _Plan, received: dict[str, int]) -> None:
    (listener,) = await receiver.open_tcp_listeners(PORT)
    async with trio.open_nursery() as both:
        both.start_soon(_receive, listener, plan.receiver, received)
        await trio.sleep(plan.start_s)
        async with await sender.open_tcp_stream(plan.receiver, PORT) as stream:
            await _send(stream, plan.size)
            await stream.receive_some(1)  # until the receiver has closed: it has all then


async def _send(stream: TcpStream, size: int | None) -> None:
    left = math.inf if size is None else size
    while left > 0:
        chunk = _CHUNK if left >= len(_CHUNK) else _CHUNK[: int(left)]
        await stream.send_all(chunk)
        left -= len(chunk)
    await stream.send_eof()


async def _receive(listener: TcpListener, name: str, received: dict[str, int]) -> None:
    def count(data: bytes) -> None:
        received[name] += len(data)

    async with await listener.accept() as stream:
        await stream.receive_each(count, 1 << 20)


async def _drain(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    socket = trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM)
    await socket.bind(("::", PORT))
    task_status.started()
    while True:
        await socket.recvfrom(2048)


async def _cross(net: Network, bps: float) -> None:
    """Send datagrams at a constant rate from now on, between hosts of their own."""
    left, right = net.host("crossleft"), net.host("crossright")
    net.link(left, "r1")
    net.link(right, "r2")
    await right.start(_drain)
    left.start_soon(_send_at, bps)


async def _send_at(bps: float) -> None:
    """Send datagrams at a constant rate: each at its instant from the first."""
    info = await trio.socket.getaddrinfo("crossright", PORT, type=trio.socket.SOCK_DGRAM)
    family, kind, _, _, address = info[0]
    socket = trio.socket.socket(family, kind)
    began_at, number = trio.current_time(), 0
    while True:
        await socket.sendto(_DATAGRAM, address)
        number += 1
        await trio.sleep_until(began_at + number * _DATAGRAM_BITS / bps)


async def _answering(
    asked: int, answer: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    text = memoryview(bytes(answer))

    async def serve(stream: trio.SocketStream) -> None:
        try:
            while await _read(stream, asked):
                await stream.send_all(text)
        except trio.BrokenResourceError:
            pass  # the client has given up

    listeners = await trio.open_tcp_listeners(PORT)
    async with trio.open_nursery() as nursery:
        task_status.started()
        await trio.serve_listeners(serve, listeners, handler_nursery=nursery)


async def _read(stream: trio.abc.ReceiveStream, size: int) -> bool:
    """Read so many bytes; False: it has ended before."""
    while size:
        data = await stream.receive_some(size)
        if not data:
            return False
        size -= len(data)
    return True


@dataclass(slots=True)
class _Exchange:
    """One client's requests."""

    client: Host
    asked: int
    answer: int
    timeout_s: float
    latencies: list[float]
    reuse: bool
    stream: TcpStream | None = None  # None: not open

    async def run(self, requests: int, think_s: float, seed: int) -> None:
        """Ask so often."""
        chance = component_rng(seed, f"scenes/{self.client.name}")
        for _ in range(requests):
            await trio.sleep(chance.expovariate(1 / think_s) if think_s else 0.0)
            began_at = trio.current_time()
            try:
                with trio.fail_after(self.timeout_s):
                    answered = await self._ask()
            except (trio.TooSlowError, OSError, trio.BrokenResourceError):
                answered = False
            if answered:
                self.latencies.append(trio.current_time() - began_at)
            if self.stream is not None and not (answered and self.reuse):
                await trio.aclose_forcefully(self.stream) if not answered else (
                    await self.stream.aclose()
                )
                self.stream = None
        if self.stream is not None:
            await self.stream.aclose()

    async def _ask(self) -> bool:
        if self.stream is None:
            self.stream = await self.client.open_tcp_stream("server", PORT)
        await self.stream.send_all(bytes(self.asked))
        return await _read(self.stream, self.answer)


def _config(tcp: TcpConfig | None, *, ecn: str | bool | None, buffer: str | float) -> TcpConfig:
    config = TcpConfig() if tcp is None else tcp
    size = parse_size_bytes(buffer)
    config = replace(
        config,
        send_buffer_bytes=size,
        receive_buffer_bytes=size,
        send_buffer_max_bytes=size,
        receive_buffer_max_bytes=size,
    )
    if ecn is None:
        return config
    return replace(config, ecn={True: "request", False: "off"}.get(ecn, ecn))  # type: ignore[arg-type]


def _bottleneck(
    rate: str | float, delay: str | float, access_s: float, limit: str | int, qdisc: str
) -> NetemWords:
    """Return the words of the bottleneck, with its limit in packets."""
    words: NetemWords = {"rate": rate, "delay": delay}
    packets = _packets(limit, parse_rate_bps(rate), 2 * (parse_time_s(delay) + access_s))
    if not qdisc:
        words["limit"] = packets
    elif not isinstance(limit, str) or limit.strip().isdigit():
        words["qdisc"] = f"{qdisc} limit {packets}"
    else:
        words["qdisc"] = qdisc
    return words


def _packets(limit: str | int, rate_bps: float, round_trip_s: float) -> int:
    """Return a limit in packets, 1 or more."""
    if isinstance(limit, str):
        text = limit.strip().lower()
        if text.isdigit():
            return _check_whole("limit", int(text), 1)
        try:
            products = float(text.removesuffix("bdp")) if text.endswith("bdp") else math.nan
        except ValueError:
            products = math.nan
        if not 0 < products < math.inf:
            raise ConfigError(
                f"a limit is a number of packets or of products of rate and delay ('50', "
                f"'1.5bdp'), not {limit!r}"
            )
        return max(round(products * rate_bps * round_trip_s / 8 / FRAME_BYTES), 1)
    return _check_whole("limit", limit, 1)


def _chance(loss: str | float, jitter: str | float) -> NetemWords:
    words: NetemWords = {}
    if loss:
        words["loss"] = loss
    if jitter:
        words["jitter"] = jitter
    return words


def _list(
    name: str, value: str | float | Sequence[str | float] | None, read: Callable[[str | float], T]
) -> list[T]:
    """Return the values of a list, or of a text with several; [] for None."""
    if value is None:
        return []
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    elif not isinstance(value, list | tuple):
        value = [value]  # type: ignore[list-item]
    if not value:
        raise ConfigError(f"{name} is empty: leave it out")
    return [read(one) for one in value]


def _each(name: str, values: Sequence[T], count: int) -> list[T]:
    """Return one for each flow."""
    if len(values) not in (1, count):
        raise ConfigError(
            f"{len(values)} values of {name} are not for {count} flows: give one for all, or one "
            "for each"
        )
    return [*values] * (count if len(values) == 1 else 1)


def _check_whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} is {value!r}: it must be a whole number, {least} or more")
    return value
