"""Writes the pages of docs/ that are made from tables in the code: `scripts/docs --pages`."""

from pathlib import Path
from typing import Final

from pystack.core.explanations import explanations

COUNTERS: Final = Path(__file__).resolve().parent.parent / "docs" / "counters.md"
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


if __name__ == "__main__":
    COUNTERS.write_text(counters_page(), "utf-8")
