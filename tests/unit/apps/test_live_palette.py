"""The page's colours: what is text has a contrast of 4.5 and more, in both themes (WCAG 2.2 AA)."""

import re
from importlib.resources import files

import pytest

STYLE = (files("pystack.apps.live") / "static" / "style.css").read_text("utf-8")
TEXT = ("ink", "soft", "link", "net", "tcp", "http", "bad", "good", "warn")
ON = ("paper", "card", "code")


def palette(theme: str) -> dict[str, str]:
    start = {"light": ":root {", "dark": ':root[data-theme="dark"] {'}[theme]
    block = STYLE.partition(start)[2].partition("}")[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_all_that_it_stands_on(theme: str) -> None:
    colours = palette(theme)
    pairs = [(text, on) for text in TEXT for on in ON]
    # Chosen rows, the boxes of the map and of states
    pairs += [("ink", f"{layer}-bg") for layer in ("link", "net", "tcp", "http", "bad", "good")]
    pairs += [("soft", "tcp-bg"), ("tcp", "tcp-bg"), ("card", "tcp"), ("paper", "ink")]
    found = {f"{a} on {b}": round(contrast(colours[a], colours[b]), 2) for a, b in pairs}
    assert {pair: value for pair, value in found.items() if value < 4.5} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_can_be_used_has_an_edge_that_is_seen(theme: str) -> None:
    colours = palette(theme)
    assert min(contrast(colours["edge"], colours[on]) for on in ON) >= 3


def test_motion_is_for_those_who_want_it() -> None:
    animated = [line for line in STYLE.splitlines() if "animation:" in line]
    assert animated
    assert all("prefers-reduced-motion: no-preference" in line for line in animated)
