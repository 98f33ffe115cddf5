"""Writes the pages of docs/ that are made from tables in the code: `scripts/docs --pages`."""

from pathlib import Path
from typing import Final

from pystack.core.counters import explanations
from pystack.link.words import WORDS

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
COUNTERS: Final = DOCS / "counters.md"
LINKS: Final = DOCS / "emulation.md"
_MADE: Final = "<!-- from here on made from pystack/core/counters.toml by scripts/docs --pages -->"


def counters_page() -> str:
    """Return docs/counters.md: its beginning as it is, and the table."""
    lines = [COUNTERS.read_text("utf-8").partition(_MADE)[0] + _MADE]
    section = ""
    for name, explained in explanations().items():
        if explained.section != section:
            section = explained.section
            lines += ["", f"## {section}", ""]
            lines += ["| Counter | What it means | Source |", "|---|---|---|"]
        lines.append(f"| `{name}` | {explained.sentence} | {explained.source} |")
    return "\n".join(lines) + "\n"


def links_page() -> str:
    """Return docs/emulation.md with its table of words made anew."""
    lines = ["| word | values | a number is in | default | what it does |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, word in WORDS.items():
        values = f"`{word.values}`".replace("|", "\\|") if word.values else "True or False"
        default = f"`{word.default}`" if word.default else ""
        lines.append(f"| `{name}` | {values} | {word.unit} | {default} | {word.about} |")
    before, _, after = LINKS.read_text("utf-8").partition(lines[0])
    return before + "\n".join(lines) + "\n\n" + after.partition("\n\n")[2]


if __name__ == "__main__":
    import what_happens

    what_happens.write()
    COUNTERS.write_text(counters_page(), "utf-8")
    LINKS.write_text(links_page(), "utf-8")
