"""What befalls a frame in a pipe, and that each fate has a name: drops, black holes, cuts."""

import pytest
from pipe_bench import Bench, numbered, tcp_frame, udp_frame

from pystack.core.rng import Random
from pystack.link.impair.base import Departures, as_impairment
from pystack.link.impair.corrupt import with_bit_turned
from pystack.link.impair.drop import Drop, first, nth
from pystack.link.impair.loss import GilbertElliott
from pystack.wire import ipv4, tcp
from pystack.wire.frame import CHECKSUM_UNKNOWN, Frame, cut_inside


def test_exactly_the_third_frame_is_dropped() -> None:
    bench = Bench(drop=[3])
    bench.send(5)
    bench.run()
    assert bench.numbers == [0, 1, 3, 4]
    assert bench.pipe.counters == {"drop": 1}


def test_a_pattern_repeats() -> None:
    bench = Bench(drop=".x.")
    bench.send(9)
    bench.run()
    assert bench.numbers == [0, 2, 3, 5, 6, 8]


def test_the_first_syn_ack_is_dropped_and_the_second_passes() -> None:
    bench = Bench(drop=first(lambda packet: packet.flags == "SYN ACK"))
    for flags in (tcp.SYN, tcp.SYN | tcp.ACK, tcp.ACK, tcp.SYN | tcp.ACK):
        bench.send_at(0.0, tcp_frame(flags))
    bench.run()
    assert [frame.data[47] for _, frame in bench.out] == [tcp.SYN, tcp.ACK, tcp.SYN | tcp.ACK]


def test_a_predicate_alone_drops_all_that_it_holds_for() -> None:
    bench = Bench(drop=lambda packet: packet.proto == "UDP" and packet.dst_port == 53)
    for port in (53, 54, 53):
        bench.send_at(0.0, udp_frame(dst_port=port))
    bench.run()
    assert len(bench.out) == 1
    assert bench.pipe.counters == {"drop": 2}


def test_positions_count_among_those_that_the_predicate_holds_for() -> None:
    bench = Bench(drop=nth(lambda packet: packet.proto == "TCP", 2))
    for frame in (udp_frame(), tcp_frame(seq=1), udp_frame(), tcp_frame(seq=2), tcp_frame(seq=3)):
        bench.send_at(0.0, frame)
    bench.run()
    assert [frame.data[41] for _, frame in bench.out if len(frame.data) == 54] == [1, 3]


def test_positions_count_anew_when_drop_is_set_and_go_on_when_something_else_is() -> None:
    bench = Bench(drop=[3])
    bench.send(2)
    bench.set(delay="1ms")
    bench.send(1)
    assert bench.pipe.counters["drop"] == 1
    bench.set(drop=[2])
    bench.send(2)
    assert bench.pipe.counters["drop"] == 2


def test_a_duplicate_comes_right_after_its_original() -> None:
    bench = Bench(duplicate="100%", delay="1ms")
    bench.send(2)
    bench.run()
    assert bench.numbers == [0, 0, 1, 1]
    assert bench.pipe.counters == {"duplicate": 2}


def test_corrupt_turns_one_bit_and_fills_the_checksum_in_before() -> None:
    bench = Bench(corrupt="100%")
    bench.send_at(0.0, tcp_frame(payload=b"hello", partial=True))
    bench.run()
    (_, frame), whole = bench.out[0], tcp_frame(payload=b"hello")
    assert frame.checksum == CHECKSUM_UNKNOWN
    difference = int.from_bytes(frame.data, "big") ^ int.from_bytes(whole.data, "big")
    assert difference.bit_count() == 1


def test_a_turned_bit_in_the_payload_is_found_by_the_checksum() -> None:
    frame = with_bit_turned(tcp_frame(payload=b"hello", partial=True), 8 * 54 + 3)
    packet = ipv4.parse(memoryview(frame.data)[14:])
    with pytest.raises(ipv4.WireError, match="tcp_bad_checksum"):
        tcp.parse(packet)


def test_any_bit_of_a_frame_that_is_no_packet_can_be_turned() -> None:
    frame = with_bit_turned(Frame(b"\0" * 4, checksum=2), 31)
    assert frame.data == b"\0\0\0\x80"


def test_all_is_lost_at_probability_1_and_nothing_at_0() -> None:
    bench = Bench(loss=1.0)
    bench.send(50)
    bench.run()
    assert bench.out == []
    assert bench.pipe.counters == {"loss": 50}
    bench.set(loss=0)
    bench.send(50)
    bench.run()
    assert len(bench.out) == 50


def test_the_states_of_gemodel_that_never_change_lose_all_or_nothing() -> None:
    stuck_in_bad = Bench(loss="gemodel 100% 0%")
    stuck_in_bad.send(10)
    stuck_in_bad.run()
    assert stuck_in_bad.numbers == [0]  # the first one still meets the good state


def test_state_alternates_between_good_and_isolated_loss() -> None:
    bench = Bench(loss="state 0% 0% 0% 0% 100%")  # 1 -> 4 -> 1 -> 4
    bench.send(6)
    bench.run()
    assert bench.numbers == [1, 3, 5]


def test_a_cut_loses_what_waits_what_is_on_its_way_and_what_is_put_in() -> None:
    bench = Bench(rate="1mbit", delay="10ms")
    bench.send(4, size=125)  # at 0.0015: one on its way, one being sent, two that wait
    bench.run(0.0015)
    bench.pipe.down()
    assert bench.reports == [("link_down", 0.0015)] * 2
    bench.send_at(0.002, numbered(9))
    bench.pipe.up()
    bench.send_at(0.003, numbered(10, 125))
    bench.run()
    assert (bench.numbers, bench.times) == ([10], [0.014])
    assert bench.pipe.counters == {"link_down": 5}
    assert [round(at, 6) for _, at in bench.reports] == [0.0015, 0.0015, 0.002, 0.011, 0.012]


def test_cutting_twice_and_mending_twice_is_as_once() -> None:
    bench = Bench(delay="1ms")
    for _ in range(2):
        bench.pipe.down()
    for _ in range(2):
        bench.pipe.up()
    bench.send()
    bench.run()
    assert bench.numbers == [0]


def test_a_cut_empties_a_real_queue_too() -> None:
    bench = Bench(rate="1mbit", qdisc="fq_codel")
    bench.send(5, size=125)
    bench.pipe.down()
    bench.run()
    bench.pipe.up()
    bench.send_at(1.0, numbered(7, 125))
    bench.run()
    assert (bench.numbers, bench.times) == ([7], [1.001])
    assert bench.pipe.counters == {"link_down": 5}


def test_a_configuration_while_it_is_down_holds_after() -> None:
    bench = Bench(delay="1ms")
    bench.pipe.down()
    bench.set(delay="5ms")
    bench.send()
    bench.pipe.up()
    bench.send_at(1.0, numbered(1))
    bench.run()
    assert bench.times == [1.005]


def test_a_black_hole_swallows_what_the_predicate_holds_for() -> None:
    bench = Bench()
    bench.pipe.black_hole(lambda packet: packet.length > 1000)
    bench.send(1, size=1500)
    bench.send(1, size=100)
    bench.pipe.black_hole(None)
    bench.send(1, size=1500)
    bench.run()
    assert [len(frame.data) for _, frame in bench.out] == [100, 1500]
    assert bench.pipe.counters == {"black_hole": 1}


class EverySecond:
    """Loses every second frame, and holds the others back for a second."""

    def __init__(self, _rng: Random) -> None:
        self.count = 0

    def apply(self, frame: Frame, now: float) -> Departures:
        self.count += 1
        return () if self.count % 2 == 0 else ((now + 1.0, frame),)


def test_an_impairment_of_one_s_own_loses_and_delays() -> None:
    bench = Bench(impairments=[EverySecond], delay="1ms")
    bench.send(4)
    bench.run()
    assert (bench.numbers, bench.times) == ([0, 2], [1.001, 1.001])
    assert bench.pipe.counters == {"EverySecond": 2}


def test_a_cut_loses_what_an_impairment_holds_back() -> None:
    bench = Bench(impairments=[EverySecond])
    bench.send()
    bench.run(0.5)
    bench.pipe.down()
    bench.pipe.up()
    bench.run()
    assert bench.out == []
    assert bench.reports == [("link_down", 1.0)]


def test_a_built_in_stage_works_as_an_impairment() -> None:
    impairment = as_impairment(GilbertElliott(1.0, 0.0).stage(Random(1)))
    frame = numbered(0)
    assert [impairment.apply(frame, 2.0) for _ in range(2)] == [((2.0, frame),), ()]


def test_named_impairments_take_their_words() -> None:
    bench = Bench(impairments=["drop frames .x", {"name": "duplicate", "probability": "100%"}])
    bench.send(2)
    bench.run()
    assert bench.numbers == [0, 0]


def test_a_damaged_super_frame_is_counted_and_not_raised() -> None:
    bench = Bench()
    bench.send_at(0.0, Frame(bytes(200), gso_bytes=100))
    bench.run()
    assert bench.out == []
    assert bench.pipe.counters == {"ip_bad_version": 1}


@pytest.mark.parametrize(
    "words",
    [
        {"loss": "10%"},
        {"loss": "gemodel 5% 30%"},
        {"loss": "state 5% 50%"},
        {"drop": "..x...."},
        {"duplicate": "10%"},
        {"corrupt": "10%"},
        {"rate": "10mbit", "limit": 30},
    ],
    ids=str,
)
def test_what_befalls_segments_befalls_those_of_a_super_frame_one_by_one(
    words: dict[str, object],
) -> None:
    wholes = [tcp_frame(payload=bytes(14_480), seq=n, gso_bytes=1448) for n in range(1, 40)]
    whole, cut = Bench(**words), Bench(**words)
    for number, frame in enumerate(wholes):
        whole.send_at(number / 100, frame)
        for piece in cut_inside(frame):
            cut.send_at(number / 100, piece)
    whole.run()
    cut.run()
    assert {len(frame.data) for _, frame in whole.out} == {54 + 1448}
    assert whole.pipe.counters == cut.pipe.counters
    assert sum(cut.pipe.counters.values()) > 20
    assert [(at, frame.data) for at, frame in whole.out] == [
        (at, frame.data) for at, frame in cut.out
    ]


def test_drop_needs_positions_that_can_be() -> None:
    with pytest.raises(ValueError, match="they count from 1"):
        Drop(positions=[0])
