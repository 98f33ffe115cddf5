"""RFC 9293 sections 3.9.1.9 and 3.9.2: Diffserv, TTL and the options of the IP header."""

import errno
import socket as os_socket

import pytest
import trio
from script import pattern
from stack_bench import FAR, GATEWAY, HERE, OTHER_MAC, PEER, arp_frame, frame_of
from tcp_bench import ANY, PEER_ISS, TcpBench, make

import pystack
from pystack.core.addresses import Ip4, parse_ip4
from pystack.core.errors import ConfigError
from pystack.observe.observer import FrameSeen
from pystack.stack import tcp_socket
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.config import TcpConfig
from pystack.tcp.states import TcpState
from pystack.wire import arp, icmp, ipv4, tcp
from pystack.wire.ip_options import SourceRoute, find_source_route, pack_source_route
from pystack.wire.packet import Packet

FIRST, SECOND, THIRD = (parse_ip4(f"10.0.0.{number}") for number in (21, 22, 23))
AF11 = 0x28  # a Diffserv field, in its place


def opened(bench: TcpBench, route: SourceRoute | None = None) -> tuple[TcpSocket, Packet]:
    """Open a connection to PEER; return it and its SYN."""
    for station in (FIRST, SECOND, THIRD):
        bench.know_peer(station)
    now = bench.scheduler.now
    socket = bench.table.connect(PEER, 80, now, local_port=4000, source_route=route)
    bench.table.pump(socket, now)
    (syn,) = packets(bench)
    bench.segment(tcp.SYN | tcp.ACK, ports=(80, 4000), ack=segment_of(syn).seq + 1, mss=1460)
    assert socket.connection.state is TcpState.ESTABLISHED
    return socket, syn


def packets(bench: TcpBench) -> list[Packet]:
    """Return the IP packets sent since the last time, checked by our own reader."""
    return [
        ipv4.parse(memoryview(frame.data)[14:])
        for frame in bench.taken()
        if frame.data[12:14] == b"\x08\x00"
    ]


def segment_of(packet: Packet) -> tcp.Segment:
    """Read a segment; its checksum is over the last destination of a source route."""
    first, route = packet.dst, find_source_route(packet.options)
    if route is not None:
        packet.dst = route.hops[-1]
    segment = tcp.parse(packet)
    packet.dst = first
    return segment


def options_of(option: str) -> bytes:
    data = bytes.fromhex(option)
    return data + bytes(-len(data) % 4)


def arrive(bench: TcpBench, flags: int, options: bytes, *, seq: int, ack: int = 0) -> None:
    """Let a segment of PEER arrive whose IP header has options."""
    segment = make(flags, (5000, 80), seq, ack, 65535, b"", None, PEER)[ipv4.HEADER_BYTES :]
    header = ipv4.pack_header(PEER, HERE, ipv4.TCP, len(segment), options=options)
    bench.arrive(frame_of(header + segment), at=bench.scheduler.now)


def completed(*stations: Ip4, kind: int = 131) -> bytes:
    """Return the option of a packet that has come by these stations."""
    data = b"".join(station.to_bytes(4, "big") for station in stations)
    return bytes((1, kind, 3 + len(data), 4 + len(data))) + data


# Diffserv and TTL


@pytest.mark.rfc("9293", "MUST-48")
@pytest.mark.rfc("9293", "SHLD-21")
@pytest.mark.rfc("9293", "SHLD-22")
def test_the_diffserv_field_is_the_users_and_may_change(bench: TcpBench) -> None:
    socket, syn = opened(bench)
    socket.connection.tcb.no_delay = True
    sent = [syn, *packets(bench)]
    for tos in (AF11, 0xB8, 0):
        tcp_socket.set_tos(socket, tos)
        bench.table.write(socket, memoryview(b"x"), bench.scheduler.now)
        (packet,) = packets(bench)
        assert packet.tos & 0xFC == tos
    assert {packet.tos & 0xFC for packet in sent} == {0}


@pytest.mark.rfc("9293", "MUST-48")
def test_the_diffserv_field_leaves_ecn_its_two_bits(bench: TcpBench) -> None:
    socket, _ = opened(bench)
    bench.taken()
    tcp_socket.set_tos(socket, AF11 | 0x03)
    bench.table.write(socket, memoryview(b"x"), bench.scheduler.now)
    (packet,) = packets(bench)
    assert packet.tos == AF11  # no ECN was agreed on


@pytest.mark.rfc("9293", "MUST-49")
def test_the_ttl_is_the_hosts_or_the_connections(bench: TcpBench) -> None:
    bench.table.config = TcpConfig(ttl=17)
    socket, syn = opened(bench)
    bench.taken()
    tcp_socket.set_ttl(socket, 255)
    bench.table.write(socket, memoryview(b"x"), bench.scheduler.now)
    (packet,) = packets(bench)
    assert (syn.ttl, packet.ttl) == (17, 255)
    for ttl in (0, 256, -1):
        with pytest.raises(OSError, match="TTL"):
            tcp_socket.set_ttl(socket, ttl)
        with pytest.raises(ConfigError, match="ttl"):
            TcpConfig(ttl=ttl)


@pytest.mark.rfc("9293", "MUST-48")
@pytest.mark.rfc("9293", "MUST-49")
def test_a_held_segment_has_its_fields_too(bench: TcpBench) -> None:
    bench.host.set_gateway(GATEWAY)
    bench.table.config = TcpConfig(ttl=17)
    socket = bench.table.connect(FAR, 80, 0.0)
    tcp_socket.set_tos(socket, AF11)
    bench.table.pump(socket, 0.0)  # the gateway is not known yet
    bench.taken()
    bench.arrive(arp_frame(arp.REPLY, OTHER_MAC, GATEWAY, HERE, bench.interface.mac))
    (syn,) = packets(bench)
    assert (syn.ttl, syn.tos) == (17, AF11)


@pytest.mark.rfc("9293", "MUST-48")
@pytest.mark.rfc("9293", "MUST-49")
@pytest.mark.rfc("9293", "SHLD-21")
def test_streams_and_sockets_have_them_as_options() -> None:
    seen: list[tuple[int, int]] = []

    class Watch:
        def on_event(self, event: object) -> None:
            if isinstance(event, FrameSeen) and event.sent:
                data = event.frame.data
                if data[12:14] == b"\x08\x00" and len(event.frame.data) > 14 + 20 + 20 + 20:
                    seen.append((data[15], data[22]))

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server)
            await server.open_tcp_listeners(80)
            client.stack.observers.append(Watch())
            stream = await client.open_tcp_stream("server", 80)
            stream.set_diffserv(10)
            stream.set_ttl(9)
            await stream.send_all(bytes(100))
            with pytest.raises(ValueError, match="Diffserv"):
                stream.set_diffserv(64)

            async def program() -> None:
                with trio.socket.socket() as opened:
                    opened.setsockopt(os_socket.IPPROTO_IP, os_socket.IP_TOS, AF11 | 1)
                    await opened.connect(("server", 80))
                    opened.setsockopt(os_socket.IPPROTO_IP, os_socket.IP_TTL, 33)
                    assert opened.getsockopt(os_socket.IPPROTO_IP, os_socket.IP_TTL) == 33
                    assert opened.getsockopt(os_socket.IPPROTO_IP, os_socket.IP_TOS) == AF11
                    await opened.send(bytes(100))

            await client.run(program)

    pystack.run(main)
    assert (AF11, 9) in seen
    assert (AF11, 33) in seen


# options


@pytest.mark.rfc("9293", "MUST-50")
@pytest.mark.parametrize(
    "option",
    [
        "01010101",
        "440c0501" + "00" * 8,  # timestamp
        "070b04" + "00" * 8,  # record route
        "94040000",  # router alert
        "86060000",  # of a length that cannot be
        "ff00",  # a length of 0 would never end
        "8303",  # a source route cut short, and malformed ones
        "830304",
        "830701" + "0a000015",
        "830805" + "0a00001500",
        "8907ff" + "0a000015",
    ],
)
def test_options_that_tcp_does_not_understand_are_ignored(option: str, bench: TcpBench) -> None:
    bench.host.accepts_source_routes = True
    bench.table.listen(ANY, 80)
    arrive(bench, tcp.SYN, options_of(option), seq=PEER_ISS)
    (syn_ack,) = packets(bench)
    assert syn_ack.header_bytes == ipv4.HEADER_BYTES
    arrive(bench, tcp.ACK, options_of(option), seq=PEER_ISS + 1, ack=segment_of(syn_ack).seq + 1)
    (socket,) = bench.table
    assert socket.connection.state is TcpState.ESTABLISHED


@pytest.mark.rfc("9293", "MUST-51")
@pytest.mark.rfc("9293", "MUST-16")
@pytest.mark.parametrize("strict", [False, True])
def test_an_open_may_say_by_way_of_whom(strict: bool, bench: TcpBench) -> None:
    socket, syn = opened(bench, SourceRoute((FIRST, SECOND), strict))
    bench.table.write(socket, memoryview(pattern(1, 2000)), bench.scheduler.now)
    sent = [syn, *packets(bench)]
    assert [len(packet.raw) for packet in sent[2:]] == [1500, 604]
    for packet in sent:
        assert packet.dst == FIRST
        route = find_source_route(packet.options)
        assert route == SourceRoute((SECOND, PEER), strict, done=False)
        assert segment_of(packet).dst_port == 80
    said = segment_of(syn)
    assert b"\x02\x04\x05\xb4" in bytes(said.options)  # MUST-67: 1460, whatever the options take


@pytest.mark.rfc("9293", "MUST-51")
@pytest.mark.parametrize(
    ("hops", "number"),
    [
        ((), errno.EINVAL),
        ((FIRST,) * 10, errno.EINVAL),
        ((FIRST, parse_ip4("224.0.0.1")), errno.ENETUNREACH),
        ((FAR,), errno.ENETUNREACH),
    ],
)
def test_a_source_route_that_cannot_be_is_refused(
    hops: tuple[Ip4, ...], number: int, bench: TcpBench
) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        bench.table.connect(PEER, 80, 0.0, source_route=SourceRoute(hops))
    assert caught.value.errno == number


def test_a_link_without_room_for_a_source_route_refuses_it() -> None:
    bench = TcpBench(mtu_bytes=100)
    with pytest.raises(OSError, match=r".") as caught:
        bench.table.connect(PEER, 80, 0.0, source_route=SourceRoute((FIRST, SECOND, THIRD)))
    assert caught.value.errno == errno.EMSGSIZE


@pytest.mark.rfc("9293", "MUST-52")
def test_the_users_source_route_goes_before_one_that_comes_in(bench: TcpBench) -> None:
    bench.host.accepts_source_routes = True
    socket, _ = opened(bench, SourceRoute((FIRST,)))
    bench.taken()
    tcb = socket.connection.tcb
    segment = make(tcp.ACK, (80, 4000), tcb.rcv_nxt, tcb.snd_nxt, 65535, b"x", None, PEER)
    body = segment[ipv4.HEADER_BYTES :]
    header = ipv4.pack_header(PEER, HERE, ipv4.TCP, len(body), options=completed(SECOND))
    bench.arrive(frame_of(header + body))
    bench.run(bench.scheduler.now + 1)
    (packet,) = packets(bench)
    assert packet.dst == FIRST


@pytest.mark.rfc("9293", "MUST-53")
@pytest.mark.rfc("9293", "SHLD-24")
def test_a_passive_open_answers_by_the_way_back_and_the_newest(bench: TcpBench) -> None:
    bench.host.accepts_source_routes = True
    for station in (FIRST, SECOND, THIRD):
        bench.know_peer(station)
    listener = bench.table.listen(ANY, 80)
    arrive(bench, tcp.SYN, completed(FIRST, SECOND), seq=PEER_ISS)
    (syn_ack,) = packets(bench)
    assert syn_ack.dst == SECOND
    assert find_source_route(syn_ack.options) == SourceRoute((FIRST, PEER), done=False)
    ack = segment_of(syn_ack).seq + 1
    bench.segment(tcp.ACK, seq=PEER_ISS + 1, ack=ack)  # without: the route stays
    socket = listener.ready.popleft()
    bench.table.write(socket, memoryview(bytes(3000)), bench.scheduler.now)
    text = packets(bench)
    assert {packet.dst for packet in text} == {SECOND}
    assert max(len(packet.raw) for packet in text) <= 1500
    arrive(bench, tcp.ACK, completed(THIRD, kind=137), seq=PEER_ISS + 1, ack=ack + 3000)
    bench.table.write(socket, memoryview(bytes(10)), bench.scheduler.now)
    (packet,) = packets(bench)
    assert packet.dst == THIRD
    assert find_source_route(packet.options) == SourceRoute((PEER,), strict=True, done=False)


@pytest.mark.rfc("9293", "MUST-53")
def test_by_default_nobody_is_answered_by_a_way_that_he_names(bench: TcpBench) -> None:
    bench.table.listen(ANY, 80)
    arrive(bench, tcp.SYN, completed(FIRST), seq=PEER_ISS)
    (syn_ack,) = packets(bench)
    assert (syn_ack.dst, syn_ack.header_bytes) == (PEER, ipv4.HEADER_BYTES)


def test_a_way_back_that_leads_nowhere_is_counted_and_not_taken(bench: TcpBench) -> None:
    bench.host.accepts_source_routes = True
    bench.table.listen(ANY, 80)
    arrive(bench, tcp.SYN, completed(parse_ip4("224.0.0.1")), seq=PEER_ISS)
    (syn_ack,) = packets(bench)
    assert syn_ack.dst == PEER
    assert bench.counters["tcp_source_route_refused"] == 1


@pytest.mark.rfc("1122", "3.3.5")
def test_a_packet_that_is_to_go_on_from_here_is_not_taken_for_ours(bench: TcpBench) -> None:
    bench.table.listen(ANY, 80)
    options = pack_source_route(SourceRoute((HERE, SECOND)), PEER)
    arrive(bench, tcp.SYN, options, seq=PEER_ISS)
    assert bench.drops() == ["ip_source_route"]
    assert len(bench.table) == 0
    (error,) = packets(bench)
    message = icmp.parse(error.payload)
    assert (message.kind, message.code) == (
        icmp.DESTINATION_UNREACHABLE,
        icmp.SOURCE_ROUTE_FAILED,
    )
