"""Values out of range: one kind of error, ConfigError (a ValueError), wherever they are given."""

import errno
import math
from collections.abc import Callable
from typing import Any

import pytest

import pystack
from pystack.core.errors import ConfigError

# Of a host, a stream and a socket for datagrams
Call = Callable[[pystack.Host, pystack.TcpStream, pystack.UdpSocket], Any]

WRONG: dict[str, Call] = {
    "linger": lambda a, s, u: s.set_linger(-3),
    "linger nan": lambda a, s, u: s.set_linger(math.nan),
    "linger text": lambda a, s, u: s.set_linger("3"),  # type: ignore[arg-type]
    "dscp": lambda a, s, u: s.set_diffserv(64),
    "dscp text": lambda a, s, u: s.set_diffserv("x"),  # type: ignore[arg-type]
    "ttl": lambda a, s, u: s.set_ttl(0),
    "ttl above": lambda a, s, u: s.set_ttl(256),
    "keepalive": lambda a, s, u: s.set_keepalive(idle_s=-1),
    "keepalive interval": lambda a, s, u: s.set_keepalive(idle_s=1, interval_s=0),
    "keepalive probes": lambda a, s, u: s.set_keepalive(idle_s=1, probes=0),
    "user timeout": lambda a, s, u: s.set_user_timeout(-3),
    "unsent limit": lambda a, s, u: s.set_unsent_limit(0),
    "receive": lambda a, s, u: s.receive_some(0),
    "receive below": lambda a, s, u: s.receive_some(-1),
    "port": lambda a, s, u: a.open_tcp_stream("b", 70000),
    "port below": lambda a, s, u: a.open_tcp_stream("b", -1),
    "port text": lambda a, s, u: a.open_tcp_stream("b", "80"),  # type: ignore[arg-type]
    "local port": lambda a, s, u: a.open_tcp_stream("b", 80, local_port=70000),
    "congestion": lambda a, s, u: a.open_tcp_stream("b", 80, congestion="fixed:0"),
    "listener": lambda a, s, u: a.open_tcp_listeners(70000),
    "backlog": lambda a, s, u: a.open_tcp_listeners(81, backlog=-1),
    "datagrams": lambda a, s, u: a.open_udp_socket(-1),
    "send to": lambda a, s, u: u.send_to(b"x", ("b", 70000)),
    "send to 0": lambda a, s, u: u.send_to(b"x", ("b", 0)),
    "ping": lambda a, s, u: a.ping("b", payload_bytes=70000),
    "ping below": lambda a, s, u: a.ping("b", payload_bytes=-1),
    "ping time": lambda a, s, u: a.ping("b", timeout_s=-1),
    "ping never": lambda a, s, u: a.ping("b", timeout_s=math.nan),
    "traceroute": lambda a, s, u: a.traceroute("b", max_hops=0),
    "traceroute far": lambda a, s, u: a.traceroute("b", max_hops=300),
    "traceroute time": lambda a, s, u: a.traceroute("b", timeout_s=-1),
    "grace": lambda a, s, u: a.close_connections(-1),
    "iperf3 port": lambda a, s, u: a.iperf3("b", port=70000),
    "iperf3 interval": lambda a, s, u: a.iperf3("b", interval_s=-1),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_out_of_range_is_a_config_error_and_changes_nothing(name: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b)
            (listener,) = await b.open_tcp_listeners(80)
            stream = await a.open_tcp_stream("b", 80)
            there = await listener.accept()
            before = a.counters["tcp_segments_out"]
            socket = await a.open_udp_socket()

            async def call() -> None:
                called = WRONG[name](a, stream, socket)
                if hasattr(called, "__await__"):
                    await called

            with pytest.raises(ConfigError) as caught:
                await call()
            assert isinstance(caught.value, ValueError)
            assert "\n" not in str(caught.value)
            if "port" in name and "iperf3" not in name:  # as sockets have it, too
                assert isinstance(caught.value, OSError)
                assert caught.value.errno == errno.EINVAL
            assert a.counters["tcp_segments_out"] == before
            await stream.send_all(b"as before")
            assert await there.receive_some() == b"as before"

    pystack.run(main)
