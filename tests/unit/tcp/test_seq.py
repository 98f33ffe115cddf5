"""Sequence numbers, initial sequence numbers and ephemeral ports."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.rng import component_rng
from pystack.stack.ports import FIRST, LAST, EphemeralPorts, random_port
from pystack.tcp.isn import offsets
from pystack.tcp.seq import MODULUS, unwrap

WIRE = st.integers(0, 2**32 - 1)
KEY = bytes(16)


@given(WIRE, st.integers(0, 2**40))
def test_unwrap_gives_the_number_that_is_nearest(wire: int, near: int) -> None:
    number = unwrap(wire, near)
    assert number % MODULUS == wire
    assert -(2**31) <= number - near < 2**31


@given(st.integers(0, 2**40), st.integers(-(2**31), 2**31 - 1))
def test_unwrap_undoes_the_cut_to_32_bits(near: int, offset: int) -> None:
    assert unwrap((near + offset) % MODULUS, near) == near + offset


@pytest.mark.rfc("6528", "3")
@pytest.mark.rfc("9293", "MUST-8")
def test_initial_sequence_numbers_grow_with_time_at_250_kilohertz() -> None:
    numbers = [offsets(KEY, 1, 2, 3, 4).initial_number(now) for now in (0.0, 1.0, 3.0)]
    assert (numbers[1] - numbers[0]) % MODULUS == 250_000
    assert (numbers[2] - numbers[1]) % MODULUS == 500_000


@pytest.mark.rfc("6528", "3")
@pytest.mark.rfc("9293", "SHLD-1")
@pytest.mark.rfc("9293", "MUST-9")
def test_every_connection_and_every_host_has_its_own_number_space() -> None:
    names = [(1, 2, 3, 4), (9, 2, 3, 4), (1, 9, 3, 4), (1, 2, 9, 4), (1, 2, 3, 9)]
    spaces = [offsets(KEY, *name) for name in names] + [offsets(b"k" * 16, 1, 2, 3, 4)]
    assert len({space.initial_number(0.0) for space in spaces}) == 6


@pytest.mark.rfc("7323", "7.1")
def test_every_connection_s_timestamps_start_somewhere_else_and_the_next_one_s_there_too() -> None:
    names = [(1, 2, 3, 4), (9, 2, 3, 4), (1, 9, 3, 4), (1, 2, 9, 4), (1, 2, 3, 9)]
    spaces = [offsets(KEY, *name) for name in names] + [offsets(b"k" * 16, 1, 2, 3, 4)]
    assert len({space.timestamp for space in spaces}) == 6
    assert all(space.timestamp != space.number for space in spaces)
    assert offsets(KEY, *names[0]) == spaces[0]


@pytest.mark.rfc("6056", "3.3.4")
def test_ports_to_one_destination_do_not_come_back_soon() -> None:
    ports = EphemeralPorts(component_rng(1, "ports"))
    chosen = [ports.choose(1, 2, 80, lambda _port: True) for _ in range(1000)]
    assert len(set(chosen)) == 1000
    assert all(FIRST <= port <= LAST for port in chosen)


@pytest.mark.rfc("6056", "3.3.4")
def test_ports_to_other_destinations_tell_nothing() -> None:
    ports = EphemeralPorts(component_rng(1, "ports"))
    firsts = [ports.choose(1, remote, 80, lambda _port: True) for remote in range(50)]
    steps = {later - earlier for earlier, later in itertools.pairwise(firsts)}
    assert len(steps) > 45


def test_taken_ports_are_stepped_over_and_none_left_is_zero() -> None:
    ports = EphemeralPorts(component_rng(1, "ports"))
    assert ports.choose(1, 2, 80, lambda port: port == 40_000) == 40_000
    assert ports.choose(1, 2, 80, lambda _port: False) == 0
    assert random_port(component_rng(1, "x"), lambda port: port == 50_000) == 50_000
    assert random_port(component_rng(1, "x"), lambda _port: False) == 0
