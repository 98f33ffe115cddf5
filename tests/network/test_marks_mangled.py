"""Whatever the path does to ECN's fields and flags, at any time, the text is whole and it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from wires import Pair, SpoiledPort, connected, in_network, pair, read_to_end

import pystack
from pystack.tcp.config import TcpConfig
from pystack.wire import tcp, tcp_options
from pystack.wire.checksum import checksum
from pystack.wire.frame import Frame

SENT = Random(5).randbytes(60_000)
IP, TOS, PROTO, TEXT = 14, 15, 23, 34  # where things stand in a frame
WHAT = ("ce", "bleached", "ect1", "flags cleared", "flags at random", "SYNs' flags", "no option")


@dataclass(slots=True, kw_only=True)
class Meddler:
    """What is done to the segments of one direction, and from when until when."""

    what: frozenset[str]
    since_s: float
    until_s: float
    rng: Random

    def changed(self, frame: Frame, now: float) -> Frame:
        """Return what becomes of a frame."""
        data = bytearray(frame.data)
        if not self.since_s <= now < self.until_s or data[12:14] != b"\x08\x00" or data[PROTO] != 6:
            return frame
        for what, codepoint in (("ce", 3), ("bleached", 0), ("ect1", 1)):
            if what in self.what:
                data[TOS] = data[TOS] & 0xFC | codepoint
        is_syn = data[TEXT + 13] & tcp.SYN
        if "flags cleared" in self.what and not is_syn:
            self._set_flags(data, 0)
        if ("SYNs' flags" if is_syn else "flags at random") in self.what:
            self._set_flags(data, self.rng.randrange(8))
        if "no option" in self.what:
            _without_option(data)
        return Frame(bytes(_summed(data)))

    def _set_flags(self, data: bytearray, bits: int) -> None:
        data[TEXT + 12] = data[TEXT + 12] & 0xFE | bits >> 2
        data[TEXT + 13] = data[TEXT + 13] & 0x3F | (bits & 3) << 6


def _without_option(data: bytearray) -> None:
    at, end = TEXT + 20, TEXT + (data[TEXT + 12] >> 4) * 4
    while at < end and data[at]:
        size = 1 if data[at] == 1 else data[at + 1]
        if data[at] in (172, 174):
            data[at : at + size] = b"\1" * size
        at += size


def _summed(data: bytearray) -> bytearray:
    end = IP + int.from_bytes(data[16:18], "big")
    for field, covered in (
        (slice(24, 26), lambda: data[IP:TEXT]),
        (
            slice(TEXT + 16, TEXT + 18),
            lambda: data[26:TEXT] + b"\0\6" + (end - TEXT).to_bytes(2, "big") + data[TEXT:end],
        ),
    ):
        data[field] = b"\0\0"
        data[field] = checksum(bytes(covered())).to_bytes(2, "big")
    return data


def meddle(port: SpoiledPort, change: Callable[[Frame, float], Frame]) -> None:
    """Have each frame changed that leaves by a port."""
    send = port.inner.send
    port.inner.send = lambda frame, now: send(change(frame, now), now)  # type: ignore[method-assign]


MEDDLING = st.tuples(
    st.frozensets(st.sampled_from(WHAT), max_size=3),
    st.sampled_from((0.0, 0.15, 0.3)),
    st.sampled_from((0.4, 1e9)),
)


@settings(max_examples=25)
@given(
    st.tuples(MEDDLING, MEDDLING),
    st.sampled_from(("cubic", "dctcp", "prague")),
    st.sampled_from(("accurate", "request")),
    st.sampled_from(("accept_accurate", "accept", "off")),
    st.integers(0, 100),
)
def test_text_is_whole_whatever_becomes_of_marks(
    meddling: tuple[tuple[frozenset[str], float, float], ...],
    control: str,
    asks: str,
    accepts: str,
    seed: int,
) -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.02)
        for port, (what, since_s, until_s) in zip(
            (wire.to_server, wire.to_client), meddling, strict=True
        ):
            rng = Random(seed)
            meddler = Meddler(what=what, since_s=since_s, until_s=until_s, rng=rng)
            meddle(port, meddler.changed)
        wire.client.tcp.config = TcpConfig(ecn=asks, congestion=control)  # type: ignore[arg-type]
        wire.server.tcp.config = TcpConfig(ecn=accepts)  # type: ignore[arg-type]
        await both_ways(wire)
        assert trio.current_time() < 30
        assert wire.to_server.frames + wire.to_client.frames < 1000  # no storm of ACKs

    in_network(program)


async def both_ways(wire: Pair) -> None:
    ends = await connected(wire)
    got: dict[int, bytes] = {}

    async def send(number: int) -> None:
        await ends[number].send_all(SENT)
        await ends[number].send_eof()

    async def read(number: int) -> None:
        got[number] = await read_to_end(ends[number])

    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(send, number)
            nursery.start_soon(read, number)
    assert got == {0: SENT, 1: SENT}


@pytest.mark.rfc("9768", "3.2.3.2.5")
def test_a_path_that_holds_the_flags_fast_is_found_out() -> None:
    def held(frame: Frame, _now: float) -> Frame:
        data = bytearray(frame.data)
        if data[12:14] != b"\x08\x00" or data[PROTO] != 6 or data[TEXT + 13] & tcp.SYN:
            return frame
        data[TEXT + 12] |= 1
        data[TEXT + 13] = data[TEXT + 13] & 0x3F | 0x40  # 5, as at the beginning
        return Frame(bytes(_summed(data)))

    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.02)
        always = Meddler(what=frozenset({"ce"}), since_s=0.1, until_s=1e9, rng=Random(1))
        meddle(wire.to_server, always.changed)
        meddle(wire.to_client, held)
        wire.configure(TcpConfig(ecn="accurate"))
        stream, other = await connected(wire)
        await trio.sleep(0.1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, SENT)
            got = b""
            while len(got) < len(SENT):
                got += await other.receive_some()
        assert stream.info().accurate_ecn_silent == "tcp_accecn_inconsistent"
        assert wire.client.counters["tcp_accecn_inconsistent"] == 1

    in_network(program)


@pytest.mark.rfc("9768", "3.1.4.1 cache")
def test_a_path_that_throws_away_syns_that_ask_is_asked_three_times() -> None:
    def passes(frame: Frame) -> bool:
        data = frame.data
        if data[PROTO] != 6 or not data[TEXT + 13] & tcp.SYN:
            return True
        return not (data[TEXT + 12] & 1 or data[TEXT + 13] & 0xC0)

    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.001)
        wire.to_server.passes = passes
        wire.configure(TcpConfig(ecn="accurate"))
        took = []
        for _ in range(4):
            began = trio.current_time()
            await connected(wire)
            took.append(round(trio.current_time() - began))
        assert took == [3, 3, 3, 0]
        assert wire.client.counters["tcp_accecn_not_asked"] == 1

    in_network(program)


@pytest.mark.parametrize("marked", [False, True])
def test_fast_open_and_accurate_ecn_go_together(marked: bool) -> None:
    """Text in the SYN counts nowhere, and an answer goes before the handshake is over."""
    config = TcpConfig(ecn="accurate", fast_open="both", fast_open_cookieless="both")

    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.05)
        wire.configure(config)
        if marked:
            always = Meddler(what=frozenset({"ce"}), since_s=0.0, until_s=1e9, rng=Random(1))
            meddle(wire.to_client, always.changed)
        (listener,) = await wire.server.open_tcp_listeners(80)

        async def serve() -> None:
            async with await listener.accept() as other:
                assert await other.receive_some() == b"GET /"
                await other.send_all(SENT)
                infos.append(other.info())

        infos: list[pystack.TcpInfo] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            stream = await wire.client.open_tcp_stream("server", 80, fast_open=b"GET /")
            assert await read_to_end(stream) == SENT
        info = stream.info()
        assert (info.syn_data_acked, info.accurate_ecn) == (True, True)
        assert info.ect0_received_bytes == (0 if marked else len(SENT))
        assert info.ce_received_bytes == (len(SENT) if marked else 0)
        assert infos[0].accurate_ecn

    in_network(program)


def test_the_option_that_is_looked_for_is_there() -> None:
    """What `_without_option` takes away, so that the tests above have it to take."""
    packed = tcp_options.pack_accurate_ecn(1, 2, 3, fields=3, order=0)
    data = bytearray(TEXT + 20) + packed
    data[TEXT + 12] = (20 + len(packed)) // 4 << 4
    _without_option(data)
    assert tcp_options.parse(bytes(data[TEXT + 20 :])).accurate_ecn is None
