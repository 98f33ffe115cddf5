"""IP identifications: each way counts for itself, with noise, and the same for the same seed."""

import itertools

from stack_bench import HERE, PEER, Bench, echo_frame, icmp_frame

from pystack.core.addresses import Ip4
from pystack.stack.idents import COUNTERS, Identifications
from pystack.wire import icmp, ipv4

OTHER = Ip4(PEER + 1)


def idents_to(bench: Bench, dst: int) -> list[int]:
    """Return the identifications of what was sent there, and forget it."""
    packets = [ipv4.parse(memoryview(frame.data)[14:]) for frame in bench.taken()]
    return [packet.ident for packet in packets if packet.dst == dst]


def test_one_peer_does_not_learn_how_much_another_gets() -> None:
    bench = Bench()
    for station in (PEER, OTHER):
        bench.know_peer(station)
    found: list[int] = []
    for others in (0, 7, 100):
        for _ in range(others):
            bench.arrive(icmp_frame(icmp.pack(icmp.ECHO, 0, 1, b"x"), src=OTHER))
        bench.taken()
        bench.arrive(echo_frame())
        found += idents_to(bench, PEER)
    assert [later - first & 0xFFFF for first, later in itertools.pairwise(found)] == [
        1,
        1,
    ]


def test_errors_datagrams_and_echoes_each_count_for_themselves() -> None:
    idents = Identifications(1, "host")
    assert idents.of(HERE, PEER, ipv4.UDP) is not idents.of(HERE, PEER, ipv4.ICMP)
    assert idents.of(HERE, PEER, ipv4.UDP) is idents.of(HERE, PEER, ipv4.UDP)


def test_idents_go_up_by_one_and_wrap_while_there_is_no_pause() -> None:
    counter = Identifications(1, "host").of(HERE, PEER, ipv4.UDP)
    first = counter.take(0.0)
    assert [counter.take(0.0) for _ in range(0x10000)] == [
        first + 1 + number & 0xFFFF for number in range(0x10000)
    ]


def test_a_burst_takes_as_many_as_it_has_datagrams() -> None:
    counter = Identifications(1, "host").of(HERE, PEER, ipv4.UDP)
    first = counter.take(0.0, 10)
    assert counter.take(0.0) == first + 10 & 0xFFFF


def test_a_pause_adds_noise_up_to_a_thousand_a_second() -> None:
    counter = Identifications(1, "host").of(HERE, PEER, ipv4.UDP)
    last, steps = counter.take(0.0), []
    for second in range(1, 201):
        ident = counter.take(float(second))
        steps.append(ident - last & 0xFFFF)
        last = ident
    assert all(1 <= step <= 1000 for step in steps)
    assert len(set(steps)) > 150
    assert 400 < sum(steps) / len(steps) < 600


def test_the_same_seed_gives_the_same_idents_and_another_others() -> None:
    def some(seed: int, name: str = "host") -> list[int]:
        idents = Identifications(seed, name)
        return [idents.of(HERE, dst, ipv4.UDP).take(dst / 10) for dst in range(50)]

    assert some(1) == some(1)
    assert len({tuple(some(seed)) for seed in range(10)}) == 10
    assert some(1) != some(1, "other")


def test_a_million_destinations_share_a_bounded_number_of_counters() -> None:
    idents = Identifications(1, "host")
    counters = {id(idents.of(HERE, dst, ipv4.UDP)) for dst in range(20_000)}
    assert COUNTERS - 10 < len(counters) <= COUNTERS
    assert len(idents._known) <= 4096
