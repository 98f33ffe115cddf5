"""The index of docs/decisions.md by subject; `scripts/python scripts/decisions_index.py` writes it.

The index itself says what belongs to which subject: move a line, or add a subject, and it stays so.
A new decision comes last.
"""

import re
from pathlib import Path
from typing import Final

DECISIONS: Final = Path(__file__).resolve().parent.parent / "docs" / "decisions.md"
NEW: Final = "Newest"  # the subject of what nobody has put elsewhere
_BEGIN: Final = "<!-- the index, by scripts/decisions_index.py; subjects are moved by hand -->\n"
_END: Final = "<!-- up to here -->\n"
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_SUBJECT: Final = re.compile(r"^\*\*(.+)\*\*$")
_ENTRY: Final = re.compile(r"^- \[(.+)\]\(#")


def indexed(page: str) -> str:
    """Return the page with its index made anew: each decision once, in the page's order."""
    before, _, rest = page.partition(_BEGIN)
    index, _, decisions = rest.partition(_END)
    decisions = re.sub(r"\n+(?=## )", "\n\n", decisions)  # also where one was only appended
    titles = _HEADING.findall(decisions)
    subjects: dict[str, list[str]] = {}
    known: dict[str, str] = {}  # the subject of each title
    subject = NEW
    for line in index.splitlines():
        if found := _SUBJECT.match(line):
            subject = found[1]
            subjects[subject] = []
        elif found := _ENTRY.match(line):
            known[found[1]] = subject
    subjects.setdefault(NEW, [])
    for title in titles:
        subjects[known.get(title, NEW)].append(title)
    lines = []
    for subject, under in subjects.items():
        if under:
            lines += [f"**{subject}**", "", *(f"- [{it}](#{anchor(it)})" for it in under), ""]
    return before + _BEGIN + "\n" + "\n".join(lines) + "\n" + _END + decisions


def anchor(title: str) -> str:
    """Return what leads to a heading, at GitHub and in the site."""
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title).lower())


def write() -> None:
    """Bring the page up to date."""
    DECISIONS.write_text(indexed(DECISIONS.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write()
