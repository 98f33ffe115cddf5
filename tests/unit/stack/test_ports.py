"""Ephemeral ports (RFC 6056)."""

from itertools import pairwise

import pytest

from pystack.core.rng import component_rng
from pystack.stack.ports import COUNT, FIRST, LAST, EphemeralPorts, random_port

HERE, THERE = 0x0A000001, 0x0A000002


def ports(seed: int = 1) -> EphemeralPorts:
    return EphemeralPorts(component_rng(seed, "ports"))


def chosen(source: EphemeralPorts, count: int, remote: int = THERE, port: int = 80) -> list[int]:
    return [source.choose(HERE, remote, port, lambda _port: True) for _ in range(count)]


@pytest.mark.rfc("6056", "section 3.3.4")
def test_ports_to_one_destination_count_up_and_come_back_late() -> None:
    found = chosen(ports(), COUNT)
    assert len(set(found)) == COUNT
    assert min(found) == FIRST
    assert max(found) == LAST
    assert all((b - a) % COUNT == 1 for a, b in pairwise(found))


def test_a_port_that_is_taken_is_stepped_over() -> None:
    source = ports()
    (first,) = chosen(ports(), 1)
    found = source.choose(HERE, THERE, 80, lambda port: port != first)
    assert (found - first) % COUNT == 1


def test_when_all_are_taken_there_is_none() -> None:
    assert ports().choose(HERE, THERE, 80, lambda _port: False) == 0
    assert random_port(component_rng(1, "x"), lambda _port: False) == 0


def test_destinations_have_offsets_of_their_own() -> None:
    firsts = [chosen(ports(), 1, remote=THERE + number)[0] for number in range(500)]
    assert len(set(firsts)) > 480
    # spread over the range: no quarter of it is empty, or has half of all
    quarters = [sum((port - FIRST) * 4 // COUNT == at for port in firsts) for at in range(4)]
    assert all(60 < count < 250 for count in quarters)


def test_a_strangers_connections_do_not_tell_the_next_port_to_others() -> None:
    # What one destination has counted moves another's ports only where they share 1 of 64 counters.
    moved = 0
    for number in range(1, 65):
        source = ports()
        chosen(source, 50)
        alone = chosen(ports(), 1, remote=THERE + number)
        moved += chosen(source, 1, remote=THERE + number) != alone
    assert moved < 10


def test_hosts_have_secrets_of_their_own() -> None:
    assert len({chosen(ports(seed), 1)[0] for seed in range(50)}) > 45


def test_the_same_seed_gives_the_same_ports() -> None:
    assert chosen(ports(3), 20) == chosen(ports(3), 20)


@pytest.mark.rfc("6056", "section 3.3.1")
def test_a_random_port_is_any_free_one() -> None:
    rng = component_rng(1, "x")
    found = [random_port(rng, lambda port: port % 2 == 0) for _ in range(300)]
    assert all(FIRST <= port <= LAST and port % 2 == 0 for port in found)
    assert len(set(found)) > 280
