"""Counters by name."""

from pystack.core.counters import Counters


def test_what_was_never_counted_is_zero_and_is_not_stored() -> None:
    counters = Counters()
    assert counters["ip_bad_checksum"] == 0
    assert counters == {}


def test_counting_adds_one_or_more() -> None:
    counters = Counters()
    counters.add("frames_in")
    counters.add("frames_in", 3)
    counters["frames_in"] += 1
    assert counters == {"frames_in": 5}
