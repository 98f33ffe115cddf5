"""The link of a proxy in JSON, which Toxiproxy has none of: netem's words, as a file has them.

    "link": {"delay": "50ms", "to_client": {"rate": "1mbit"}}

Words that name files of this machine are left out: who asks may be somebody else's program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pystack.apps.proxy.api.notation import Json, as_object, text
from pystack.apps.proxy.errors import BadRequestError
from pystack.apps.proxy.model import LinkWords
from pystack.core.suggest import suggest
from pystack.link.words import WORDS

_OWN: Final = ("preset", "to_upstream", "to_client")
_SHAPES: Final = ("uniform", "normal", "pareto", "paretonormal")  # that are no files
_OTHERS: Final = frozenset({"impairments", "slot"})  # may have such names among their own words
_TAKEN: Final = tuple(
    word for word, each in WORDS.items() if "FILE" not in each.values and word not in _OTHERS
)


def link_fields(words: LinkWords) -> dict[str, object]:
    """Return the words of a link as they are shown; empty where there are none."""
    fields = dict(words.both)
    if words.preset is not None:
        fields["preset"] = words.preset
    if words.upstream:
        fields["to_upstream"] = dict(words.upstream)
    if words.downstream:
        fields["to_client"] = dict(words.downstream)
    return {name: _shown(value) for name, value in fields.items()}


def read_link(fields: Mapping[str, Json]) -> LinkWords | None:
    """Read the `link` of a proxy; None: it is not given. Raises BadRequestError.

    What the words mean is for others to check.
    """
    if "link" not in fields:
        return None
    link = as_object(fields["link"], "link")
    return LinkWords(
        both=_words({name: value for name, value in link.items() if name not in _OWN}, _OWN),
        upstream=_words(as_object(link.get("to_upstream"), "to_upstream")),
        downstream=_words(as_object(link.get("to_client"), "to_client")),
        preset=text(link, "preset") or None,
    )


def _words(fields: Mapping[str, Json], others: tuple[str, ...] = ()) -> dict[str, object]:
    for word, value in fields.items():
        if word == "distribution" and value in _SHAPES:
            continue
        if word in WORDS and word not in _TAKEN:
            raise BadRequestError(
                f"link: {word} may name files of this machine, and so is for files in TOML and "
                "the command line only"
            )
        if word not in _TAKEN:
            hint = suggest(word, [*others, *_TAKEN])
            raise BadRequestError(f"link: there is no word {word!r}{hint}")
        if isinstance(value, dict | list):
            raise BadRequestError(f"link: {word} is a text, a number, or true or false")
    return dict(fields)


def _shown(value: object) -> object:
    """Return a value as JSON has it: what came from elsewhere may be of any kind."""
    if isinstance(value, Mapping):
        return {name: _shown(each) for name, each in value.items()}
    return value if isinstance(value, str | int | float | None) else str(value)
