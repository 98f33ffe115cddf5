"""Functions and types written in C that do something else for a while, for all who hold them."""

import _thread
import datetime
import select
import time
from collections.abc import Callable
from time import time as held_before

import pytest

from pystack.runtime.borrowed.loan import Borrow, Loan
from pystack.runtime.borrowed.wiring import rewired


def _still(_original: Callable[..., float]) -> Callable[..., float]:
    return lambda *_: 7.0


def test_who_holds_a_function_gets_what_is_in_its_place_and_later_the_function_again() -> None:
    borrow = Borrow()
    original = borrow.function(time.time, _still)
    try:
        assert held_before() == time.time() == 7.0
        assert original() > 1e9
    finally:
        borrow.give_back()
    assert held_before() > 1e9


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (time.time, ()),
        (time.sleep, (0.0,)),
        (time.gmtime, (0,)),
        (_thread.allocate_lock, ()),
        (select.select, ([], [], [], 0)),
    ],
)
def test_each_way_of_passing_arguments_is_known(
    function: Callable[..., object], args: tuple[object, ...]
) -> None:
    seen: list[tuple[object, ...]] = []
    before = function(*args)
    borrow = Borrow()
    borrow.function(function, lambda _: lambda *got: seen.append(got))
    try:
        assert function(*args) is None
    finally:
        borrow.give_back()
    assert seen == [args]
    assert type(function(*args)) is type(before)


def test_a_method_of_a_type_written_in_c_is_replaced_for_all_who_hold_the_type() -> None:
    then = datetime.datetime(2026, 1, 1)
    borrow = Borrow()
    borrow.method(datetime.datetime, "now", classmethod(lambda cls, tz=None: then))
    try:
        assert datetime.datetime.now() is then
    finally:
        borrow.give_back()
    assert datetime.datetime.now() > then


def test_what_is_lent_twice_comes_back_after_the_last() -> None:
    loan = Loan(lambda borrow: borrow.function(time.time, _still) and None)
    loan.take()
    loan.take()
    loan.give_back()
    assert held_before() == 7.0
    loan.give_back()
    assert held_before() > 1e9


def test_a_loan_that_fails_in_the_middle_leaves_nothing_behind() -> None:
    def fails(_borrow: Borrow) -> None:
        raise ValueError("no")

    loan = Loan(lambda borrow: borrow.function(time.time, _still) and None, fails)
    with pytest.raises(ValueError, match="no"):
        loan.take()
    assert held_before() > 1e9


def test_only_functions_written_in_c_can_be_rewired() -> None:
    with pytest.raises(TypeError, match="no function written in C"):
        next(rewired(_still, _still))
