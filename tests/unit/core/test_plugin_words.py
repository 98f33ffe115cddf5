"""How a plug-in is asked for."""

from collections.abc import Mapping

import pytest

from pystack.core.errors import ConfigError
from pystack.core.plugins import Chosen, Group

Made = tuple[object, ...]


def thing(
    given: int, *, size: str, fast: bool = True, parts: tuple[str, ...] = (), file: str = ""
) -> Made:
    if size == "huge":
        raise ValueError("too huge")
    return given, size, fast, parts, file


def plain(given: int) -> Made:
    return (given,)


def choose(value: str | Mapping[str, object]) -> Chosen[Made]:
    return Group("impairment", {"thing": thing, "plain": plain}, "count").read(value)


@pytest.mark.parametrize(
    "value",
    [
        "thing size 3 nofast parts a b file 'c d'",
        "thing file 'c d' parts a b no_fast size 3",
        {"name": "thing", "size": "3", "fast": False, "parts": ["a", "b"], "file": "c d"},
    ],
)
def test_a_text_and_a_mapping_say_the_same(value: str | Mapping[str, object]) -> None:
    chosen = choose(value)
    assert chosen.title == "impairment thing"
    assert chosen(7) == (7, "3", False, ("a", "b"), "c d")


def test_what_is_not_said_is_as_the_factory_has_it() -> None:
    assert choose("thing size 3")(7) == (7, "3", True, (), "")
    assert choose("plain")(7) == (7,)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "an impairment needs a name"),
        ("thing 'size", "the impairment \"thing 'size\" can't be read: No closing quotation"),
        ("thng size 3", "there is no impairment 'thng'; did you mean 'thing'?"),
        ("thing sze 3", "impairment thing has no word 'sze'; did you mean 'size'?"),
        ("plain size 3", "impairment plain has no word 'size'; it takes none"),
        ("plain:3", "impairment 'plain' has nothing to set: 'plain:3'"),
        ("thing given 3", "impairment thing has no word 'given' (there are: size, fast, parts"),
        ("thing size", "impairment thing: 'size' needs a value"),
        ("thing parts size 3", "impairment thing: 'parts' needs a value"),
        ("thing size 3 size 4", "impairment thing: 'size' is there twice"),
        ("thing fast", "impairment thing needs the word 'size'"),
        ({"size": "3"}, "an impairment needs its 'name', not None"),
        ({"name": "thing", "sze": "3"}, "did you mean 'size'?"),
        ({"name": "thing", "size": "3", "fast": 1}, "'fast' is true or false, not 1"),
        ({"name": "thing", "size": "3", "parts": "a"}, "'parts' is a list, not 'a'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_a_sentence(value: str | dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose(value)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_of_the_factory_says_whose_it_is() -> None:
    with pytest.raises(ConfigError, match=r"^impairment thing: too huge$"):
        choose("thing size huge")(7)
