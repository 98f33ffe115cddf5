"""The colours of all pages and drawings: one for each layer, on light paper and on dark.

As text they have a contrast of 4.5 and more on paper, cards and code (WCAG 2.2 AA), and `edge` one
of 3: tests/unit/observe/test_palette.py.
"""

from typing import Final

# Name -> on light paper, and on dark
COLOURS: Final[dict[str, tuple[str, str]]] = {
    "paper": ("#faf9f6", "#14161b"),
    "card": ("#ffffff", "#1b1e25"),
    "code": ("#f2efe8", "#23272f"),
    "ink": ("#1d2129", "#e7e6e2"),
    "soft": ("#5b6472", "#9aa3b2"),
    "line": ("#e2ded5", "#2e333d"),
    "edge": ("#7c828c", "#7f8796"),
    "physical": ("#476611", "#b3d161"),
    "link": ("#965200", "#f0b25c"),
    "link-bg": ("#fdf3e1", "#2c2417"),
    "net": ("#00695f", "#4fd0c0"),
    "net-bg": ("#e2f4f1", "#152b29"),
    "tcp": ("#3c4fc4", "#98a6ff"),
    "tcp-bg": ("#e9ecfd", "#1f2440"),
    "sec": ("#7a3fb0", "#cf9cff"),
    "sec-bg": ("#f3e8fb", "#2b1c3a"),
    "http": ("#b02a63", "#ff85b3"),
    "http-bg": ("#fce8f0", "#361d29"),
    "good": ("#1b6e3c", "#7ddba0"),
    "good-bg": ("#e5f4ea", "#16301f"),
    "warn": ("#7d5700", "#f0c36a"),
    "bad": ("#b3261e", "#ff8a80"),
    "bad-bg": ("#fdeceb", "#3a1d1b"),
}


def variables(colours: dict[str, tuple[str, str]], prefix: str = "") -> tuple[str, str]:
    """Return the colours as variables of CSS: those on light paper, and those on dark."""
    light, dark = (
        "".join(f"--{prefix}{name}:{both[scheme]};" for name, both in colours.items())
        for scheme in (0, 1)
    )
    return light, dark


def page_colours() -> str:
    """Return rules that give a page these colours, as its reader's system wants them."""
    light, dark = variables(COLOURS)
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )


def chosen_colours() -> str:
    """Return rules for a page whose reader chooses: by `data-theme` of its root."""
    light, dark = variables(COLOURS)
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f':root[data-theme="dark"]{{color-scheme:dark;{dark}}}\n'
    )
