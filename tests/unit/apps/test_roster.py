"""Who has to go when a service is full."""

import pytest
import trio
import trio.testing

from pystack.apps.roster import GRACE_S, WINDOW_S, Connection, Roster

pytestmark = pytest.mark.trio


class Moving:
    """Tells who is there, and how much has moved: so much in each second."""

    def __init__(self, address: str, rate_bps: float) -> None:
        self.remote_address = address, 40_000
        self._rate_bps = rate_bps
        self._began_at = trio.current_time()
        self.stopped_at: float | None = None

    @property
    def moved_bytes(self) -> int:
        now = trio.current_time() if self.stopped_at is None else self.stopped_at
        return int((now - self._began_at) * self._rate_bps / 8)


def enter(roster: Roster, address: str, rate_bps: float) -> Connection:
    return roster.enter(Moving(address, rate_bps))  # type: ignore[arg-type]


async def test_the_one_that_moves_least_goes_first(autojump_clock: trio.testing.MockClock) -> None:
    roster = Roster(3)
    rates = (900.0, 8.0, 400.0)
    connections = {rate: enter(roster, "10.0.0.1", rate) for rate in rates}
    await trio.sleep(60)
    for rate in sorted(rates):
        newcomer = enter(roster, "10.0.0.1", 1e6)
        assert roster.is_full
        assert roster.shed_for(newcomer) is connections[rate]
        assert connections[rate].scope.cancel_called
        assert not roster.is_full
    # those that are left are no slower than can be asked for
    await trio.sleep(60)
    last = enter(roster, "10.0.0.1", 1e6)
    assert roster.shed_for(last) is None
    assert roster.is_full


async def test_what_was_fast_long_ago_is_slow(autojump_clock: trio.testing.MockClock) -> None:
    roster = Roster(2)
    was_fast, steady = enter(roster, "10.0.0.1", 1e9), enter(roster, "10.0.0.1", 2000.0)
    await trio.sleep(100)
    first = enter(roster, "10.0.0.1", 1.0)
    assert roster.shed_for(first) is None
    roster.leave(first)
    assert isinstance(was_fast.stream, Moving)
    was_fast.stream.stopped_at = trio.current_time()
    for _ in range(3):
        await trio.sleep(WINDOW_S)
        newcomer = enter(roster, "10.0.0.1", 2000.0)
        if roster.shed_for(newcomer):
            break
        roster.leave(newcomer)
    assert was_fast.is_shed
    assert not steady.is_shed


async def test_an_address_that_has_more_gives_way_to_one_that_has_less(
    autojump_clock: trio.testing.MockClock,
) -> None:
    roster = Roster(10)
    crowd = [enter(roster, "10.0.0.1", 1e6 + number) for number in range(10)]
    await trio.sleep(10)
    others = []
    for number in range(5):
        others.append(enter(roster, "10.0.0.2", 1e6))
        assert roster.shed_for(others[-1]) is crowd[number]
    # five each: whoever of the two has one more now has no claim on the other's
    assert roster.shed_for(enter(roster, "10.0.0.2", 1e6)) is None
    assert not any(other.is_shed for other in others)


async def test_who_has_just_come_is_not_slow_yet(autojump_clock: trio.testing.MockClock) -> None:
    roster = Roster(1)
    first, second = enter(roster, "10.0.0.1", 0.0), enter(roster, "10.0.0.1", 0.0)
    assert roster.shed_for(second) is None
    await trio.sleep(GRACE_S)
    assert roster.shed_for(second) is first


async def test_where_nobody_can_tell_nobody_is_slow(
    autojump_clock: trio.testing.MockClock,
) -> None:
    roster = Roster(1)
    pairs = [trio.testing.memory_stream_pair() for _ in range(2)]
    roster.enter(pairs[0][0])
    await trio.sleep(1000)
    assert roster.shed_for(roster.enter(pairs[1][0])) is None
