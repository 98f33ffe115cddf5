"""The calls that look: at hosts, connections, routes, neighbours, counters and links.

Answers are of what JSON has; times in seconds, sizes in bytes, as their names say. What may be long
is cut: the answer says how much there is, and where to go on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from enum import Enum
from heapq import nlargest
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import format_mac, is_v6
from pystack.runtime.control.world import KERNEL
from pystack.runtime.names.zones import format_on
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.info import TcpInfo
from pystack.tcp.tcb import Timer

if TYPE_CHECKING:
    from pystack.link.pipe import Pipe
    from pystack.runtime.control.table import Given, Json
    from pystack.runtime.control.world import Joined, World
    from pystack.runtime.host import Host
    from pystack.stack.interface import Interface, InterfaceAddress

DEFAULT_LIMIT: Final = 100
MOST_ROWS: Final = 1000

_TIMERS: Final[Mapping[str, int]] = {
    "retransmit": Timer.RETRANSMIT,
    "persist": Timer.PERSIST,
    "delayed_ack": Timer.DELAYED_ACK,
    "time_wait": Timer.TIME_WAIT,
    "loss": Timer.LOSS,
    "pacing": Timer.PACING,
    "keepalive": Timer.KEEPALIVE,
    "cork": Timer.CORK,
}
# Of `TcpInfo`, what `ss -ti` shows; all of it with `detail`
_BRIEF: Final = (
    "congestion",
    "srtt_s",
    "rttvar_s",
    "min_rtt_s",
    "rto_s",
    "cwnd_bytes",
    "ssthresh_bytes",
    "flight_size_bytes",
    "snd_wnd_bytes",
    "rcv_wnd_bytes",
    "snd_mss_bytes",
    "rcv_mss_bytes",
    "segments_sent",
    "segments_received",
    "bytes_sent",
    "bytes_acked",
    "bytes_received",
    "retransmits",
    "bytes_retransmitted",
    "loss_state",
    "delivery_rate_bps",
    "pacing_bps",
)
_ALL: Final = tuple(field.name for field in fields(TcpInfo) if field.name != "state")
ORDERS: Final[Mapping[str, Callable[[TcpSocket], float]]] = {
    "active": lambda socket: socket.connection.tcb.heard_at,
    "bytes": lambda socket: socket.connection.bytes_received + socket.connection.bytes_acked,
    "retransmits": lambda socket: socket.connection.retransmits,
}


def info(world: World, _given: Given) -> Json:
    """Return what runs here."""
    net, driver = world.network, world.driver
    some = next(iter(world.hosts.values()), None)
    return {
        # By its name, for the package stands above this layer
        "version": import_module("pystack").__version__,
        "kind": "host" if net is None else "network",
        "process": os.getpid(),
        "at": driver.now(),
        "virtual": driver.is_virtual,
        "paused": driver.paused,
        "seed": some.seed if net is None and some is not None else getattr(net, "seed", None),
        "may_change": world.may_change,
        "hosts": len(world.hosts),
        "links": sum(1 for _ in world.links()),
        "connections": sum(len(host.tcp.sockets) for host in world.hosts.values()),
        "captures": sorted(world.captures),
        "control": dict(sorted(world.counters.items())),
    }


def hosts(world: World, _given: Given) -> Json:
    """Return the hosts, with their addresses."""
    return [
        {
            "name": host.name,
            "kind": "router" if host.stack.forwarding else "host",
            "powered": host.stack.powered,
            "addresses": list(host.addresses),
            "connections": len(host.tcp.sockets),
            "listening": len(host.tcp.listeners.by_port),
        }
        for host in world.hosts.values()
    ]


def ss(world: World, given: Given) -> Json:
    """Return connections, as ss(8) -ti shows them."""
    limit, offset = given.get("limit", DEFAULT_LIMIT), given.get("offset", 0)
    state, port, order = given.get("state"), given.get("port"), given.get("order", "oldest")
    chosen = [
        (host, socket)
        for host in world.chosen_hosts(given.get("host"))
        for socket in host.tcp
        if _is_meant(socket, state, port)
    ]
    if order in ORDERS:
        key = ORDERS[order]
        ordered = nlargest(offset + limit, chosen, lambda pair: key(pair[1]))[offset:]
    else:
        ordered = list(islice(reversed(chosen) if order == "newest" else chosen, offset, None))
    shown = ordered[:limit]
    names = _ALL if given.get("detail") else _BRIEF
    now = world.driver.now()
    is_more = len(chosen) > offset + len(shown)
    return {
        "at": now,
        "total": len(chosen),
        "next": offset + len(shown) if is_more else None,
        "time_wait": sum(
            len(host.tcp.time_waits.records) for host in world.chosen_hosts(given.get("host"))
        ),
        "connections": [_connection(host, socket, names, now) for host, socket in shown],
    }


def listening(world: World, given: Given) -> Json:
    """Return who waits: listeners of TCP, and sockets of UDP."""
    found: list[Json] = []
    for host in world.chosen_hosts(given.get("host")):
        found.extend(_listeners(host))
        found.extend(_datagram_sockets(host))
    return _cut(found, given)


def routes(world: World, given: Given) -> Json:
    """Return routing tables, as ip-route(8) shows them."""
    return _cut(
        [
            {
                "host": host.name,
                "destination": "default" if route.prefix.length == 0 else str(route.prefix),
                "version": 6 if route.prefix.is_v6 else 4,
                "gateway": None if route.gateway is None else format_on(host.stack, route.gateway),
                "interface": route.interface.name,
                "source": format_on(host.stack, route.source),
            }
            for host in world.chosen_hosts(given.get("host"))
            for route in host.routes
        ],
        given,
    )


def neighbors(world: World, given: Given) -> Json:
    """Return neighbour tables, as ip-neighbour(8) shows them."""
    now = world.driver.now()
    return _cut(
        [
            {
                "host": host.name,
                "interface": interface.name,
                "address": format_on(host.stack, entry.address),
                "mac": None if entry.mac is None else format_mac(entry.mac),
                "state": entry.state.value,
                "router": entry.is_router,
                "waiting": len(entry.held),
            }
            for host in world.chosen_hosts(given.get("host"))
            for interface in host.interfaces
            if interface.neighbors is not None
            for entry in interface.neighbors.entries(now)
        ],
        given,
    )


def addresses(world: World, given: Given) -> Json:
    """Return interfaces with their addresses, as ip-address(8) shows them."""
    now = world.driver.now()
    return [
        {
            "host": host.name,
            "interface": interface.name,
            "mac": None if interface.neighbors is None else format_mac(interface.mac),
            "mtu_bytes": interface.mtu_bytes,
            "addresses": [_address(host, own, now) for own in interface.addresses],
        }
        for host in world.chosen_hosts(given.get("host"))
        for interface in host.interfaces
    ]


def counters(world: World, given: Given) -> Json:
    """Return what was counted, by hosts, their devices, and links; explained, where asked for."""
    name = given.get("host")
    chosen = world.chosen_hosts(name)
    by_host = {host.name: dict(sorted(host.counters.items())) for host in chosen}
    devices = {
        f"{host.name}/{interface.name}": counted
        for host in chosen
        for interface in host.interfaces
        if (counted := _of_port(interface))
    }
    links: dict[str, dict[str, int]] = {}
    if name is None:
        links = {one.link.name: dict(sorted(one.link.counters.items())) for one in world.links()}
    answer: dict[str, Json] = {"hosts": by_host, "devices": devices, "links": links}
    if given.get("explain"):
        names = {name for part in (by_host, devices, links) for of in part.values() for name in of}
        known = world.explanations
        answer["explanations"] = {
            name: {"sentence": known[name].sentence, "source": known[name].source}
            for name in sorted(names)
            if name in known
        }
    return answer


def links(world: World, _given: Given) -> Json:
    """Return the links: how each direction behaves, what waits, and what was counted."""
    rows: list[Json] = [link_row(joined) for joined in world.links()]
    if name := world.possible_link:
        idle: Json = {"words": {}, "down": False, "waiting": 0, "counters": {}}
        ends: dict[str, Json] = {"a": next(iter(world.hosts)), "b": KERNEL}
        rows.append({"name": name, **ends, "mtu_bytes": None, "a_to_b": idle, "b_to_a": idle})
    return rows


def link_row(joined: Joined) -> dict[str, Json]:
    """Return what is told of one link."""
    link = joined.link
    return {
        "name": link.name,
        "a": joined.a,
        "b": joined.b,
        "mtu_bytes": link.mtu_bytes,
        "a_to_b": _pipe(link.a_to_b),
        "b_to_a": _pipe(link.b_to_a),
    }


def _pipe(pipe: Pipe) -> dict[str, Json]:
    from pystack.link.said import words_of  # the emulator is there only where there are links

    return {
        "words": words_of(pipe.config),
        "down": pipe.is_down,
        "waiting": pipe.waiting(),
        "counters": dict(sorted(pipe.counters.items())),
    }


def _listeners(host: Host) -> Iterator[Json]:
    for listeners in host.tcp.listeners.by_port.values():
        for listener in listeners:
            yield {
                "host": host.name,
                "protocol": "tcp",
                "local_address": format_on(host.stack, listener.local),
                "local_port": listener.local_port,
                "recv_q": len(listener.ready),
                "send_q": listener.backlog,
                "half_open": len(listener.half_open),
            }


def _datagram_sockets(host: Host) -> Iterator[Json]:
    stack = host.stack
    for sockets in stack.udp.sockets.values():
        for udp in sockets:
            remote = udp.remote
            yield {
                "host": host.name,
                "protocol": "udp",
                "local_address": format_on(stack, udp.local),
                "local_port": udp.local_port,
                "remote_address": None if remote is None else format_on(stack, remote[0]),
                "remote_port": None if remote is None else remote[1],
                "recv_q": udp.queued_bytes,
                "dropped": udp.dropped,
            }


def _is_meant(socket: TcpSocket, state: str | None, port: int | None) -> bool:
    connection = socket.connection
    return (state is None or connection.state.value == state) and (
        port is None or port in (connection.local_port, connection.remote_port)
    )


def _connection(host: Host, socket: TcpSocket, names: Iterable[str], now: float) -> dict[str, Json]:
    connection = socket.connection
    snapshot = connection.info()
    stack, timers = host.stack, connection.tcb.timers
    row: dict[str, Json] = {
        "host": host.name,
        "state": snapshot.state.value,
        "local_address": format_on(stack, socket.local),
        "local_port": connection.local_port,
        "remote_address": format_on(stack, socket.remote),
        "remote_port": connection.remote_port,
        "recv_q_bytes": snapshot.readable_bytes,
        "send_q_bytes": snapshot.flight_size_bytes + snapshot.not_sent_bytes,
        "limited_by": limited_by(snapshot),
        "timers_s": {
            name: round(max(timers[index] - now, 0.0), 6)
            for name, index in _TIMERS.items()
            if timers[index] < math.inf
        },
    }
    for name in names:
        row[name] = _plain(getattr(snapshot, name))
    return row


def limited_by(snapshot: TcpInfo) -> str:
    """Return what keeps a connection from sending more just now.

    "app": its program gives no more; "rwnd": the peer's window; "cwnd": congestion control;
    "pacing": the rate at which it may send.
    """
    if not snapshot.not_sent_bytes:
        return "app"
    room = snapshot.snd_mss_bytes
    if snapshot.snd_wnd_bytes - snapshot.flight_size_bytes < room:
        is_least = snapshot.snd_wnd_bytes <= snapshot.cwnd_bytes
        return "rwnd" if is_least else "cwnd"
    if snapshot.cwnd_bytes - snapshot.pipe_bytes < room:
        return "cwnd"
    return "app" if snapshot.pacing_bps is None else "pacing"


def _address(host: Host, own: InterfaceAddress, now: float) -> dict[str, Json]:
    lasts = own.valid_until - now
    return {
        "address": format_on(host.stack, own.address),
        "prefix_length": own.prefix.length,
        "version": 6 if is_v6(own.address) else 4,
        "state": own.state.value,
        "temporary": own.is_temporary,
        "valid_s": round(lasts, 3) if lasts < math.inf else None,
    }


def _of_port(interface: Interface) -> dict[str, int]:
    """Return what the device counted, below the host."""
    counted = getattr(interface.port, "counters", None)
    return dict(sorted(counted.items())) if isinstance(counted, Mapping) else {}


def _cut(rows: list[Json], given: Given) -> dict[str, Json]:
    """Return as many rows as were asked for, how many there are, and where to go on."""
    limit, offset = given.get("limit", DEFAULT_LIMIT), given.get("offset", 0)
    shown = rows[offset : offset + limit]
    is_more = len(rows) > offset + len(shown)
    return {
        "rows": shown,
        "total": len(rows),
        "next": offset + len(shown) if is_more else None,
    }


def _plain(value: object) -> Json:
    """Return a value as JSON has it: no infinity, no Enum."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Enum):
        return str(value.value)
    assert value is None or isinstance(value, str | int)
    return value
