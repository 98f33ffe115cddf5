"""The words of a proxy's link, for each of its directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pystack.link.config import PipeConfig, update_both
from pystack.link.words import as_words
from pystack.topology import presets

if TYPE_CHECKING:
    from pystack.apps.proxy.model import LinkWords
    from pystack.link.words import NetemWords

Directions = tuple["NetemWords", "NetemWords"]  # to the upstream, and to the client


def read_directions(words: LinkWords) -> Directions:
    """Return all words of each direction: those of the preset, of both, its own. ConfigError."""
    up, down = presets.words_of(words.preset)
    both, to_upstream, to_client = map(as_words, (words.both, words.upstream, words.downstream))
    # Only what was said is to do something: a preset's limit gives way to a queue that has one.
    update_both((PipeConfig.parse(**up), PipeConfig.parse(**down)), both, to_upstream, to_client)
    return _merged(up, both, to_upstream), _merged(down, both, to_client)


def _merged(preset: NetemWords, both: NetemWords, own: NetemWords) -> NetemWords:
    said: NetemWords = {**both, **own}
    if "qdisc" in said:
        preset = {word: value for word, value in preset.items() if word != "limit"}  # type: ignore[assignment]
    return {**preset, **said}
