"""A story as GitHub-flavoured Markdown, to be put into an issue or handed to an assistant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from pystack.core.texts import harmless
from pystack.observe.amounts import duration
from pystack.observe.explain.pieces import Paper, fit, plain
from pystack.observe.explain.story import Comparison, Depth, Drawn, Step, Story
from pystack.observe.explain.text_frames import frame_lines
from pystack.observe.explain.wording import (
    after,
    chains,
    fate,
    instant,
    layers_short,
    percent,
    total_s,
    who,
)

_SPECIAL: Final = re.compile(r"[\\`*_\[\]<>#|~&$]")
# What GitHub makes links of.
_LINKED: Final = re.compile(r"@|(?<=:)/(?=/)|(?<=www)\.", re.ASCII | re.IGNORECASE)
_BEGINS_A_BLOCK: Final = re.compile(r"^(\d+)?([-+=.)])")
_BAR: Final = 24
_COLUMNS: Final = 96  # of what stands in blocks of code
_MOST_FRAMES: Final = 6
_LADDER_LINES: Final = 60


def as_markdown(
    told: Story | Comparison, *, depth: Depth = "story", ladders: Sequence[Drawn] = ()
) -> str:
    """Return it as Markdown. `ladders`: of the story, or of both; may be left out."""
    told = fit(told, Paper())
    if isinstance(told, Comparison):
        lines = _comparison(told, depth, ladders)
    else:
        lines = _story(told, depth, ladders, "#")
    return "\n".join(lines) + "\n"


def words(text: str) -> str:
    """Return text that Markdown takes for nothing but text."""
    text = " ".join(text.split())
    text = _SPECIAL.sub(lambda found: f"\\{found[0]}", text)
    text = _LINKED.sub(lambda found: f"\\{found[0]}", text)
    return _BEGINS_A_BLOCK.sub(lambda found: f"{found[1] or ''}\\{found[2]}", text)


def code(text: str) -> str:
    """Return text as code, whatever is in it; in tables too."""
    text = " ".join(text.split())
    if not text:
        return ""
    if "|" in text or "\\" in text:  # a table would end its cell, or the code its backslash
        return f"<code>{words(text)}</code>"
    fence = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _block(lines: Sequence[str]) -> Iterator[str]:
    """Yield lines as a block of code."""
    fence = "`" * max(_longest_run("\n".join(lines)) + 1, 3)
    yield f"{fence}text"
    yield from lines
    yield fence


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table; the cells are Markdown."""
    for number, row in enumerate([head, *rows]):
        yield f"| {' | '.join(row)} |"
        if number == 0:
            yield f"|{' --- |' * len(head)}"


def _story(story: Story, depth: Depth, ladders: Sequence[Drawn], heading: str) -> Iterator[str]:
    yield f"{heading} {words(story.title)}"
    yield ""
    yield f"**{words(story.outcome)}**, {after(story)}" if story.outcome else _total(story)
    if story.setting:
        yield ""
        yield words(story.setting)
    if story.places:
        yield ""
        ways = [" — ".join(code(place) for place in chain) for chain in chains(story)]
        yield f"Places: {', '.join(ways)}"
    yield ""
    for one, other, how in story.links:
        if how:
            yield f"- {code(one)} — {code(other)}: {words(how)}"
    for name, value in story.facts.items():
        yield f"- {words(name)}: **{words(value)}**"
    yield ""
    yield f"{heading}# Step by step"
    for number, step in enumerate(story.steps, 1):
        yield ""
        yield f"{heading}## {number}\\. {words(step.title)}"
        yield ""
        yield from _step(story, step, depth)
    if story.waterfall:
        yield ""
        yield f"{heading}# Where the time went"
        yield ""
        yield from _waterfall(story, total_s(story))
    yield from _ladder(ladders, heading)
    if story.unknown:
        yield ""
        yield f"{heading}# What this recording cannot tell"
        yield ""
        for sentence in story.unknown:
            yield f"- {words(sentence)}"


def _total(story: Story) -> str:
    return f"**{duration(total_s(story))}**"


def _step(story: Story, step: Step, depth: Depth) -> Iterator[str]:
    took = f", +{duration(step.until - step.at)}" if step.until > step.at else ""
    parts = [f"**{instant(story, step.at)}**{took}"]
    parts += [words(who(step))] if step.actors else []
    yield " · ".join([*parts, f"**{layers_short(step.layer5, step.layer7)}**"])
    if step.text:
        yield ""
        yield words(step.text)
    foot = [f"_{words(step.owner)}_"] if step.owner.strip() else []
    foot += [words(source) for source in step.sources]
    foot += [code(f"$ {command}") for command, _ in step.commands[:1]]
    if foot:
        yield ""
        yield " · ".join(foot)
    if depth != "story":
        yield from _more(step, depth)


def _more(step: Step, depth: Depth) -> Iterator[str]:
    rows = [(words(name), code(value), words(means)) for name, value, means in step.details]
    rows += [(words(f"{node} is"), words(state), "") for node, state in step.states]
    rows += [("Node", words(step.in_node), "")] if step.in_node else []
    rows += [("Python", words(step.in_python), "")] if step.in_python else []
    rows += [("see it", code(f"$ {command}"), words(it)) for command, it in step.commands]
    if rows:
        yield ""
        yield from _table(("what", "value", "meaning"), rows)
    paper = Paper(_COLUMNS)
    for shown in step.frames[:_MOST_FRAMES]:
        yield ""
        lines = frame_lines(shown, _COLUMNS, with_bytes=depth == "bytes")
        yield from _block(plain(lines, paper).splitlines())
    left = step.frames[_MOST_FRAMES:]
    if left:
        yield ""
        for shown in left[:_MOST_FRAMES]:
            yield f"- frame {shown.number}: {words(fate(shown))}"
        if len(left) > _MOST_FRAMES:
            yield f"- and {len(left) - _MOST_FRAMES} frames more"


def _waterfall(story: Story, scale_s: float) -> Iterator[str]:
    total, rows = total_s(story), list[tuple[str, str, str, str, str]]()
    for span in story.waterfall:
        start = round((span.begin - story.began_at) / scale_s * _BAR) if scale_s > 0 else 0
        end = round((span.end - story.began_at) / scale_s * _BAR) if scale_s > 0 else 0
        bar = "·" * start + ("█" * (end - start) or "▏")
        parts = [f"{words(p.name)} {duration(p.seconds)}" for p in span.parts if p.seconds > 0]
        parts = [words(span.text), *parts] if span.text else parts
        row = (code(bar), duration(span.seconds), percent(span.seconds, total), "; ".join(parts))
        rows.append((words(span.name), *row))
    rows.append(("**total**", "", _total(story), "", ""))
    yield from _table(("", "when", "took", "share", "of it"), rows)


def _ladder(ladders: Sequence[Drawn], heading: str) -> Iterator[str]:
    for ladder in ladders:
        lines = [
            harmless(line) for line in ladder.lines(width=_COLUMNS, ascii_only=True, window=False)
        ]
        if not lines:
            continue
        yield ""
        yield f"{heading}# Who sent what, downwards in time"
        yield ""
        left = len(lines) - _LADDER_LINES
        more = [f"... and {left} lines more"] if left > 0 else []
        yield from _block([*lines[:_LADDER_LINES], *more])


def _comparison(told: Comparison, depth: Depth, ladders: Sequence[Drawn]) -> Iterator[str]:
    names = [words(name) for name in told.names]
    yield f"# {names[0]} and {names[1]}"
    if told.text:
        yield ""
        yield words(told.text)
    if told.differences:
        yield ""
        yield "## What differs"
        yield ""
        rows = [(d.name, d.left, d.right, d.text) for d in told.differences]
        yield from _table(("", *names, "why"), [tuple(map(words, row)) for row in rows])
    yield ""
    yield "## Step by step"
    yield ""
    rows2 = [(_short(told.left, one), _short(told.right, other)) for one, other in told.pairs]
    yield from _table(names, rows2)
    longest = max(total_s(told.left), total_s(told.right))
    for name, story in zip(names, (told.left, told.right), strict=True):
        if story.waterfall:
            yield ""
            yield f"## Where the time went: {name}"
            yield ""
            yield from _waterfall(story, longest)
    for place, story in enumerate((told.left, told.right)):
        if depth != "story":
            yield ""
            yield from _story(story, depth, ladders[place : place + 1], "##")
        else:
            yield from _ladder(ladders[place : place + 1], "#")


def _short(story: Story, index: int | None) -> str:
    if index is None:
        return "nothing of the kind"
    step = story.steps[index]
    title = f"**{words(step.title)}**" if step.is_trouble else words(step.title)
    return f"{instant(story, step.at)} · {step.layer5}: {title}"
