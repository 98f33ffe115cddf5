"""What a router says of its link's MTU holds for all that is of IPv6, not for IPv4."""

import pytest
import stack_bench
from stack_bench6 import PEER, Bench6

from pystack.core.addresses import UNSPECIFIED, UNSPECIFIED6
from pystack.stack.udp_socket import PMTU_DO, DatagramFields


def bench_with_mtu6(mtu_bytes: int) -> Bench6:
    bench = Bench6()
    bench.know()
    bench.know_peer()
    bench.interface.mtu6_bytes = mtu_bytes
    bench.host.routes.forget()
    return bench


@pytest.mark.rfc("4861", "6.3.4")
def test_datagrams_that_are_larger_go_in_fragments() -> None:
    bench = bench_with_mtu6(1300)
    socket = bench.host.udp.bind(UNSPECIFIED6, 5000)
    socket.send_to(bytes(1400), PEER, 7, 0.0)
    assert [len(packet.raw) for packet in bench.taken6()] == [1296, 208]


def test_who_forbids_fragments_is_told_of_it() -> None:
    bench = bench_with_mtu6(1300)
    socket = bench.host.udp.bind(UNSPECIFIED6, 5000)
    fields = DatagramFields(mtu_discover=PMTU_DO)
    socket.send_to(bytes(1252), PEER, 7, 0.0, fields)
    with pytest.raises(OSError, match="too long"):
        socket.send_to(bytes(1253), PEER, 7, 0.0, fields)


def test_datagrams_of_ipv4_have_the_whole_link() -> None:
    bench = bench_with_mtu6(1300)
    socket = bench.host.udp.bind(UNSPECIFIED, 5000)
    socket.send_to(bytes(1472), stack_bench.PEER, 7, 0.0)
    assert [len(frame) for frame in bench.taken()] == [1514]
