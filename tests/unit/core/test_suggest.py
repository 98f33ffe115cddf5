"""The end of a sentence about a wrong word."""

import pytest

from pystack.core.suggest import suggest


@pytest.mark.parametrize(
    ("word", "known", "end"),
    [
        ("dely", ["loss", "delay"], "; did you mean 'delay'?"),
        ("aging", ["ageing", "table_entries"], "; did you mean 'ageing'?"),
        ("mb", ["mbit", "mbps"], "; did you mean 'mbit'?"),
        ("mb", ["mbps", "mbit"], "; did you mean 'mbps'?"),
        (3, ["lte", "3g"], "; did you mean '3g'?"),
        ("xyzzy", ["loss", "delay"], " (there are: loss, delay)"),
        ("", ["loss"], " (there are: loss)"),
        ("dely", [], ""),
    ],
)
def test_the_nearest_word_or_all_of_them(word: object, known: list[str], end: str) -> None:
    assert suggest(word, known) == end
