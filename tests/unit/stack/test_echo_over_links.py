"""Two hosts and a link: datagrams of every size there and back."""

import pytest

from pystack.core.addresses import Ip4, Mac, parse_interface_address, parse_ip4
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.stack.host import Host

A, B = parse_ip4("10.0.0.1"), parse_ip4("10.0.0.2")


def two_hosts(scheduler: Scheduler, mtu_bytes: int) -> tuple[Host, Host]:
    both = PipeConfig(delay_s=0.01)
    link = Link(scheduler, 1, "link", both, both, mtu_bytes=mtu_bytes)
    hosts = []
    for number, port in enumerate(link.ports, 1):
        host = Host(f"h{number}", scheduler, seed=1)
        mac = Mac(bytes((2, 0, 0, 0, 0, number)))
        host.add_interface("eth0", port, *parse_interface_address(f"10.0.0.{number}/24"), mac)
        hosts.append(host)
    return hosts[0], hosts[1]


def serve_echo(host: Host) -> None:
    server = host.udp.bind(B, 7)

    def echo() -> None:
        datagram = server.receive()
        assert datagram is not None
        payload, src, port = datagram
        server.send_to(payload, src, port, host.scheduler.now)

    server.on_readable = echo


@pytest.mark.parametrize("mtu", [576, 1500, 65535])
@pytest.mark.parametrize("size", [0, 1, 548, 549, 1472, 1473, 65507])
def test_a_datagram_of_any_size_is_echoed_at_the_first_try(mtu: int, size: int) -> None:
    scheduler = Scheduler()
    client_host, server_host = two_hosts(scheduler, mtu)
    serve_echo(server_host)
    payload = bytes(at * 31 & 0xFF for at in range(size))
    client = client_host.udp.bind(A, 0)
    client.send_to(payload, B, 7, 0.0)
    scheduler.run_due(0.1)
    assert client.receive() == (payload, B, 7)
    assert len(client_host.reassembly) == len(server_host.reassembly) == 0


@pytest.mark.parametrize("size", [0, 1472, 1473, 65000, 65507])
def test_a_ping_of_any_size_is_answered(size: int) -> None:
    scheduler = Scheduler()
    client, _ = two_hosts(scheduler, 1500)
    answers: list[tuple[float, int]] = []
    client.icmp.echo_sinks[1] = lambda message, _src, _ttl, now: answers.append(
        (now, len(message.payload))
    )
    client.icmp.send_echo(Ip4(B), 1, 1, bytes(size), 0.0)
    scheduler.run_due(1.0)
    # 20 ms to find the neighbour, 20 ms there and back; the server has learned from the question.
    assert answers == [(pytest.approx(0.04), size)]
