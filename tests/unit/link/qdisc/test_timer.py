"""A timer that nobody runs: its ticks are counted from its start."""

from pystack.link.qdisc.timer import LazyTimer


def test_ticks_fall_on_multiples_of_the_interval_from_the_start() -> None:
    timer = LazyTimer(0.015)
    assert timer.due_at == float("inf")
    timer.start(1.0)
    timer.start(5.0)  # for nothing
    assert timer.due_at == 1.015
    for _ in range(9999):
        timer.step()
    assert timer.due_at == 1.0 + 10_000 * 0.015


def test_what_is_skipped_goes_to_the_first_tick_after_now_never_to_one_at_now() -> None:
    for now, due_at in ((1.0, 1.25), (1.1, 1.25), (1.25, 1.5), (1.5, 1.75), (900.0, 900.25)):
        timer = LazyTimer(0.25)
        timer.start(1.0)
        timer.skip_past(now)
        assert timer.due_at == due_at


def test_a_tick_is_at_now_whatever_the_order_in_which_floats_were_added() -> None:
    timer = LazyTimer(0.1)
    timer.start(0.0)
    timer.skip_past(0.1 + 0.2)  # 0.30000000000000004
    assert round(timer.due_at, 9) == 0.4
    timer = LazyTimer(0.1)
    timer.start(0.0)
    timer.skip_past(0.7)  # 7 x 0.1 is 0.7000000000000001
    assert round(timer.due_at, 9) == 0.8
