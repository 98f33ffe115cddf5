"""The finder of lines walks over all of TOML without losing its way."""

import tomllib
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from pystack.topology.toml_places import Path, find_places, line_of

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
seed = 7 # and one behind a value
text = "with \\" quote, # no comment, [no] {table}"
literal = 'a \\ stays'
many = """
two lines ""with quotes"" inside
and \\""" one that is not the end"""
raw = \'\'\'
it's raw\'\'\'

[hosts.client]
"quoted key" = 1
address.first = "x"
[ hosts . "ser ver" ]
programs = [
    { run = "a:b", args = [80, { deep = 1 }] }, # comment, with ] and }
    # a comment between
    { run = "c:d", args = [
      5,
    ] },
]
date = 1979-05-27 07:32:00
[[links]]
between = ["a", "b"]
a_to_b = { rate = "10mbit", inner = { loss = 1 } }
[links.b_to_a]
rate = 1

[[links]]
  [[links.tags]]
  name = "x"
  [[links.tags]]
  name = "y"
[links.a_to_b]
gap = 3
'''


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    """Go through all that a document holds, in tomllib's eyes."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from paths(item, (*path, number))


def test_every_key_table_and_element_has_its_line() -> None:
    places = find_places(DOCUMENT)
    assert set(places) == set(paths(tomllib.loads(DOCUMENT)))
    assert places["seed",] == 2
    assert places["literal",] == 4
    assert places["many",] == 5
    assert places["raw",] == 8
    assert places["hosts", "client"] == 11
    assert places["hosts", "client", "quoted key"] == 12
    assert places["hosts", "client", "address", "first"] == 13
    assert places["hosts", "ser ver"] == 14
    assert places["hosts", "ser ver", "programs", 0, "args", 1, "deep"] == 16
    assert places["hosts", "ser ver", "programs", 1] == 18
    assert places["hosts", "ser ver", "programs", 1, "args", 0] == 19
    assert places["hosts", "ser ver", "date"] == 22
    assert places["links", 0] == 23
    assert places["links", 0, "between", 1] == 24
    assert places["links", 0, "a_to_b", "inner", "loss"] == 25
    assert places["links", 0, "b_to_a", "rate"] == 27
    assert places["links", 1] == 29
    assert places["links", 1, "tags", 1, "name"] == 33
    assert places["links", 1, "a_to_b", "gap"] == 35


def test_lines_end_as_on_any_system() -> None:
    assert find_places(DOCUMENT.replace("\n", "\r\n")) == find_places(DOCUMENT)


def test_what_is_not_there_is_where_its_surroundings_are() -> None:
    places = find_places(DOCUMENT)
    assert line_of(places, ("links", 1, "a_to_b", "rate")) == 34
    assert line_of(places, ("links", 7)) == 23
    assert line_of(places, ("nowhere",)) == 1


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
values = st.recursive(
    st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def written(value: object) -> str:
    """Return a value as TOML has it, in one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return (
            f"{{{', '.join(f'{written(key)} = {written(item)}' for key, item in value.items())}}}"
        )
    return str(value)


@given(st.dictionaries(texts, values, max_size=4), st.booleans())
def test_any_document_has_all_its_paths(document: dict[str, object], comments: bool) -> None:
    rest = "  # [x] = {" if comments else ""
    lines = [f"{written(key)} = {written(value)}{rest}" for key, value in document.items()]
    places = find_places("\n".join(lines))
    assert set(places) == set(paths(document))
    for number, key in enumerate(document, 1):
        assert {line for path, line in places.items() if path[0] == key} == {number}
