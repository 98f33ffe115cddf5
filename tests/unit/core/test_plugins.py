"""Plug-ins by name."""

from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint

import pytest

from pystack.core.errors import ConfigError
from pystack.core.plugins import Group


class Thing:
    """What a group is of: it is told by its method."""

    def __init__(self, given: object, *, size: str | int = 1) -> None:
        self.made_of = given, size

    def do(self) -> None:
        """Nothing."""


class Other(Thing):
    """Another kind, with another name."""

    name = "other"


GROUP = Group[Thing]("congestion", {"newreno": Thing, "cubic": Other}, "do")
EACH = Group[Thing]("qdisc", {}, "do", trial=(0,), each="direction of a link")


def test_a_built_in_is_found() -> None:
    assert GROUP.find("cubic") is Other


def test_a_third_partys_is_loaded_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("mine", "math:tau", "pystack.congestion")
    broken = EntryPoint("broken", "no_such_module:x", "pystack.congestion")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [entry, broken])
    assert GROUP.installed() == {"mine": entry, "broken": broken}
    assert GROUP.find("mine") == pytest.approx(6.2831853)


def test_a_third_partys_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_module:x", "pystack.congestion")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [broken])
    with pytest.raises(ConfigError, match=r"congestion 'broken' \(no_such_module:x\): No module"):
        GROUP.find("broken")


def test_a_built_in_goes_before_a_third_partys(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("cubic", "math:tau", "pystack.congestion")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [entry])
    assert GROUP.find("cubic") is Other


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cubic'") as caught:
        GROUP.find("cubik")
    assert "there is no congestion 'cubik'" in str(caught.value)


def test_a_name_like_no_other_gets_no_guess() -> None:
    with pytest.raises(ConfigError, match=r"no congestion 'xyzzy' \(there are: cubic, newreno\)$"):
        GROUP.find("xyzzy")


@pytest.mark.parametrize(
    ("asked", "title", "size"),
    [
        ("cubic", "congestion cubic", 1),
        ("cubic size 5", "congestion cubic", "5"),
        ("cubic:5", "congestion cubic", "5"),
        ({"name": "cubic", "size": 5}, "congestion cubic", 5),
        ({"name": Other, "size": 5}, "congestion other", 5),
        (Other, "congestion other", 1),
        (Thing, "congestion Thing", 1),
        (partial(Thing, size=5), "congestion Thing", 5),
        (lambda given: Thing(given, size=5), "congestion <lambda>", 5),
    ],
)
def test_it_is_asked_for_by_name_by_class_and_by_what_makes_it(
    asked: object, title: str, size: object
) -> None:
    chosen = GROUP.read(asked)
    assert chosen.title == title
    assert chosen("given").made_of == ("given", size)
    assert chosen("given") is not chosen("given")
    assert not chosen.is_itself


def test_what_was_read_is_read_again_as_it_is_and_the_same_words_are_equal() -> None:
    chosen = GROUP.read("cubic size 5")
    assert GROUP.read(chosen) is chosen
    assert GROUP.read({"name": "cubic", "size": "5"}) == chosen != GROUP.read("cubic size 6")


def test_the_thing_itself_is_taken_where_one_serves_alone() -> None:
    thing = Thing("mine")
    chosen = GROUP.read(thing)
    assert chosen.is_itself
    assert chosen("given") is thing


@pytest.mark.parametrize(
    ("group", "asked", "sentence"),
    [
        (
            EACH,
            Thing(1),
            "is one qdisc, and each direction of a link needs its own: give",
        ),
        (EACH, int, "qdisc int: 0 is no qdisc: it has no 'do'"),
        (EACH, lambda: 5, "qdisc <lambda>: "),
        (EACH, lambda given: None, "qdisc <lambda>: None is no qdisc: it has no 'do'"),
        (GROUP, 5, "5 is no congestion: it takes a name with its words, a mapping, a class"),
        (GROUP, None, "None is no congestion"),
        (GROUP, {"name": 5}, "a congestion needs its 'name', not 5"),
        (GROUP, {"name": Thing, "sise": 5}, "did you mean 'size'"),
        (GROUP, Callable, "congestion"),
    ],
)
def test_what_is_none_of_the_kind_is_refused(
    group: Group[Thing], asked: object, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        group.read(asked)("given")
    assert sentence in str(caught.value)
