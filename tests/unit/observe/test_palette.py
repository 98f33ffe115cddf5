"""The colours can be read: contrasts of WCAG 2.2 AA, on light paper and on dark."""

import pytest
from contrast import contrast

from pystack.observe.palette import COLOURS, chosen_colours, page_colours

GROUNDS = ("paper", "card", "code")
LAYERS = ("physical", "link", "net", "tcp", "sec", "http")
TEXT = ("ink", "soft", *LAYERS, "good", "warn", "bad")
ON_THEIR_OWN = ("link", "net", "tcp", "sec", "http", "good", "bad")
PAIRS = [
    *((text, ground) for text in TEXT for ground in GROUNDS),
    *((name, f"{name}-bg") for name in ON_THEIR_OWN),
    *((text, f"{name}-bg") for text in ("ink", "soft") for name in ON_THEIR_OWN),
    ("card", "tcp"),
    ("paper", "ink"),
]


def test_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_can_be_read_on_all_that_it_stands_on(scheme: int) -> None:
    found = {pair: contrast(*(COLOURS[name][scheme] for name in pair)) for pair in PAIRS}
    assert {pair: round(value, 2) for pair, value in found.items() if value < 4.5} == {}


@pytest.mark.parametrize("scheme", [0, 1])
def test_what_can_be_used_has_an_edge_that_is_seen(scheme: int) -> None:
    edge = COLOURS["edge"][scheme]
    assert min(contrast(edge, COLOURS[ground][scheme]) for ground in GROUNDS) >= 3


@pytest.mark.parametrize("scheme", [0, 1])
def test_layers_are_told_apart_by_their_colours(scheme: int) -> None:
    assert len({COLOURS[layer][scheme] for layer in LAYERS}) == len(LAYERS)


def test_every_colour_is_there_in_both_schemes() -> None:
    for rules in (page_colours(), chosen_colours()):
        for light, dark in COLOURS.values():
            assert light in rules
            assert dark in rules
