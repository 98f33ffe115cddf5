"""What ends after a silence, each in its time, the one that was silent for longest first."""

from pystack.core.scheduler import Scheduler
from pystack.runtime.outside.aging import Aging

IDLE_S = 30.0


class Idle:
    """Something that can be silent."""

    used_at = 0.0

    def __init__(self, name: str, closed: list[str]) -> None:
        self.name, self.closed = name, closed

    def close(self) -> None:
        """Take note."""
        self.closed.append(self.name)


def test_each_is_closed_after_its_own_silence_and_then_nothing_is_planned() -> None:
    scheduler, closed = Scheduler(), list[str]()
    expired: list[int] = []
    idlers: Aging[str, Idle] = Aging(scheduler, IDLE_S, "idlers", lambda: expired.append(1))
    for now, name in ((0.0, "a"), (1.0, "b"), (2.0, "c")):
        scheduler.run_due(now)
        idlers.add(name, Idle(name, closed), now)
    scheduler.run_due(20.0)
    assert idlers.used("a", 20.0)
    scheduler.run_due(30.9)
    assert closed == []
    scheduler.run_due(31.0)
    assert closed == ["b"]
    idlers.forget("c")  # it is somebody else's now
    scheduler.run_due(49.9)
    assert closed == ["b"]
    scheduler.run_due(50.0)
    assert (closed, len(expired)) == (["b", "a"], 2)
    assert (len(idlers), len(scheduler), scheduler.next_at()) == (0, 0, float("inf"))


def test_what_has_gone_is_not_used_any_more() -> None:
    scheduler, closed = Scheduler(), list[str]()
    idlers: Aging[str, Idle] = Aging(scheduler, IDLE_S, "idlers")
    idlers.add("a", Idle("a", closed), 0.0)
    idlers.add("b", Idle("b", closed), 0.0)
    idlers.used("a", 1.0)
    assert idlers.spend()
    assert closed == ["b"]
    assert not idlers.used("b", 2.0)
    idlers.close()
    assert closed == ["b", "a"]
    assert not idlers.spend()
    assert len(scheduler) == 0
