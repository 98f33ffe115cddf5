"""The ladder in text: one rung for each hop of a frame, with what became of it."""

import pytest

from pystack.core.errors import ConfigError
from pystack.core.tcp_events import TcpMeasured, TcpRetransmitted, TcpStateChanged
from pystack.observe.ladder import NOTES, TROUBLE, Arrow, Ladder, LadderWords, Lifeline
from pystack.observe.ladder.order import along_the_way
from pystack.observe.observer import Dropped
from pystack.observe.passage import ARRIVED, LOST, SEEN, Change, Passage
from pystack.observe.recording import Item, Recording
from pystack.wire import ethernet, ipv4, tcp, udp
from pystack.wire.frame import Frame

A, B = 0x0A000001, 0x0A000002
ENDS = (("10.0.0.1", 5), ("10.0.0.2", 9))
NAMES = {"10.0.0.1": "a", "10.0.0.2": "b"}
STATION = b"\x02\0\0\0\0\x0a"


def datagram(payload: bytes = b"x") -> Frame:
    """Return a datagram from A to B."""
    body = udp.pack(A, B, 5, 7, payload)
    packet = ipv4.pack_header(A, B, ipv4.UDP, len(body)) + body
    return Frame(ethernet.pack(STATION, STATION, ethernet.IPV4, packet))


def segment(
    *, back: bool = False, seq: int = 0, ack: int = 0, flags: int = tcp.ACK, size: int = 0
) -> Frame:
    """Return a segment of a connection from port 5 of A to port 9 of B, or of the way back."""
    (src, dst), ports = ((B, A), (9, 5)) if back else ((A, B), (5, 9))
    made = tcp.Segment(*ports, seq % 2**32, ack % 2**32, flags, 1000, b"", bytes(size))
    body = tcp.pack_header(made, src, dst) + bytes(size)
    packet = ipv4.pack_header(src, dst, ipv4.TCP, len(body)) + body
    return Frame(ethernet.pack(STATION, STATION, ethernet.IPV4, packet))


def passed(
    sender: str, receiver: str, at: float, arrives_at: float | None, frame: Frame | None = None
) -> Passage:
    """Return a frame's way over a link: it arrives, or (None) is still under way."""
    passage = Passage(f"{sender}-{receiver}", sender, receiver, frame or datagram(), at)
    passage.begins_at = passage.sent_at = at
    if arrives_at is not None:
        passage.arrives_at = passage.ended_at = arrives_at
        passage.end = ARRIVED
    return passage


def lost(
    sender: str,
    receiver: str,
    at: float,
    why: str,
    frame: Frame | None = None,
    *,
    when: float | None = None,
) -> Passage:
    passage = passed(sender, receiver, at, None, frame)
    passage.sent_at = None
    passage.end, passage.lost, passage.ended_at = LOST, why, at if when is None else when
    return passage


def ladder(*items: Item, **words: object) -> Ladder:
    known: LadderWords = {"names": NAMES, "notes": TROUBLE, "order": ("a", "r", "b")}
    return Ladder.of(items, **(known | words))  # type: ignore[arg-type]


def lines(*items: Item, **words: object) -> list[str]:
    return ladder(*items, **words).lines()


def test_a_frame_is_one_arrow_at_the_instant_of_its_sending() -> None:
    assert lines(passed("a", "b", 1.0, 1.5), passed("b", "a", 1.5, 2.0, datagram(b"yes"))) == [
        "time         a             b",
        "1.000000     |------------>|  a.5 > b.7: UDP, length 1",
        "1.500000     |<------------|  a.5 > b.7: UDP, length 3",
    ]


def test_each_hop_is_a_rung_and_nodes_stand_in_the_order_given() -> None:
    hops = [passed("a", "r", 0.0, 0.01), passed("r", "b", 0.01, 0.02)]
    assert lines(*hops) == [
        "time         a             r             b",
        "0.000000     |------------>|             |  a.5 > b.7: UDP, length 1",
        "0.010000     |             |------------>|  a.5 > b.7: UDP, length 1",
    ]
    assert lines(*hops, order=("b", "a"))[0] == "time         b             a             r"


def test_an_arrow_is_bent_where_something_happens_while_it_is_under_way() -> None:
    there, back = passed("a", "b", 0.0, 0.02), passed("b", "a", 0.01, 0.03, datagram(b"yes"))
    assert lines(there, back) == [
        "time         a             b",
        "0.000000     |------\\      |  a.5 > b.7: UDP, length 1",
        "0.010000     |      /------|  a.5 > b.7: UDP, length 3",
        "0.020000     |      \\----->|    there after 20 ms: UDP, length 1",
        "0.030000     |<-----/      |    there after 20 ms: UDP, length 3",
    ]


@pytest.mark.parametrize(
    ("why", "sender", "picture"),
    [("loss", "a", "|-----x       |"), ("pfifo_full", "b", "|       x-----|")],
)
def test_a_frame_that_is_lost_ends_in_an_x_with_the_reason(
    why: str, sender: str, picture: str
) -> None:
    receiver = "ab".replace(sender, "")
    hello = passed("b", "a", 0.0, 0.0)
    found = lines(hello, lost(sender, receiver, 0.0, why))
    assert found[2] == f"0.000000     {picture}  a.5 > b.7: UDP, length 1 ({why})"


def test_one_that_is_under_way_at_the_end_has_no_head_and_no_reason() -> None:
    assert lines(passed("a", "b", 0.0, None))[1:] == [
        "0.000000     |-----x       |  a.5 > b.7: UDP, length 1 (under way)"
    ]


def test_a_copy_a_change_and_a_refusal_are_said() -> None:
    first = passed("a", "b", 0.0, 0.1)
    copy = passed("a", "b", 0.0, 0.1)
    copy.copy_of = first
    copy.changes = [Change("duplicate", 0.0)]
    changed = passed("a", "b", 1.0, 1.1)
    changed.changes = [Change("corrupt", 1.0, "bit 3 of byte 41")]
    changed.refused = "ip_bad_checksum"
    drop = Dropped(1.1, "b", "eth0", "ip_bad_checksum", b"")
    assert [line.partition(", length 1")[2] for line in lines(first, copy, changed, drop)[1:]] == [
        "",
        " (copy)",
        " (corrupt (bit 3 of byte 41); refused: ip_bad_checksum)",
    ]


def test_what_hosts_drop_is_a_mark_at_them_and_what_switches_do_is_none() -> None:
    found = lines(
        passed("a", "b", 0.0, 0.1),
        Dropped(0.1, "b", "eth0", "udp_no_socket", b""),
        Dropped(0.1, "sw", None, "switch_same_port", b""),
        Dropped(0.1, "a-b", "a_to_b", "loss", b""),
        TcpStateChanged(0.2, "a", *ENDS, "LISTEN", "CLOSED"),
    )
    assert [line[13:] for line in found[1:]] == [
        "|------------>|  a.5 > b.7: UDP, length 1",
        "|             *  * eth0 drop udp_no_socket",
    ]


def test_states_are_notes_for_whom_wants_them() -> None:
    event = TcpStateChanged(0.2, "a", *ENDS, "SYN-SENT", "ESTABLISHED")
    found = lines(passed("a", "b", 0.0, 0.1), event, notes=NOTES)
    assert found[2] == "0.200000     *             |  * port 5: ESTABLISHED"
    with pytest.raises(ConfigError, match="there is no note 'stat'"):
        ladder(notes=("stat",))


@pytest.mark.parametrize("is_told_first", [True, False])
def test_a_retransmission_is_known_by_what_its_host_tells_on_every_hop(
    *, is_told_first: bool
) -> None:
    first = lost("a", "r", 0.0, "loss", segment(seq=7, size=10))
    told = TcpRetransmitted(0.3, "a", *ENDS, "rto", 7, 10)
    again = passed("a", "r", 0.3, 0.31, segment(seq=7, size=10, ack=1))
    onwards = passed("r", "b", 0.31, 0.32, segment(seq=7, size=10, ack=1))
    pair = (told, again) if is_told_first else (again, told)
    made = ladder(first, *pair, onwards)
    assert [(arrow.kind, arrow.marks) for arrow in made.arrows] == [
        ("data", ()),
        ("again", ("again: rto",)),
        ("again", ("again: rto",)),
    ]
    assert made.lines()[-1].endswith("length 10 (again: rto)")


def test_kinds_and_labels_count_from_the_first_number() -> None:
    iss, irs = 2**32 - 100, 5000
    items = [
        passed("a", "b", 0.0, 0.1, segment(seq=iss, flags=tcp.SYN)),
        passed(
            "b", "a", 0.1, 0.2, segment(back=True, seq=irs, ack=iss + 1, flags=tcp.SYN | tcp.ACK)
        ),
        passed("a", "b", 0.2, 0.3, segment(seq=iss + 1, ack=irs + 1)),
        passed("a", "b", 0.2, 0.3, segment(seq=iss + 1, ack=irs + 1, size=200)),
        passed("b", "a", 0.3, 0.4, segment(back=True, seq=irs + 1, ack=iss + 201)),
        passed("a", "b", 0.4, 0.5, segment(seq=iss + 201, ack=irs + 1, flags=tcp.FIN | tcp.ACK)),
        passed("b", "a", 0.5, 0.6, segment(back=True, seq=irs + 1, ack=0, flags=tcp.RST)),
    ]
    assert [(arrow.kind, arrow.label) for arrow in ladder(*items).arrows] == [
        ("handshake", "SYN"),
        ("handshake", "SYN ACK"),
        ("handshake", "ACK 1"),
        ("data", "seq 1, 200 bytes"),
        ("ack", "ACK 201"),
        ("fin", "FIN ACK"),
        ("rst", "RST"),
    ]


def test_the_window_and_what_is_under_way_stand_beside_it() -> None:
    items: list[Item] = [
        passed("a", "b", 0.0, 0.1, segment(seq=1, size=2000)),
        passed("a", "b", 0.0, 0.1, segment(seq=2001, size=2000)),
        passed("b", "a", 0.1, 0.2, segment(back=True, ack=2001)),
        TcpMeasured(0.2, "a", *ENDS, "cwnd_bytes", 16000),
        passed("a", "b", 0.2, 0.3, segment(seq=4001, size=1000)),
    ]
    made = ladder(*items)
    assert made.window is not None
    assert (made.window.node, made.window.cwnd) == ("a", [(0.2, 16000)])
    assert made.window.flight == [(0.0, 4000), (0.2, 3000)]
    assert [line[28:52].split() for line in made.lines()] == [
        ["cwnd", "in", "flight"],
        [],
        ["4,000"],
        [],
        ["16,000", "3,000"],
    ]


def test_a_long_time_in_which_nothing_is_under_way_is_a_gap_that_says_how_long() -> None:
    items = [passed("a", "b", at, at + 0.01) for at in (0.0, 0.01, 0.02, 0.03, 1.04)]
    found = lines(*items)
    assert found[5] == "             :             :  1 s later"
    assert len(found) == 1 + 5 + 1


def test_to_scale_a_line_is_so_long_and_what_is_idle_is_folded() -> None:
    items = [passed("a", "b", at, at + 0.01) for at in (0.0, 0.03, 1.0)]
    found = ladder(*items).lines(scale_s=0.01)
    assert [line[:9].strip() for line in found[1:]] == [
        "0.000000", "0.010000", "", "0.030000", "0.040000", "", "1.000000", "1.010000",
    ]  # fmt: skip
    assert found[6] == "             :             :  960 ms later"


def test_only_the_last_rows_are_drawn() -> None:
    items = [passed("a", "b", float(at), at + 0.5, datagram(bytes(at))) for at in range(9)]
    assert [line[:8] for line in lines(*items, last=2)[1:]] == ["7.000000", "8.000000"]


def test_a_part_of_the_time_or_one_connection_can_be_chosen() -> None:
    items = [passed("a", "b", float(at), at + 0.5) for at in range(9)]
    items[4:4] = [passed("a", "b", 3.5, 3.6, segment(seq=1))]
    assert [arrow.sent_at for arrow in ladder(*items, begin=2.0, until=4.0).arrows] == [
        2.0, 3.0, 3.5, 4.0,
    ]  # fmt: skip
    (only,) = ladder(*items, between=ENDS[::-1]).arrows
    assert only.sent_at == 3.5


@pytest.mark.parametrize("most", [4, 3, 2])
def test_more_than_has_room_is_counted_together_and_what_is_of_note_stays(most: int) -> None:
    items = [
        passed("a", "b", at / 10, at / 10 + 0.1, segment(seq=at * 100, size=100))
        for at in range(20)
    ]
    items[9] = lost("a", "b", 0.9, "loss", segment(seq=900, size=100))
    made = ladder(*items, most=most)
    assert len(made.arrows) <= most
    assert sum(arrow.count for arrow in made.arrows) == made.passages == 20
    assert [arrow.lost for arrow in made.arrows if arrow.lost] == ["loss"]
    assert max(made.arrows, key=lambda arrow: arrow.count).label.endswith(" bytes")


def test_what_has_no_room_at_all_is_the_oldest_and_is_told() -> None:
    items = [lost("a", "b", float(at), "loss") for at in range(5)]
    made = ladder(*items, most=2)
    assert made.left_out == 3
    assert made.lines()[1] == "(3 frames before this are not shown)"
    assert "3 frames before this are not shown" in made.svg()
    of_more = Ladder.of(Recording(items, left_out=10), most=2)
    assert of_more.left_out == 13


@pytest.mark.parametrize(
    ("pairs", "order"),
    [
        ("ab", "ab"),
        ("ra ab rb", "arb"),
        ("as sb sc", "asbc"),
        ("ar rx rs sb", "arxsb"),
        ("ab bc ca", "abc"),
        ("ab cd", "abcd"),
    ],
)
def test_nodes_stand_along_the_way_of_the_frames(pairs: str, order: str) -> None:
    found = [(pair[0], pair[1]) for pair in pairs.split()]
    if pairs == "ra ab rb":
        found = [("r", "a"), ("r", "b")]
    names = list(dict.fromkeys("".join(pair[0] + pair[1] for pair in found)))
    assert "".join(along_the_way(names, found)) == order


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("fd00::1.5 > fd00::2.7: UDP, length 1", "a.5 > b.7: UDP, length 1"),
        ("fd00::1 > fd00::2: ICMP6, echo request", "a > b: ICMP6, echo request"),
        (
            ":: > ff02::1:ff00:2: who has fd00::2, length 8",
            ":: > ff02::1:ff00:2: who has b, length 8",
        ),
        ("fd00::12 > fd00::2:1: fd00::1", "fd00::12 > fd00::2:1: a"),
        ("10.0.0.1.5 > 10.0.0.11.7: seq 1:5", "v4.5 > 10.0.0.11.7: seq 1:5"),
        ("is-at 02:00:00:00:00:01, fe80::", "is-at 02:00:00:00:00:01, link"),
    ],
)
def test_addresses_of_both_versions_are_shown_by_their_names(text: str, named: str) -> None:
    names = {"fd00::1": "a", "fd00::2": "b", "10.0.0.1": "v4", "fe80::": "link"}
    drop = Dropped(0.0, "h", None, text, b"")
    assert Ladder.of([drop], names=names).notes[0].text == f"h drop {named}"[2:]


def test_where_there_is_no_link_the_other_end_is_known_by_its_address() -> None:
    seen = passed("a", "", 0.0, None)
    seen.end = SEEN
    assert lines(seen) == [
        "time         a             b",
        "0.000000     |------------>|  a.5 > b.7: UDP, length 1",
    ]


def test_of_many_nodes_the_names_are_in_the_lines() -> None:
    items = [passed(f"h{n}", f"h{n + 1}", 0.0, 0.0, Frame(bytes(14))) for n in range(7)]
    items.append(lost("h7", "", 0.0, "loss"))
    found = lines(*items, order=())
    assert found[1].startswith("0.000000     h0 -> h1  ")
    assert found[8].startswith("0.000000     h7 -x     ")


@pytest.mark.parametrize("ascii_only", [True, False])
def test_lines_are_cut_to_a_width_and_harmless_for_a_terminal(*, ascii_only: bool) -> None:
    made = Ladder(
        lifelines=[Lifeline("a"), Lifeline("b\x1b[1m\u2028")],
        arrows=[Arrow("a", "b\x1b[1m\u2028", 0.0, 0.1, "data", "x", "\u00e9\x07\u202e")],
    )
    text = made.text(ascii_only=ascii_only)
    assert text.replace("\n", "").isprintable()
    assert text.isascii() is ascii_only
    cut = made.lines(ascii_only=ascii_only, width=30)
    assert max(map(len, cut)) == 30
    assert cut[1].endswith("..." if ascii_only else "\u2026")


def test_where_lifelines_leave_no_room_for_words_names_stand_in_front_and_words_are_few() -> None:
    whole = segment(seq=0, size=100)
    hops = [passed("a", "r", 0.0, 0.01, whole), passed("r", "b", 0.01, 0.02, whole)]
    assert lines(*hops)[1].endswith("a.5 > b.9: Flags [.], seq 0:100, ack 0, win 1000, length 100")
    assert ladder(*hops).lines(width=80) == [
        "time         a             r             b",
        "0.000000     |------------>|             |  seq 0, 100 bytes",
        "0.010000     |             |------------>|  seq 0, 100 bytes",
    ]
    assert ladder(*hops).lines(width=60) == [
        "time",
        "0.000000     a -> r  seq 0, 100 bytes",
        "0.010000     r -> b  seq 0, 100 bytes",
    ]


def test_of_frames_alone_what_is_sent_again_is_inferred() -> None:
    items = [
        passed("a", "b", 0.0, 0.1, segment(seq=0, flags=tcp.SYN)),
        passed("b", "a", 0.1, 0.2, segment(back=True, seq=9, ack=1, flags=tcp.SYN | tcp.ACK)),
        passed("a", "b", 0.2, 0.3, segment(seq=1, ack=10, size=100)),
        passed("a", "b", 1.4, 1.5, segment(seq=1, ack=10, size=100)),
    ]
    recording = Recording(items, knows_inside=False)
    assert [arrow.kind for arrow in Ladder.of(recording).arrows][-1] == "again"
    assert [arrow.kind for arrow in ladder(*items).arrows][-1] == "data"


def test_nothing_seen_is_nothing_drawn() -> None:
    assert lines() == []
    assert str(ladder()) == "(nothing was seen)"


@pytest.mark.parametrize(
    "words", [{"most": 0}, {"most": 100_001}, {"last": 0}, {"most": True}, {"last": "5"}]
)
def test_wrong_words_are_refused(words: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ladder(**words)


@pytest.mark.parametrize("words", [{"width": 3}, {"scale_s": 0}, {"scale_s": -1.0}])
def test_wrong_measures_are_refused(words: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ladder().lines(**words)  # type: ignore[arg-type]
