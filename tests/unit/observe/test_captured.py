"""Captures as recordings: the conversation, what belongs to it, and what nobody can know."""

import contextlib
import io
import os
import struct
from pathlib import Path

import pytest
import sample_frames as four
import sample_frames6 as six
from hypothesis import given
from hypothesis import strategies as st
from sample_captures import (
    PORT,
    TALK,
    block,
    file_of,
    handshake,
    interface,
    option,
    packet,
    pcap,
    section,
    segment,
)

from pystack.core.errors import ConfigError
from pystack.observe.captures import as_recording, link_types
from pystack.observe.captures.as_recording import conversations, recording_of
from pystack.observe.captures.words import BETWEEN, CLIENT, SERVER
from pystack.observe.explain.telling import tell
from pystack.observe.ladder import Ladder
from pystack.observe.passage import ARRIVED, LOST, SEEN
from pystack.wire import arp, icmp, ipv4, tcp

ANY = [*four.ordinary_frames(), *six.ordinary_frames6(), *four.icmp_frames(), *six.errors6()]


# At whose side: instants in ms of the SYN, the SYN-ACK, the ACK, and what follows
AT = {
    CLIENT: (0, 40, 40, 41, 80, 90),
    SERVER: (20, 20, 60, 61, 62, 110),
    BETWEEN: (10, 30, 50, 51, 70, 100),
}


@pytest.mark.parametrize("side", AT)
def test_a_capture_of_one_place_says_whose_side_it_is(side: str) -> None:
    recording = recording_of(file_of(list(zip(AT[side], TALK, strict=True))))
    assert recording.vantage == side
    assert (recording.client, recording.server) == ("10.77.0.1", "10.77.0.2")
    assert [passage.sender for passage in recording.passages()] == [
        "10.77.0.1",
        "10.77.0.2",
        "10.77.0.1",
        "10.77.0.1",
        "10.77.0.2",
        "10.77.0.1",
    ]
    assert {passage.end for passage in recording.passages()} == {SEEN}
    assert not recording.knows_inside
    assert recording.wall_clock_offset_s + next(recording.passages()).entered_at == pytest.approx(
        9 + AT[side][0] / 1000
    )
    assert any(side in sentence for sentence in recording.unknown)
    assert any("No look-up of a name" in sentence for sentence in recording.unknown)


def test_what_a_conversation_needed_comes_with_it_and_no_more() -> None:
    dns = pytest.importorskip("pystack.wire.dns")
    frames: list[tuple[float, bytes]] = []

    def look_up(name: str, address: str, at: float) -> None:
        question = (dns.Question(name, dns.A),)
        answers = (dns.record(name, dns.A, 60, address),)
        query = dns.Message(ident=1, questions=question)
        reply = dns.Message(ident=1, is_response=True, questions=question, answers=answers)
        for message, ports in ((query, (5353, 53)), (reply, (53, 5353))):
            body = struct.pack("!HHHH", *ports, 8 + len(dns.pack_message(message)), 0)
            frames.append((at, four.ip_frame(ipv4.UDP, body + dns.pack_message(message))))

    look_up("server.test", "10.77.0.2", 0.1)
    look_up("other.test", "10.9.9.9", 0.2)
    frames.append((1, four.arp_frame(arp.REQUEST, four.B)))
    frames += [(2 + at, data) for at, data in zip(AT[CLIENT], TALK, strict=True)]
    frames += [(5 + at, data) for at, data in enumerate(handshake(41000))]
    error = four.icmp_frame(icmp.TIME_EXCEEDED, 0, 0, four.quoted(TALK[3]))
    frames.append((95, error))
    recording = recording_of(file_of(sorted(frames, key=lambda each: each[0])))
    assert recording.names["10.77.0.2"] == "server.test"
    assert recording.server == "server.test"
    kinds = [passage.frame.data[23] for passage in recording.passages()]
    assert kinds == [17, 17, four.arp_frame(arp.REQUEST, four.B)[23], 6, 6, 6, 6, 6, 6, 1]
    assert "This is one of 4 conversations in the file." in recording.unknown
    assert not any("No look-up" in sentence for sentence in recording.unknown)


def test_frames_at_two_places_are_one_passage() -> None:
    data = section()
    for name in (b"client/eth0", b"server/eth0"):
        data += interface(options=option("<", 2, name))
    flights = [(0, 20), (40, 20), (40, 60), (41, 61), (82, 62), (90, None)]
    rows = []
    for (client_ms, server_ms), frame in zip(flights, TALK, strict=True):
        rows.append((client_ms, 0, frame))
        if server_ms is not None:
            rows.append((server_ms, 1, frame))
    for at, number, frame in sorted(rows, key=lambda row: row[0]):
        data += packet("<", at * 1000, frame, number)
    recording = recording_of(io.BytesIO(data))
    passages = list(recording.passages())
    assert len(passages) == len(TALK)
    assert passages[0].place == "client/eth0 > server/eth0"
    assert [passage.end for passage in passages] == [ARRIVED] * 5 + [LOST]
    assert [
        passage.arrives_at and round(passage.arrives_at - passage.entered_at, 6)
        for passage in passages
    ] == [0.02, 0.02, 0.02, 0.02, 0.02, None]
    assert passages[-1].lost == "not seen at server/eth0"
    assert recording.vantage == ""
    assert not any("one place" in sentence for sentence in recording.unknown)


def test_what_a_capture_lacks_is_said() -> None:
    recording = recording_of(file_of([(at, frame) for at, frame in enumerate(TALK[3:5])]))
    said = " ".join(recording.unknown)
    for words in ("began before the capture", "had not ended when", "nothing tells where"):
        assert words in said
    raw = recording_of(file_of([(0, TALK[0][14:]), (1, TALK[1][14:])], link_types.RAW))
    assert "no Ethernet headers (raw IP (101))" in " ".join(raw.unknown)
    assert next(raw.passages()).frame.data[12:] == TALK[0][12:]
    cut = pcap([(9, at, frame) for at, frame in enumerate(TALK)])[:-10]
    assert "ends in the middle of a frame" in recording_of(io.BytesIO(cut)).unknown[-1]


def test_conversations_are_listed_and_chosen() -> None:
    frames = [(at, frame) for at, frame in enumerate([*TALK, *handshake(41000)])]
    first, second = conversations(file_of(frames))
    assert (first.a, first.b, second.a) == (
        ("10.77.0.1", PORT),
        ("10.77.0.2", 80),
        ("10.77.0.1", 41000),
    )
    assert len(recording_of(file_of(frames), second).items) == 3


def test_a_file_without_conversations_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap([]))
    with pytest.raises(ConfigError, match=r"holds no frames: no conversation"):
        recording_of(path)
    path.write_bytes(pcap([(0, 0, four.arp_frame(arp.REQUEST, four.B))]))
    with pytest.raises(ConfigError, match=r"holds 1 frames, and no conversation"):
        recording_of(path)


def test_a_capture_from_a_pipe_is_read_twice_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR)
    os.write(keeper, file_of([(at, frame) for at, frame in enumerate(TALK)]).getvalue())
    # Nobody else writes: the end comes once the reader has its own end open.
    reader = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    os.close(keeper)
    os.set_blocking(reader.fileno(), True)
    with reader:
        assert len(recording_of(reader).items) == len(TALK)


def test_frames_that_stand_in_another_order_are_put_into_theirs() -> None:
    rows = list(zip(AT[CLIENT], TALK, strict=True))
    passages = list(recording_of(file_of([rows[0], *reversed(rows[1:])])).passages())
    assert [passage.number for passage in passages] == [1, 2, 3, 4, 5, 6]
    instants = [passage.entered_at for passage in passages]
    assert instants == sorted(instants)


def test_two_programs_of_one_host_are_told_apart() -> None:
    frames = [frame.replace(four.B.to_bytes(4, "big"), four.A.to_bytes(4, "big")) for frame in TALK]
    recording = recording_of(file_of(list(enumerate(frames))))
    assert recording.order == ["10.77.0.1:40000", "10.77.0.1:80"]
    assert [passage.sender for passage in recording.passages()][:2] == recording.order
    story = tell(recording.items, recording)
    assert story.places == recording.order
    assert story.facts["segments"] == "6"


@pytest.mark.parametrize("cut", range(13, 60, 3))
def test_a_frame_that_was_cut_anywhere_is_no_trouble(cut: int) -> None:
    frames = [(at, frame) for at, frame in enumerate([*TALK, TALK[4][:cut]])]
    assert len(recording_of(file_of(frames)).items) >= len(TALK)


def test_connections_one_after_the_other_between_the_same_ends_are_told_apart() -> None:
    frames = [(at, frame) for at, frame in zip(AT[CLIENT], TALK, strict=True)]
    for number in (1, 2):
        for at, frame in zip(AT[CLIENT], TALK, strict=True):
            again = bytearray(frame)
            again[14 + ipv4.HEADER_BYTES + 5] = number  # another first number
            frames.append((200 * number + at, bytes(again)))
    flows = conversations(file_of(frames))
    assert [sum(flow.frames) for flow in flows] == [6, 6, 6]
    for number, flow in enumerate(flows):
        passages = recording_of(file_of(frames), flow).passages()
        instants = [round(passage.entered_at * 1000) for passage in passages]
        assert instants == [200 * number + at for at in AT[CLIENT]]


def test_very_many_conversations_are_looked_through() -> None:
    data = section()
    for name in (b"a", b"b"):
        data += interface(options=option("<", 2, name))
    for port in range(1, 2500):
        frame = segment(tcp.SYN, 100, 0, port=port)
        data += packet("<", port, frame) + packet("<", port + 1, frame, 1)
    assert len(conversations(io.BytesIO(data))) >= 2048


@pytest.mark.parametrize(
    "comment",
    [
        "delayed 1e999 ms",
        "delayed 1.2.3 ms",
        "delayed e s",
        "delayed -5 ms: 1 ms to send",
        "delayed 5 ms: 1e9 s in the queue, 1e99 s to send",
        "bit 9 of byte 99999999999 turned",
    ],
)
def test_a_comment_that_no_capture_of_ours_has_is_no_trouble(comment: str) -> None:
    head = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    data = block("<", 0x0A0D0D0A, head + option("<", 4, b"pystack"))
    data += interface(options=option("<", 3, b"the link between a and b"))
    for at, frame in zip(AT[CLIENT], TALK, strict=True):
        data += packet("<", at * 1000, frame, options=option("<", 1, comment.encode()))
    recording = recording_of(io.BytesIO(data))
    story = tell(recording.items, recording)
    assert sum(span.seconds for span in story.waterfall) == pytest.approx(
        story.ended_at - story.began_at
    )
    for passage in recording.passages():
        at = [passage.entered_at, passage.begins_at, passage.sent_at, passage.arrives_at]
        known = [each for each in at if each is not None]
        assert known == sorted(known)


@pytest.mark.parametrize("cut", range(1, 11))
def test_a_hello_of_tls_that_ends_anywhere_is_told(cut: int) -> None:
    hello = bytes.fromhex("16030100c8010000c40303")[:cut]
    frames = [*handshake(), segment(tcp.ACK | tcp.PSH, 101, 501, hello)]
    recording = recording_of(file_of(list(enumerate(frames))))
    assert tell(recording.items, recording).steps


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(ANY) - 1),
            st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
            st.integers(0, 300),
            st.integers(0, 1),
        ),
        max_size=10,
    ),
    st.sampled_from([1, 101, 0, 113, 276]),
)
def test_hostile_frames_end_in_a_sentence_or_a_recording(
    frames: list[tuple[int, list[tuple[int, int]], int, int]], link_type: int
) -> None:
    data = section() + interface() + interface(link_type=link_type)
    for at, (number, changes, cut, place) in enumerate(frames):
        frame = bytearray(ANY[number])
        for where, value in changes:
            frame[where % len(frame)] = value
        data += packet("<", at, bytes(frame[:cut]), place, length=len(frame))
    with contextlib.suppress(ConfigError):
        recording = recording_of(io.BytesIO(data))
        assert tell(recording.items, recording).steps is not None


def test_a_host_that_talks_with_itself_is_told_by_ports() -> None:
    frames = [frame.replace(four.B.to_bytes(4, "big"), four.A.to_bytes(4, "big")) for frame in TALK]
    recording = recording_of(file_of(list(enumerate(frames))))
    told = tell(recording.items, recording)
    close = next(each for each in told.steps if each.kind == "close")
    assert close.actors == told.steps[0].actors == ("10.77.0.1:40000", "10.77.0.1:80")
    assert told.steps[0].title == "SYN: 10.77.0.1:40000 to 10.77.0.1:80"


def test_segments_that_were_not_cut_yet_are_said_to_be_such_and_no_slow_start() -> None:
    """A card cuts, and joins: tcpdump beside it sees segments that no link ever carries."""
    answers = [
        segment(tcp.ACK, 501 + begin, 119, bytes(size), answer=True)
        for begin, size in ((0, 1448), (1448, 14480), (15928, 28960))
    ]
    acks = [segment(tcp.ACK, 119, ack) for ack in (1949, 16429, 45389)]
    frames = [*TALK[:4], *(each for pair in zip(answers, acks, strict=True) for each in pair)]
    recording = recording_of(file_of(list(enumerate(frames))))
    steps = {each.kind: each for each in tell(recording.items, recording).steps}
    assert "On the link none has more than 1,448 bytes" in steps["segments"].text
    assert "slow_start" not in steps


def test_in_a_cooked_capture_a_question_of_arp_is_a_broadcast() -> None:
    """Its header does not say so of what this host sent; a learner is told of no check."""
    mac = bytes.fromhex("020000000001")

    def cooked(frame: bytes) -> bytes:
        return frame[12:14] + struct.pack("!HIHBB6sH", 0, 2, 1, 4, 6, mac, 0) + frame[14:]

    asks = [four.arp_frame(arp.REQUEST, four.B), *TALK]
    recording = recording_of(
        file_of(list(enumerate(map(cooked, asks))), link_types.LINUX_SLL2),
    )
    told = tell(recording.items, recording)
    assert "asks by ARP: a broadcast" in told.steps[0].text
    multicast = cooked(six.discovery_frames()[1])
    assert link_types.as_ethernet(multicast, link_types.LINUX_SLL2)[:2] == b"\x33\x33"


def test_an_ipv4_conversation_takes_no_discovery_of_ipv6_with_it() -> None:
    """Each station asks by IPv6 whether its address is free: that is not of this conversation."""
    frames = [six.discovery_frames()[0], four.arp_frame(arp.REQUEST, four.B), *TALK]
    recording = recording_of(file_of(list(enumerate(frames))))
    kinds = [passage.frame.data[12:14].hex() for passage in recording.passages()]
    assert kinds == ["0806", *["0800"] * len(TALK)]


def test_what_had_no_room_is_told_of_once_and_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_recording, "MOST_ITEMS", 5)
    recording = recording_of(file_of(list(zip(AT[CLIENT], TALK, strict=True))))
    unknown = tell(recording.items, recording).unknown
    assert [each for each in unknown if "no room" in each] == [
        "1 item after the first 5 found no room, and is lost."
    ]
    assert "not shown" not in Ladder.of(recording).text()
