"""A UDP service is of no use to who lies about an address."""

from types import SimpleNamespace

import trio
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.reflection import (
    BURST_BYTES,
    MAX_ADDRESSES,
    REFILL_BYTES_PER_S,
    Excess,
    excess_bytes,
    sockets_of_this_run,
)
from pystack.core.addresses import Ip4


@given(st.lists(st.tuples(st.integers(1, 70_000), st.floats(0, 2))))
def test_an_address_gets_no_more_than_its_part(questions: list[tuple[int, float]]) -> None:
    excess, now, sent_bytes = Excess(), 100.0, 0
    for more_bytes, pause_s in questions:
        now += pause_s
        if excess.allows(more_bytes, "10.0.0.1", now):
            sent_bytes += more_bytes
        assert sent_bytes <= BURST_BYTES + (now - 100.0) * REFILL_BYTES_PER_S + 1


def test_what_is_half_as_long_again_on_the_wire_is_free() -> None:
    question = bytes(34)  # "www.example.test" to a DNS: with an address, 16 bytes more
    assert excess_bytes(question, bytes(34 + 16)) == 0
    assert excess_bytes(question, bytes(34 + 31)) == 0
    assert excess_bytes(question, bytes(34 + 32)) == 32
    assert excess_bytes(b"", bytes(15)) == 15
    assert excess_bytes(question, b"") == 0


def test_addresses_have_parts_of_their_own_and_old_ones_are_forgotten() -> None:
    excess = Excess()
    for number in range(2 * MAX_ADDRESSES):
        assert excess.allows(BURST_BYTES, f"address {number}", 0.0)
        assert not excess.allows(1, f"address {number}", 0.0)
    assert not excess.allows(1, f"address {2 * MAX_ADDRESSES - 1}", 0.0)
    assert len(excess) == MAX_ADDRESSES


def test_what_is_served_is_known_as_long_as_it_is() -> None:
    async def main() -> None:
        sockets = sockets_of_this_run()
        own = SimpleNamespace(address=Ip4(0x0A000001))
        host = SimpleNamespace(interfaces=[SimpleNamespace(addresses=[own])])
        with sockets.served(host, 7000):
            assert sockets.has("10.0.0.1", 7000)
            assert not sockets.has("10.0.0.2", 7000)
            assert not sockets.has("10.0.0.1", 7001)
        assert not sockets.has("10.0.0.1", 7000)
        assert sockets_of_this_run() is sockets

    trio.run(main)
