"""The site of the docs: the guides of docs/, README and what else they link to, and a reference.

mkdocs.yml names this file as mkdocs's hook. The reference is made from what `pystack` and its named
modules have in `__all__`; it is not in the checkout. `python scripts/docs_site.py` writes the pages
of docs/ that are made from tables in the code.
"""

from pathlib import Path
from typing import Final

from pystack.core.explanations import explanations

ROOT: Final = Path(__file__).resolve().parent.parent
COUNTERS: Final = ROOT / "docs" / "counters.md"

_MADE: Final = "<!-- from here on made from pystack/core/counters.toml by scripts/docs --pages -->"


def counters_page() -> str:
    """Return docs/counters.md: its beginning as it is, and the table."""
    lines = [COUNTERS.read_text("utf-8").partition(_MADE)[0] + _MADE]
    section = ""
    for name, explained in explanations().items():
        if explained.section != section:
            section = explained.section
            lines += [
                "",
                f"## {section}",
                "",
                "| Counter | What it means | Source |",
                "|---|---|---|",
            ]
        lines.append(f"| `{name}` | {explained.sentence} | {explained.source} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    COUNTERS.write_text(counters_page(), "utf-8")
