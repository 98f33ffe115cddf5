"""The table of a link's words: types, readers, examples and docs all say the same."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args, get_type_hints

import pytest

import pystack
from pystack import ConfigError
from pystack.link import config
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.link.words import WORDS, NetemWords, as_words
from pystack.topology import presets, reading

DOCS: Final = Path(__file__).parents[3] / "docs/emulation.md"
HEAD: Final = (
    "| word | values | a number is in | default | what it does |\n| --- | --- | --- | --- | --- |\n"
)
PARTNERS: Final = {"delay": "20ms", "jitter": "1ms", "rate": "1mbit", "loss": "1%"}
FILES: Final = {"trace": "1\n5\n", "delay_trace": "0s 10ms\n"}


def example(word: str, folder: Path) -> object:
    """Return a value that the table shows, as Python gives it."""
    shown = WORDS[word].example
    if word in FILES:
        (folder / shown).write_text(FILES[word])
        return str(folder / shown)
    if WORDS[word].repeats:
        return [shown]
    return shown or True


def test_each_word_of_the_table_is_read_and_no_other_is() -> None:
    assert WORDS.keys() == config._WORDS.keys()
    assert list(WORDS) == list(NetemWords.__annotations__)
    assert sorted(WORDS) == reading.LINK_WORDS


def test_all_presets_are_said_in_words_of_the_table() -> None:
    for preset in presets.PRESETS.values():
        assert {*preset.up, *preset.down} <= WORDS.keys()


@pytest.mark.parametrize("word", WORDS)
def test_the_example_of_a_word_can_be_said(word: str, tmp_path: Path) -> None:
    value = example(word, tmp_path)
    needed = {"reorder": "1%"} if word == "gap" else {"cell_size": 48} if "cell" in word else {}
    kept = {} if word == "trace" else PARTNERS
    changed = PipeConfig().updated(**as_words({**kept, **needed, word: value}))
    assert changed != PipeConfig().updated(**as_words({**kept, **needed, word: None}))


@pytest.mark.parametrize("word", [word for word in WORDS if WORDS[word].default])
def test_the_default_of_a_word_is_what_holds_without_it(word: str) -> None:
    assert PipeConfig().updated(**as_words({word: WORDS[word].default})) == PipeConfig()


@pytest.mark.parametrize("word", WORDS)
def test_the_type_of_a_word_is_that_of_its_values(word: str, tmp_path: Path) -> None:
    names = {"DelayTrace": object, "Predicate": object, "Drop": object, "DeliveryTrace": object}
    names |= {"QdiscLike": str, "ImpairmentLike": str}
    taken = get_args(get_type_hints(NetemWords, localns=names)[word])
    value = example(word, tmp_path)
    assert type(None) in taken
    is_flag = WORDS[word].values == ""
    assert (bool in taken) == is_flag
    if not is_flag and not WORDS[word].repeats:
        assert str in taken
    assert isinstance(value, bool | list | str)


def docs_table() -> str:
    """Return the words as docs/emulation.md has them."""
    rows = []
    for name, word in WORDS.items():
        values = "True or False" if word.values == "" else f"`{word.values}`".replace("|", "\\|")
        default = f"`{word.default}`" if word.default else ""
        rows.append(f"| `{name}` | {values} | {word.unit} | {default} | {word.about} |\n")
    return HEAD + "".join(rows)


def test_the_docs_have_the_table() -> None:
    text = DOCS.read_text("utf-8")
    assert docs_table() in text, "run scripts/docs --pages"


@pytest.mark.parametrize("call", [pystack.Network.link, Link.set, PipeConfig.parse])
def test_who_takes_the_words_says_so_in_its_signature(call: Callable[..., object]) -> None:
    parameter = inspect.signature(call).parameters["words"]
    assert re.search("NetemWords|LinkWords", str(parameter.annotation))  # the second has the first


def test_a_word_of_a_file_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="does not know the word 'dely'; did you mean 'delay'"):
        as_words({"delay": "1ms", "dely": "1ms"})


def test_a_word_has_all_that_is_to_be_said_of_it() -> None:
    for name, word in WORDS.items():
        assert word.about.endswith("."), name
        assert bool(word.values) == bool(word.example), name
