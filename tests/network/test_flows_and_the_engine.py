"""Conversations from frames alone, held against what the engine says of itself, and tshark."""

import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import pytest
import trio

import pystack
from pystack.events import Event, FrameSeen, TcpRetransmitted
from pystack.observe.flows import Flow, FlowTable, Seen
from pystack.wire.frame import completed

SIZE = 200_000
SEEDS = range(1, 6)
LINES: Mapping[str, Mapping[str, str | int]] = {
    "few": {"delay": "20ms", "loss": "2%", "rate": "10mbit"},
    "many": {"delay": "20ms", "loss": "8%", "rate": "10mbit"},
    "queue": {"delay": "50ms", "rate": "5mbit", "limit": 15},
    "reorder": {"delay": "20ms", "reorder": "3%", "rate": "10mbit"},
}
# What observers of the engine call it, and what can be told from outside
REASONS = {
    "rack": "fast",
    "sack": "fast",
    "dupack": "fast",
    "rto": "rto",
    "tlp": "tlp",
    "syn": "syn",
}
AGAIN = ("retransmission", "spurious")
ADDRESSES = {4: "10.0.0.9", 6: "fd00::9"}


@dataclass
class Watch:
    """Takes notes of frames at both hosts, and of what the server's TCP says."""

    told: dict[tuple[float, int], str] = field(default_factory=dict)
    tables: dict[str, FlowTable] = field(default_factory=dict)
    seen: dict[str, list[tuple[float, bool, Seen]]] = field(default_factory=dict)
    frames: dict[str, list[tuple[float, bytes]]] = field(default_factory=dict)

    def on_event(self, event: Event) -> None:
        if isinstance(event, TcpRetransmitted):
            if event.host == "server" and event.reason in REASONS:
                self.told[event.at, event.seq] = REASONS[event.reason]
        elif isinstance(event, FrameSeen):
            data = completed(event.frame).data
            self.frames.setdefault(event.host, []).append((event.at, data))
            seen = self.tables.setdefault(event.host, FlowTable()).feed(event.at, data)
            if seen is not None:
                notes = self.seen.setdefault(event.host, [])
                notes.append((event.at, event.sent, seen))


async def serve(stream: trio.SocketStream) -> None:
    """Give whoever asks that many bytes."""
    await stream.receive_some(100)
    await stream.send_all(bytes(SIZE))
    await stream.send_eof()
    async for _ in stream:
        pass


@cache
def watched(line: str, version: int, seed: int, recovery: str = "auto") -> Watch:
    """Return what was seen of a download over a line."""
    watch = Watch()

    async def main() -> None:
        async with pystack.Network(seed=seed) as net:
            net.observe(watch)
            tcp = pystack.TcpConfig(sack=recovery != "newreno")
            client = net.host("client", address="10.0.0.1/24", address6="fd00::1/64", tcp=tcp)
            server = net.host("server", address="10.0.0.9/24", address6="fd00::9/64", tcp=tcp)
            net.link(client, server, **LINES[line])  # type: ignore[arg-type]
            await server.start(partial(trio.serve_tcp, serve, 80))

            async def fetch() -> int:
                async with await trio.open_tcp_stream(ADDRESSES[version], 80) as stream:
                    await stream.send_all(b"go")
                    return sum([len(piece) async for piece in stream])

            assert await client.run(fetch) == SIZE
            await trio.sleep(10)

    pystack.run(main)
    return watch


def flow_of(watch: Watch, host: str) -> Flow:
    (flow,) = (flow for flow in watch.tables[host] if flow.protocol == "tcp")
    return flow


def sent_again(watch: Watch) -> dict[tuple[float, int], str]:
    """Return what the server's frames show: reasons, by instant and number as on the wire."""
    return {
        (at, (seen.seq + seen.flow.halves[1].isn) % (1 << 32)): seen.reason
        for at, sent, seen in watch.seen["server"]
        if sent and seen.kind in AGAIN and not seen.from_a
    }


@pytest.mark.parametrize("recovery", ["auto", "newreno"])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("line", LINES)
def test_retransmissions_and_their_reasons_are_those_of_the_engine(
    line: str, version: int, recovery: str
) -> None:
    told: Counter[str] = Counter()
    for seed in SEEDS:
        watch = watched(line, version, seed, recovery)
        truth, found = watch.told, sent_again(watch)
        told["true"] += len(truth)
        told["found"] += len(found.keys() & truth.keys())
        told["made up"] += len(found.keys() - truth.keys())
        told["right"] += sum(found[key] == truth[key] for key in found.keys() & truth.keys())
    print(line, version, recovery, dict(told))
    assert told["true"] >= (0 if line == "reorder" else 10)
    assert told["found"] >= 0.99 * told["true"]  # recall
    assert told["made up"] <= 0.01 * told["true"]  # precision
    assert told["right"] >= 0.97 * told["found"]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("line", ["few", "queue"])
def test_what_was_lost_on_its_way_here_is_sent_again_and_not_overtaken(
    line: str, version: int
) -> None:
    for seed in SEEDS:
        watch = watched(line, version, seed)
        kinds = Counter(seen.kind for _, sent, seen in watch.seen["client"] if not sent)
        lost_here = kinds["retransmission"] + kinds["spurious"]
        assert lost_here <= len(watch.told) + 1
        assert lost_here >= 0.8 * len(watch.told) - 2  # some were lost again, on their way here
        assert not kinds["out of order"]


@pytest.mark.parametrize("version", [4, 6])
def test_what_was_overtaken_is_not_taken_for_sent_again(version: int) -> None:
    overtaken = 0
    for seed in SEEDS:
        watch = watched("reorder", version, seed)
        kinds = Counter(seen.kind for _, sent, seen in watch.seen["client"] if not sent)
        overtaken += kinds["out of order"]
        assert kinds["retransmission"] + kinds["spurious"] + kinds["duplicate"] <= len(watch.told)
    assert overtaken > 20


@pytest.mark.parametrize("version", [4, 6])
def test_the_handshake_shows_options_and_both_parts_of_the_round_trip(version: int) -> None:
    watch = watched("queue", version, 1)
    for host, near, far in (
        ("client", "client_side_s", "server_side_s"),
        ("server", "server_side_s", "client_side_s"),
    ):
        flow = flow_of(watch, host)
        handshake = flow.handshake
        assert handshake.is_whole
        assert handshake.rtt_s == pytest.approx(0.1, abs=0.001)
        assert getattr(handshake, near) == 0
        assert getattr(handshake, far) == handshake.rtt_s
        mss = 1460 if version == 4 else 1440
        assert handshake.options == [
            f"mss {mss}",
            "SACK",
            "timestamps",
            f"window scale {handshake.wscale[0]} and {handshake.wscale[1]}",
        ]
        assert flow.a[0] != ADDRESSES[version]
        assert flow.b == (ADDRESSES[version], 80)
        assert flow.closed_how == "fin"
        assert flow.text_bytes[1] >= SIZE


TSHARK = shutil.which("tshark")
WORDS = {
    "retransmission": "again",
    "fast_retransmission": "again",
    "spurious_retransmission": "again",
    "out_of_order": "again",
    "duplicate_ack": "dup ack",
    "keep_alive": "keep-alive",
    "zero_window": "zero window",
    "window_update": "window update",
}
OURS = {
    "retransmission": "again",
    "spurious": "again",
    "duplicate": "again",
    "out of order": "again",
}


def tshark_says(path: Path) -> dict[int, set[str]]:
    """Return what tshark calls each frame."""
    assert TSHARK is not None
    columns = [part for word in WORDS for part in ("-e", f"tcp.analysis.{word}")]
    command = [TSHARK, "-n", "-r", str(path), "-T", "fields", *columns]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    names = list(WORDS.values())
    return {
        number: {names[at] for at, value in enumerate(row.split("\t")) if value}
        for number, row in enumerate(done.stdout.splitlines(), 1)
    }


@pytest.mark.skipif(TSHARK is None, reason="no tshark here")
@pytest.mark.parametrize("host", ["client", "server"])
@pytest.mark.parametrize("line", LINES)
def test_tshark_sees_the_same(tmp_path: Path, line: str, host: str) -> None:
    score: Counter[str] = Counter()
    for seed in SEEDS:
        watch = watched(line, 4, seed)
        path = tmp_path / f"{seed}.pcap"
        out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)
        for at, data in watch.frames[host]:
            seconds, nanoseconds = divmod(round(at * 1e9), 10**9)
            out += struct.pack("<IIII", seconds, nanoseconds, len(data), len(data)) + data
        path.write_bytes(out)
        theirs = tshark_says(path)
        for _, _, seen in watch.seen[host]:
            said = theirs[seen.number]
            mine = OURS.get(seen.kind, seen.kind)
            for what in ("again", "dup ack"):
                score[f"{what}: both"] += mine == what and what in said
                score[f"{what}: ours alone"] += mine == what and what not in said
                score[f"{what}: theirs alone"] += mine != what and what in said
    print(line, host, dict(score))
    # tshark also counts ACKs that were overtaken, and those with nothing outstanding: to RFC 5681
    # they are no duplicates.
    for what in ("again",) if line == "reorder" else ("again", "dup ack"):
        alone = score[f"{what}: ours alone"] + score[f"{what}: theirs alone"]
        assert alone <= 0.05 * score[f"{what}: both"] + 1
