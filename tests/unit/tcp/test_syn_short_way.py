"""SYNs take a short way through the layers: where it leads is where the long one does."""

from collections.abc import Callable

import pytest
from stack_bench import FAR, GROUP, HERE, HERE_MAC, OTHER_MAC, PEER, SUBNET_BROADCAST, frame_of
from tcp_bench import ANY, PEER_ISS, TcpBench, make

from pystack.core.addresses import LIMITED_BROADCAST, LOOPBACK, Mac
from pystack.stack.tcp_listen import Listeners
from pystack.tcp.config import TcpLimits
from pystack.wire.tcp import ACK, CWR, ECE, FIN, RST, SYN
from pystack.wire.tcp_options import TcpOptions

LINUX = TcpOptions(mss=1460, wscale=7, sack_permitted=True, timestamps=(1000, 0))


def syn(
    *,
    src: int = PEER,
    dst: int = HERE,
    port: int = 80,
    flags: int = SYN,
    options: TcpOptions | None = LINUX,
    payload: bytes = b"",
    mac: Mac = HERE_MAC,
) -> bytes:
    packet = make(flags, (5000, port), PEER_ISS, 0, 65535, payload, options, src, dst)
    return frame_of(packet, dst=mac)


def spoiled(at: int) -> bytes:
    data = bytearray(syn())
    data[at] ^= 1
    return bytes(data)


def as_it_is(_bench: TcpBench) -> None:
    pass


def in_time_wait(bench: TcpBench) -> None:
    bench.segment(SYN, mss=1460, seq=PEER_ISS - 1000)
    (answer,) = bench.sent()
    at = PEER_ISS - 999
    bench.segment(ACK, seq=at, ack=answer.seq + 1)
    socket = bench.table.listeners.by_port[80][0].ready.popleft()
    bench.table.release(socket, bench.scheduler.now)
    bench.segment(FIN | ACK, seq=at, ack=socket.connection.tcb.snd_nxt)
    assert bench.table.time_waits.records


def all_accepted_too_late(bench: TcpBench) -> None:
    for port in (6000, 6001):
        bench.accept_from(port, bench.table.listeners.by_port[80][0])


def syn_queue_full(bench: TcpBench) -> None:
    for port in (6000, 6001):
        bench.half_open_from(port)


def cookies_always(bench: TcpBench) -> None:
    bench.table.limits = TcpLimits(syn_cookies=2)


def the_same_twice(bench: TcpBench) -> None:
    bench.arrive(syn())


FRAMES = {
    "Linux": syn(),
    "no options": syn(options=None),
    "with text": syn(payload=b"text"),
    "ECN": syn(flags=SYN | ECE | CWR),
    "SYN ACK": syn(flags=SYN | ACK),
    "SYN FIN": syn(flags=SYN | FIN),
    "SYN RST": syn(flags=SYN | RST),
    "closed port": syn(port=81),
    "from behind the gateway": syn(src=FAR),
    "from ourselves": syn(src=HERE),
    "from the loopback": syn(src=LOOPBACK),
    "to the loopback": syn(dst=LOOPBACK),
    "from a group": syn(src=GROUP),
    "to a group": syn(dst=GROUP),
    "from everyone": syn(src=LIMITED_BROADCAST),
    "from all of the subnet": syn(src=SUBNET_BROADCAST),
    "to all of the subnet": syn(dst=SUBNET_BROADCAST),
    "from nobody": syn(src=0),
    "to another host": syn(dst=PEER),
    "to another station": syn(mac=OTHER_MAC),
    "IP checksum": spoiled(24),
    "TCP checksum": spoiled(50),
    "cut short": syn()[:60],
}
BEFORE = (
    as_it_is,
    in_time_wait,
    all_accepted_too_late,
    syn_queue_full,
    cookies_always,
    the_same_twice,
)


def after(data: bytes, prepare: Callable[[TcpBench], None]) -> list[object]:
    """Return all that there is to see of a host when that frame has come."""
    bench = TcpBench()
    bench.table.listen(ANY, 80, 1)
    prepare(bench)
    bench.taken()
    bench.arrive(data)
    sent = [frame.data for frame in bench.taken()]
    infos = [socket.connection.info() for socket in bench.table]
    notes = [socket.notes for socket in bench.table]
    return [sent, infos, notes, dict(bench.counters), bench.drops()]


@pytest.mark.parametrize("prepare", BEFORE)
@pytest.mark.parametrize("name", FRAMES)
def test_the_short_way_leads_to_where_the_long_one_does(
    name: str, prepare: Callable[[TcpBench], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = after(FRAMES[name], prepare)
    monkeypatch.setattr(Listeners, "frame_arrived", lambda *_: False)
    assert short == after(FRAMES[name], prepare)


def test_a_plain_syn_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = TcpBench()
    bench.table.listen(ANY, 80)
    monkeypatch.setattr(Listeners, "segment_arrived", None)
    bench.arrive(syn())
    assert len(bench.table) == 1
