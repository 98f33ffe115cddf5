"""The learning switch: who gets which frame, what is remembered, and for how long."""

import pytest
from topology_wires import Wire, frame

from pystack.core.errors import ConfigError
from pystack.topology.switch import Bridged, Switch
from pystack.wire.frame import Frame


def switch_with(ports: int, **settings: float) -> tuple[Switch, list[Wire]]:
    switch = Switch("sw", **settings)  # type: ignore[arg-type]
    wires = [Wire() for _ in range(ports)]
    for wire in wires:
        switch.plug(wire)
    return switch, wires


def counts(wires: list[Wire]) -> list[int]:
    return [len(wire.take()) for wire in wires]


def test_a_frame_for_a_stranger_leaves_by_every_port_but_its_own() -> None:
    _, wires = switch_with(4)
    wires[1].arrive(frame(1, 2))
    assert counts(wires) == [1, 0, 1, 1]


def test_a_frame_for_a_known_station_leaves_by_its_port_alone() -> None:
    switch, wires = switch_with(4)
    wires[2].arrive(frame(2, 9))
    counts(wires)
    wires[0].arrive(frame(1, 2))
    assert counts(wires) == [0, 0, 1, 0]
    assert switch.counters["switch_flooded"] == 1


def test_a_broadcast_is_flooded_though_all_stations_are_known() -> None:
    _, wires = switch_with(3)
    for number, wire in enumerate(wires):
        wire.arrive(frame(number, 9))
    counts(wires)
    wires[0].arrive(frame(0, None))
    assert counts(wires) == [0, 1, 1]


def test_frames_go_on_unchanged_and_at_the_instant_they_come() -> None:
    _, wires = switch_with(2)
    wires[0].arrive(frame(1, 2, 1514), 3.25)
    assert wires[1].sent == [(3.25, frame(1, 2, 1514))]


def test_a_station_that_moved_is_found_at_its_new_port() -> None:
    switch, wires = switch_with(3)
    wires[0].arrive(frame(1, 9))
    wires[2].arrive(frame(1, 9))
    counts(wires)
    wires[1].arrive(frame(5, 1))
    assert counts(wires) == [0, 0, 1]
    assert switch.counters["switch_moved"] == 1


def test_a_frame_for_a_station_on_its_own_port_is_dropped_by_name() -> None:
    switch, wires = switch_with(2)
    wires[0].arrive(frame(1, 9))
    counts(wires)
    wires[0].arrive(frame(2, 1))
    assert counts(wires) == [0, 0]
    assert switch.counters["switch_same_port"] == 1


@pytest.mark.parametrize(("now", "expected"), [(299.999, [1, 0, 0]), (300.0, [1, 0, 1])])
def test_a_station_is_forgotten_300_s_after_it_was_last_heard(
    now: float, expected: list[int]
) -> None:
    _, wires = switch_with(3)
    wires[0].arrive(frame(1, 9), 0.0)
    counts(wires)
    wires[1].arrive(frame(2, 1), now)
    assert counts(wires) == expected


def test_a_station_that_is_heard_again_is_remembered_for_longer() -> None:
    _, wires = switch_with(3)
    wires[0].arrive(frame(1, 9), 0.0)
    wires[0].arrive(frame(1, 9), 200.0)
    counts(wires)
    wires[1].arrive(frame(2, 1), 499.0)
    assert counts(wires) == [1, 0, 0]


def test_the_ageing_time_is_a_setting() -> None:
    switch, wires = switch_with(3, ageing=10)
    wires[0].arrive(frame(1, 9), 0.0)
    counts(wires)
    wires[1].arrive(frame(2, 1), 10.0)
    assert counts(wires) == [1, 0, 1]
    assert switch.counters["switch_aged"] == 1


def test_a_full_table_learns_no_more_and_floods_instead() -> None:
    switch, wires = switch_with(3, table_entries=2)
    for station in (1, 2, 3):
        wires[0].arrive(frame(station, 9), 0.0)
    counts(wires)
    wires[1].arrive(frame(3, 1), 1.0)
    assert counts(wires) == [1, 0, 0]
    wires[1].arrive(frame(1, 3), 1.0)
    assert counts(wires) == [1, 0, 1]
    assert switch.counters["switch_table_full"] == 2
    assert len(list(switch.stations(1.0))) == 2


def test_a_full_table_makes_room_by_forgetting_what_is_too_old() -> None:
    switch, wires = switch_with(2, table_entries=2)
    wires[0].arrive(frame(1, 9), 0.0)
    wires[0].arrive(frame(2, 9), 299.0)
    wires[0].arrive(frame(3, 9), 300.0)
    assert [mac for mac, _ in switch.stations(300.0)] == ["02:00:00:00:00:02", "02:00:00:00:00:03"]


def test_a_blocked_port_neither_sends_nor_hears() -> None:
    switch, wires = switch_with(3)
    switch.block({2})
    wires[0].arrive(frame(1, None))
    assert counts(wires) == [0, 1, 0]
    wires[2].arrive(frame(5, None))
    assert counts(wires) == [0, 0, 0]
    assert switch.counters["switch_blocked_port"] == 1


def test_runts_and_frames_from_groups_are_dropped_by_name() -> None:
    switch, wires = switch_with(2)
    wires[0].arrive(b"\x02" * 13)
    wires[0].arrive(b"\x02" * 6 + b"\xff" * 6 + b"\x08\x00" + bytes(46))
    assert counts(wires) == [0, 0]
    assert (switch.counters["eth_runt"], switch.counters["eth_bad_source"]) == (1, 1)


@pytest.mark.parametrize(("last", "copies"), [(0x00, 0), (0x0E, 0), (0x0F, 0), (0x10, 1)])
def test_what_is_for_the_link_alone_goes_no_further(last: int, copies: int) -> None:
    switch, wires = switch_with(2)
    wires[0].arrive(bytes([0x01, 0x80, 0xC2, 0, 0, last]) + frame(1, 2)[6:])
    assert counts(wires) == [0, copies]
    assert switch.counters["switch_reserved_address"] == 1 - copies


def test_a_table_for_no_station_is_refused() -> None:
    with pytest.raises(ConfigError):
        Switch("sw", table_entries=0)


def test_a_frame_of_an_older_tree_is_dropped_where_the_way_has_changed() -> None:
    switch, wires = switch_with(3)
    switch.trunk(1)
    switch.trunk(2)
    old = Bridged(Frame(frame(1, None)), 0)
    switch.tree = 1
    switch.renew(2, 1)
    wires[2].sink(old, 0.0)
    assert counts(wires) == [0, 0, 0]
    assert switch.counters["switch_old_tree"] == 1
    wires[1].sink(old, 0.0)  # by a link that is not on the ring: as good as ever
    assert counts(wires) == [1, 0, 1]


def test_only_who_was_behind_the_link_is_forgotten() -> None:
    switch, wires = switch_with(3)
    switch.trunk(2)
    wires[0].arrive(frame(1, None))
    wires[2].arrive(frame(2, None))
    switch.renew(2, 1)
    assert list(switch.stations(0.0)) == [("02:00:00:00:00:01", 0)]


def test_what_was_made_anew_on_its_way_teaches_nothing_after_a_change() -> None:
    switch, wires = switch_with(3)
    switch.trunk(2)
    wires[2].arrive(frame(2, None))
    switch.renew(2, 1)
    wires[2].arrive(frame(2, None))
    assert list(switch.stations(0.0)) == []
