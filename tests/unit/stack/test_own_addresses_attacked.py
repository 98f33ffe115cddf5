"""A station of the link claims every address, and tells of ever other prefixes."""

from random import Random

import pytest
from discovery_bench import DiscoveryBench, prefix_said

from pystack.core.addresses import ALL_NODES6
from pystack.stack.interface import AddressState
from pystack.stack.own_addresses import ADDRESSES


def claim(bench: DiscoveryBench, at: float) -> None:
    """Say of all that is tried out that another has it."""
    for own in list(bench.interface.addresses):
        if own.state is AddressState.TENTATIVE:
            bench.answered(own.address, dst=ALL_NODES6, solicited=False, at=at)


@pytest.mark.rfc("4862", "5.4.5")
def test_a_prefix_told_again_while_the_next_address_is_due_makes_no_second_one() -> None:
    bench = DiscoveryBench((), accept_ra=True, use_tempaddr=True, dad_transmits=1)
    for at in (1.0, 1.2, 1.4):
        bench.advertised(prefixes=[prefix_said()], at=at)
        claim(bench, at + 0.1)
    bench.run(2.15)  # the next of both were due at 2.1
    stable, temporary = bench.automatic()
    assert (stable.is_temporary, temporary.is_temporary) == (False, True)
    bench.run(10.0)
    assert [own.state for own in bench.automatic()] == [AddressState.PREFERRED] * 2


def test_addresses_that_are_due_count_among_those_that_there_may_be() -> None:
    bench = DiscoveryBench((), accept_ra=True, dad_transmits=1)
    for number in range(1, 101):
        at = 1.0 + number / 200
        bench.advertised(prefixes=[prefix_said(f"2001:db8:{number:x}::/64")], at=at)
        claim(bench, at)
    bench.run(3.0)
    assert len(bench.automatic()) == ADDRESSES


@pytest.mark.rfc("8981", "3.4")
def test_no_temporary_address_is_made_that_would_have_a_successor_at_once() -> None:
    bench = DiscoveryBench(accept_ra=True, use_tempaddr=True, dad_transmits=1)
    # A router that has each question of DAD take a minute: REGEN_ADVANCE is 182 s then.
    said = [prefix_said(preferred_s=180)]
    bench.advertised(prefixes=said, retrans_ms=60_000, at=1.0)
    bench.run(170.0)
    assert [own.is_temporary for own in bench.automatic()] == [False]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_said_the_addresses_are_bounded(seed: int) -> None:
    rng = Random(seed)
    bench = DiscoveryBench(
        accept_ra=True,
        use_tempaddr=True,
        temp_preferred_s=300,
        temp_valid_s=100_000,
        dad_transmits=rng.choice((0, 1, 2)),
    )
    bench.discovery.start(0.0)
    at = 0.0
    for _ in range(500):
        at += rng.choice((0.01, 0.1, 0.5, 3.0, 100.0))
        bench.run(at)
        if rng.random() < 0.5:
            valid_s = rng.choice((1, 2, 10, 400, 7200, 10**6))
            preferred_s = min(valid_s, rng.choice((0, 1, 7, 400, 10**6)))
            text = f"2001:db8:{rng.randrange(1, 30):x}::/64"
            said = [prefix_said(text, valid_s=valid_s, preferred_s=preferred_s)]
            bench.advertised(prefixes=said, retrans_ms=rng.choice((0, 10, 60_000)), at=at)
        if rng.random() < 0.3:
            claim(bench, at)
        assert len(bench.automatic()) <= ADDRESSES
