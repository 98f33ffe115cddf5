"""Sessions of datagrams to the outside: whatever is sent, sockets are bounded, and given back."""

from hypothesis import given, settings
from hypothesis import strategies as st
from outside_rig import Unwatched, held

from pystack.core.addresses import parse_ip
from pystack.core.scheduler import Scheduler
from pystack.runtime.outside.ground import Ground
from pystack.runtime.outside.reach import Reach
from pystack.runtime.outside.sessions import BRIEF_S, IDLE_S, Sessions
from pystack.stack.host import Host

REAL = parse_ip("127.0.0.1")
ALLOWANCE = 3
DISCARD, DNS = 9, 53


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 7.0, 19.0, 100.0, 179.0, 200.0]),  # after so many seconds
            st.integers(1, 6),  # from this port
            st.sampled_from([DISCARD, DNS]),  # to that one
        ),
        max_size=30,
    )
)
def test_a_session_lives_as_long_as_it_is_used_and_there_are_no_more_than_may_be(
    steps: list[tuple[float, int, int]],
) -> None:
    scheduler = Scheduler()
    host = Host("gateway", scheduler, 7)
    ground = Ground(host, Unwatched(), Reach(), ALLOWANCE)  # type: ignore[arg-type]
    sessions = Sessions(ground)
    model: dict[int, tuple[float, bool]] = {}  # by port: when it was used last; only for names
    now = 0.0
    for after, port, dst_port in steps:
        now += after
        scheduler.run_due(now)
        for known, (used_at, brief) in list(model.items()):
            if used_at + (BRIEF_S if brief else IDLE_S) <= now:
                del model[known]
        assert len(sessions) == len(model)
        if port not in model and len(model) == ALLOWANCE:
            # The most silent of those that only ask for names goes, or else of all.
            del model[min(model, key=lambda each: (not model[each][1], model[each][0]))]
        sessions.datagram_arrived(held(port, dst_port, host), REAL, now)
        brief = dst_port == DNS and model.get(port, (0.0, True))[1]
        model.pop(port, None)
        model[port] = now, brief
        assert len(sessions) == len(model) <= ALLOWANCE
        assert ground.left == ALLOWANCE - len(sessions)
    scheduler.run_due(now + IDLE_S)
    assert (len(sessions), ground.left, len(scheduler)) == (0, ALLOWANCE, 0)
