"""Whatever a call is given, it answers with JSON, or says in a sentence what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pystack
from pystack.link.words import WORDS
from pystack.runtime.control.control import CALLS, Control, ControlError
from pystack.runtime.control.table import Argument, Call

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a", "b", "r", "a-r", "r-b", "\ud800", "a\0b", "\x1b[2J", "none", "5ms"])
)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
_VALUES = st.sampled_from(
    ["5ms", "10%", "1gbit", "300", "codel", "0", "-1", "1e400s", "nan", "none", "yes", 7, None]
)


def values(argument: Argument) -> st.SearchStrategy[Any]:
    """Return what an argument may be told to be: something right, or anything."""
    match argument.kind:
        case "words":
            right: st.SearchStrategy[Any] = st.dictionaries(
                st.sampled_from([*WORDS, "?"]), _VALUES | _ANYTHING, max_size=3
            )
        case "groups":
            names = st.lists(st.sampled_from(["a", "b", "r", "?"]), max_size=2)
            right = st.lists(names, max_size=3)
        case "number":
            right = st.sampled_from([0, 1, 80, 1000, 65536, -1, 2**63])
        case "switch":
            right = st.booleans()
        case _ if argument.among:
            right = st.sampled_from(argument.among)
        case _ if argument.name == "file":  # nothing of the machine's
            return st.sampled_from(["one.pcapng", "two.pcap", ".", "no/where", "a\0b", "\ud800"])
        case _:
            right = st.sampled_from(["a", "b", "r", "a-r", "r-b", "b-r"])
    return right if argument.name == "file" else right | _ANYTHING


def arguments(call: Call) -> st.SearchStrategy[dict[str, Any]]:
    """Return what a call may be given."""
    known = {argument.name: values(argument) for argument in call.arguments}
    needed = {each.name: known.pop(each.name) for each in call.arguments if each.needed}
    return st.fixed_dictionaries(needed, optional=known)


_CALLS = st.one_of(
    [st.tuples(st.just(name), arguments(call)) for name, call in CALLS.items()]
) | st.tuples(_ANYTHING, _ANYTHING)


@settings(max_examples=60, deadline=None)
@given(calls=st.lists(_CALLS, min_size=1, max_size=25))
def test_any_call_is_answered_in_json_or_refused_in_a_sentence(
    calls: list[tuple[Any, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("calls")

    sentences: list[str] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b, router = net.host("a"), net.host("b"), net.router("r")
            net.link(a, router, delay="1ms")
            net.link(router, b, delay="2ms", rate="10mbit")
            control = Control(net)
            for name, given_to_it in calls:
                try:
                    answer = control.call(name, given_to_it)
                except ControlError as error:
                    sentences.append(str(error))
                else:
                    json.dumps(answer, allow_nan=False)
            control.call("resume")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pystack.run(main)
    assert all(each.isprintable() and len(each) < 1000 for each in sentences)
    assert {path.name for path in Path(folder).iterdir()} <= {"one.pcapng", "two.pcap"}
