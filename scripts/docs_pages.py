"""Writes the pages of docs/ that are made from tables in the code: `scripts/docs --pages`."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from pystack.apps.proxy.toxics.registry import TOXICS
from pystack.core.counters import explanations
from pystack.experiments.measures import MEASURES, SERIES
from pystack.experiments.measures.registry import parse_measures
from pystack.link.words import WORDS
from pystack.runtime.control.calls import CALLS, WATCHED

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
COUNTERS: Final = DOCS / "counters.md"
LINKS: Final = DOCS / "emulation.md"
CONTROL: Final = DOCS / "control.md"
PROXY_TOXICS: Final = DOCS / "toxics.md"
MEASURES_PAGE: Final = DOCS / "measures.md"
_MEASURES_BEGIN: Final = (
    "<!-- from here on made from pystack/experiments/measures/registry.py "
    "by scripts/docs --pages -->"
)
_TOXICS_BEGIN: Final = (
    "<!-- from here on made from pystack/apps/proxy/toxics/registry.py by scripts/docs --pages -->"
)
_CALLS_BEGIN: Final = (
    "<!-- from here on made from pystack/runtime/control/calls.py by scripts/docs --pages -->"
)
_MADE_END: Final = "<!-- up to here -->"
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


def control_page() -> str:
    """Return docs/control.md with its tables of calls and arguments made anew."""
    page = CONTROL.read_text("utf-8")
    lines = [_CALLS_BEGIN, "", "| Call | What it does | |", "|---|---|---|"]
    calls = (*CALLS.values(), WATCHED)
    for call in calls:
        mark = "changes" if call.changes else ""
        lines.append(f"| `{call.name}` | {call.about} | {mark} |")
    lines += ["", "| Call | Argument | Kind | Range | What it is |", "|---|---|---|---|---|"]
    for call in calls:
        for argument in call.arguments:
            within = str(argument.within or ", ".join(argument.among))
            needed = "" if argument.needed else " (optional)"
            lines.append(
                f"| `{call.name}` | `{argument.name}`{needed} | {argument.kind} | {within} "
                f"| {argument.about} |"
            )
    rest = page.partition(_MADE_END)[2] or "\n"
    return page.partition(_CALLS_BEGIN)[0] + "\n".join([*lines, "", _MADE_END]) + rest


def toxics_page() -> str:
    """Return docs/toxics.md with its tables of toxics made anew."""
    lines = [_TOXICS_BEGIN]
    for title, packets in (("Toxiproxy's toxics, on bytes", False), ("Ours, on packets", True)):
        lines += ["", f"## {title}", ""]
        lines += ["| Toxic | Attribute | Unit | Default | |", "|---|---|---|---|---|"]
        for name, toxic in TOXICS.items():
            if toxic.packets != packets:
                continue
            lines.append(f"| `{name}` | | | | {toxic.about} |")
            for each in toxic.attributes:
                unit = f"{each.unit} " if each.unit else ""
                default = json.dumps(each.default)
                lines.append(f"| | `{each.name}` | {unit}| `{default}` | {each.about} |")
    before, _, after = PROXY_TOXICS.read_text("utf-8").partition(_TOXICS_BEGIN)
    return before + "\n".join([*lines, "", _MADE_END]) + after.partition(_MADE_END)[2]


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


def measures_page() -> str:
    """Return docs/measures.md with its tables of measures and series made anew."""
    page = MEASURES_PAGE.read_text("utf-8")
    costs = {"flows": "nothing", "counters": "nothing", "acks": "ACKs", "link": "frames"}
    lines = [_MEASURES_BEGIN, "", "## Measures", ""]
    lines += ["| Measure | Column | What it is | Words | Looks at |", "|---|---|---|---|---|"]
    for name, measure in MEASURES.items():
        (column,) = parse_measures([name])
        words = [f"`{word}`: {about}" for word, about in (measure.words or {}).items()]
        if measure.over:
            words.append(f"statistics over {measure.over}")
        if measure.counters:
            words.append("a [counter](counters.md) of links or queues (`pfifo_full`)")
        looks = costs[measure.source]
        if measure.source == "counters":
            looks = "nothing; `rate`: frames"
        lines.append(
            f"| `{name}` | `{column.name}` | {measure.about} | {'; '.join(words)} | {looks} |"
        )
    lines += ["", "## Time series", "", "Times count from the network's opening.", ""]
    lines += ["| Series | Unit | Of each | By ACK | What it is |", "|---|---|---|---|---|"]
    for name, series in SERIES.items():
        by_ack = "yes" if series.by_ack else ""
        lines.append(f"| `{name}` | {series.unit} | {series.subject} | {by_ack} | {series.about} |")
    rest = page.partition(_MADE_END)[2] or "\n"
    return page.partition(_MEASURES_BEGIN)[0] + "\n".join([*lines, "", _MADE_END]) + rest


def ladder_picture() -> str:
    """Return docs/images/ladder.svg: what the program of docs/ladders.md draws."""
    page = (DOCS / "ladders.md").read_text("utf-8")
    program = page.partition("```python ladder_of_a_loss.py\n")[2].partition("```")[0]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ladder.py").write_text(program, "utf-8")
        command = [sys.executable, "ladder.py"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return Path(folder, "loss.svg").read_text("utf-8")


if __name__ == "__main__":
    import decisions_index
    import experiment_pictures
    import what_happens

    what_happens.write()
    decisions_index.write()
    COUNTERS.write_text(counters_page(), "utf-8")
    LINKS.write_text(links_page(), "utf-8")
    CONTROL.write_text(control_page(), "utf-8")
    PROXY_TOXICS.write_text(toxics_page(), "utf-8")
    MEASURES_PAGE.write_text(measures_page(), "utf-8")
    experiment_pictures.write()
    (DOCS / "images" / "ladder.svg").write_text(ladder_picture(), "utf-8")
