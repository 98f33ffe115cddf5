"""A story as text for a terminal: a page or two to read, or every field and byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.core.texts import harmless
from pystack.observe.amounts import duration
from pystack.observe.explain.pieces import (
    Line,
    Paper,
    beside,
    clip,
    ends,
    fit,
    flow,
    length,
    plain,
    table,
    wrap,
)
from pystack.observe.explain.story import Comparison, Depth, Drawn, Span, Step, Story
from pystack.observe.explain.text_frames import frame_lines
from pystack.observe.explain.wording import (
    SPAN_LAYERS,
    after,
    alike,
    cells,
    chains,
    fate,
    figures,
    instant,
    layers_short,
    percent,
    total_s,
    who,
)

_MARGIN: Final = 11  # where times stand
_LADDER_LINES: Final = 40
_MOST_FRAMES: Final = 3  # of a step that are opened; of the others a line each
_MOST_LISTED: Final = 12
_TROUBLES: Final = 3  # of a kind that are told whole: why just then is another thing each time


def as_text(
    told: Story | Comparison,
    *,
    depth: Depth = "story",
    width: int = 80,
    ascii_only: bool = False,
    ladders: Sequence[Drawn] = (),
    only: Sequence[str] = (),
) -> str:
    """Return it as text without colours. `ladders`: of the story, or of both; may be left out.

    `only`: parts of it (`head`, `time`, `ladder`, `unknown`; of a comparison also `differences`
    and `steps`), kinds of steps, or the second of a kind as `route:2`; (): all. Raises
    ConfigError for what it does not have.
    """
    paper = Paper(width, ascii_only)
    return plain(lines_of(told, depth, paper, ladders, only), paper)


def lines_of(
    told: Story | Comparison,
    depth: Depth,
    paper: Paper,
    ladders: Sequence[Drawn],
    only: Sequence[str] = (),
) -> Iterator[Line]:
    """Return the lines in pieces, their words fit for the paper. Raises ConfigError, see above."""
    told = fit(told, paper)
    if isinstance(told, Comparison):
        parts = _comparison(told, depth, paper, ladders)
    else:
        parts = _story(told, depth, paper, ladders, brief=depth == "story" and not only)
    return _spaced(_chosen(list(parts), only))


# A stretch of lines with its name: what `only` may choose.
_Part = tuple[str, Iterator[Line]]


def _chosen(parts: Sequence[_Part], only: Sequence[str]) -> list[Iterator[Line]]:
    names = [name for name, _ in parts]
    numbered = [f"{name}:{names[: place + 1].count(name)}" for place, name in enumerate(names)]
    for word in only:
        if word not in names and word not in numbered:
            known = dict.fromkeys(numbered if ":" in word else names)
            raise ConfigError(f"this story has no {word!r}{suggest(word, known)}")
    return [
        lines
        for (name, lines), number in zip(parts, numbered, strict=True)
        if not only or name in only or number in only
    ]


def _spaced(parts: Iterable[Iterator[Line]]) -> Iterator[Line]:
    """Yield parts with an empty line between them."""
    begun = False
    for lines in parts:
        for number, line in enumerate(lines):
            if begun and number == 0:
                yield []
            yield line
            begun = True


def _story(
    story: Story, depth: Depth, paper: Paper, ladders: Sequence[Drawn], *, brief: bool = False
) -> Iterator[_Part]:
    """Yield the parts. `brief`: what a kind of step is about is told once, or a few times."""
    first: dict[str, list[int]] = {}
    yield "head", _head(story, depth, paper)
    for number, step in enumerate(story.steps, 1):
        known = first.setdefault(step.kind, [])
        known.append(number)
        like = known[0] if brief and len(known) > (_TROUBLES if step.is_trouble else 1) else 0
        yield step.kind, _step(story, number, step, depth, paper, like)
    if story.waterfall:
        yield "time", _time(story, depth, paper)
    for ladder in ladders[:1]:
        yield "ladder", _ladder(ladder, paper)
    if story.unknown:
        yield "unknown", _unknown(story, paper)


def _head(story: Story, depth: Depth, paper: Paper) -> Iterator[Line]:
    yield from wrap(story.title, paper.columns, "title")
    yield from wrap(story.setting, paper.columns, "dim") if story.setting else ()
    if story.outcome:
        yield from wrap(f"{story.outcome}, {after(story)}", paper.columns, "bold")
    else:
        yield [(f"took {duration(total_s(story))}", "bold")]
    if story.places:
        yield []
    for chain in chains(story):
        yield from flow([[(name, "bold")] for name in chain], paper.columns, " ── ")
    rows = [(f"{one} ── {other}", words, "") for one, other, words in story.links if words]
    if rows:
        yield from _indented(table(rows, paper.columns - 2))
    short, _ = figures(story)
    if depth == "story":  # the bytes of each layer are for who looks closer
        short = [(name, value) for name, value in short if not name.startswith("of these")]
    if short:
        yield []
    yield from flow(
        [[(f"{name} ", "dim"), (value, "bold")] for name, value in short], paper.columns
    )


def _indented(lines: Iterator[Line]) -> Iterator[Line]:
    for line in lines:
        yield [("  ", ""), *line]


def _step(
    story: Story, number: int, step: Step, depth: Depth, paper: Paper, like: int = 0
) -> Iterator[Line]:
    """Yield a step: when and how long in the margin, a bar in the layer's colour, and the words.

    `like`: the number of one that has told all about its kind; 0: this one does.
    """
    columns = paper.columns - _MARGIN - 2
    took = step.until - step.at
    margin = [instant(story, step.at), f"+{duration(took)}" if took > 0 else ""]
    for row, line in enumerate(_words(number, step, depth, columns, like)):
        when = margin[row] if row < len(margin) else ""
        yield [(when.rjust(_MARGIN - 1), "dim"), (" ┃ ", step.layer5), *line]


def _words(number: int, step: Step, depth: Depth, columns: int, like: int) -> Iterator[Line]:
    style = "trouble" if step.is_trouble else "title"
    yield from wrap(f"{number}. {step.title}", columns, style)
    tag: Line = [(layers_short(step.layer5, step.layer7), step.layer5)]
    acting = " ".join([who(step), f"(as in step {like})" if like else ""]).strip()
    yield from ends([(acting, "dim")], tag, columns)
    if like:
        return
    yield from wrap(step.text, columns)
    if depth == "story":
        yield from _footer(step, columns)
        return
    yield from _more(step, columns)
    for shown in step.frames[:_MOST_FRAMES]:
        yield []
        yield from frame_lines(shown, columns, with_bytes=depth == "bytes")
    yield from _frames_left(step, columns)


def _footer(step: Step, columns: int) -> Iterator[Line]:
    """Yield who owns it, where it is written, and how to see it: in a line or two."""
    items: list[Line] = [[(step.owner, "dim")]] if step.owner else []
    items += [[(source, "dim")] for source in step.sources]
    items += [[("$ ", "dim"), (command, "bold")] for command, _ in step.commands[:1]]
    yield from flow(items, columns)


def _more(step: Step, columns: int) -> Iterator[Line]:
    """Yield all that is known of a step beside its text."""
    if step.details:
        yield []
        yield from table(step.details, columns)
    rows: list[tuple[str, Line]] = [(f"{node} is", [(now, "")]) for node, now in step.states]
    rows += [("done by", [(step.owner, "")])] if step.owner else []
    rows += [("written in", [(", ".join(step.sources), "")])] if step.sources else []
    rows += [("Node", [(step.in_node, "")])] if step.in_node else []
    rows += [("Python", [(step.in_python, "")])] if step.in_python else []
    rows += [
        ("see it", [(f"$ {command}", "bold"), (f"  # {it}", "")]) for command, it in step.commands
    ]
    if rows:
        yield []
    names = max((cells(name) for name, _ in rows), default=0)
    for name, words in rows:
        cut = [[[(name, "dim")]], flow([words], columns - names - 2)]
        yield from beside(cut, [names, columns - names - 2])


def _frames_left(step: Step, columns: int) -> Iterator[Line]:
    left = step.frames[_MOST_FRAMES:]
    if left:
        yield []
    for shown in left[:_MOST_LISTED]:
        yield from wrap(f"frame {shown.number}: {fate(shown)}", columns, "dim")
    if len(left) > _MOST_LISTED:
        yield [(f"and {len(left) - _MOST_LISTED} frames more", "dim")]


def _waterfall(story: Story, paper: Paper, scale_s: float = 0.0) -> Iterator[Line]:
    """Yield a bar for each span where it lies, and below what it consists of.

    `scale_s`: what a bar over the whole width is; 0: the total.
    """
    total = total_s(story)
    yield from ends([("Where the time went", "title")], [(duration(total), "bold")], paper.columns)
    names = min(max(cells(span.name) for span in story.waterfall), 16)
    room = paper.columns - names - 24
    for span in story.waterfall:
        bar = _bar(span, story, scale_s or total, room)
        yield [
            (f"  {clip(span.name, names)}", "bold"),
            (" " * max(names + 2 - cells(span.name), 2), ""),
            *bar,
            (" " * (room - length(bar)), ""),
            (f"{duration(span.seconds):>11}{percent(span.seconds, total):>7}", ""),
        ]
        parts = [_part(part) for part in span.parts if part.seconds > 0]
        if span.text:
            parts.insert(0, [(span.text, "dim")])
        for line in flow(parts, paper.columns - names - 6):
            yield [(" " * (names + 4), ""), *line]


def _time(story: Story, depth: Depth, paper: Paper) -> Iterator[Line]:
    yield from _waterfall(story, paper)
    if depth != "story":
        for name, value in figures(story)[1]:  # how it was found out
            yield from wrap(f"{name}: {value}", paper.columns, "dim")


def _part(span: Span) -> Line:
    return [(f"{span.name} ", "dim"), (duration(span.seconds), "")]


def _bar(span: Span, story: Story, scale_s: float, room: int) -> Line:
    """Return a bar at the place in the row that is the span's in time, in its parts' colours."""
    if scale_s <= 0:
        return []
    start = round((span.begin - story.began_at) / scale_s * room)
    end = min(round((span.end - story.began_at) / scale_s * room), room)
    start = min(max(start, 0), room - 1)
    bar: Line = [(" " * start, "")]
    if end <= start:
        return [*bar, ("▏", "bar")]
    parts = span.parts or [span]
    whole, done, so_far = sum(part.seconds for part in parts), start, 0.0
    for part in parts:
        so_far += part.seconds
        until = start + round((end - start) * so_far / whole) if whole > 0 else end
        bar.append(("█" * (until - done), SPAN_LAYERS.get(part.name, "bar")))
        done = until
    return bar


def _ladder(ladder: Drawn, paper: Paper) -> Iterator[Line]:
    lines = ladder.lines(width=paper.width, ascii_only=paper.ascii_only, window=False)
    if not lines:
        return
    yield [("Who sent what, downwards in time", "title")]
    for line in lines[:_LADDER_LINES]:
        yield [(harmless(line), "")]
    if len(lines) > _LADDER_LINES:
        yield [(f"… and {len(lines) - _LADDER_LINES} lines more", "dim")]


def _unknown(story: Story, paper: Paper) -> Iterator[Line]:
    yield [("What this recording cannot tell", "title")]
    for sentence in story.unknown:
        yield from _item(sentence, paper.columns)


def _item(sentence: str, columns: int) -> Iterator[Line]:
    for number, line in enumerate(wrap(sentence, columns - 4)):
        yield [("  - " if number == 0 else "    ", "dim"), *line]


def _comparison(
    told: Comparison, depth: Depth, paper: Paper, ladders: Sequence[Drawn]
) -> Iterator[_Part]:
    yield "head", _heading(told, paper.columns)
    yield "differences", _differences(told, paper.columns)
    yield "steps", _pairs(told, paper.columns)
    longest_s = max(total_s(told.left), total_s(told.right))
    for place, story in enumerate((told.left, told.right)):
        name = told.names[place]
        if story.waterfall:
            yield "time", _named(name, _waterfall(story, paper, longest_s))
        if depth == "story":
            for ladder in ladders[place : place + 1]:
                yield "ladder", _named(name, _ladder(ladder, paper))
    if depth != "story":
        for place, story in enumerate((told.left, told.right)):
            yield "steps", iter([[("═" * paper.columns, "dim")]])
            yield from _story(story, depth, paper, ladders[place : place + 1])


def _named(name: str, lines: Iterator[Line]) -> Iterator[Line]:
    yield [(name, "title")]
    yield from lines


def _heading(told: Comparison, columns: int) -> Iterator[Line]:
    yield from wrap(f"{told.names[0]} and {told.names[1]}", columns, "title")
    yield from wrap(told.text, columns)


def _pairs(told: Comparison, columns: int) -> Iterator[Line]:
    half = (columns - 2) // 2
    heads = [
        [*wrap(name, half, "title"), *wrap(story.title, half), *wrap(story.outcome, half, "bold")]
        for name, story in zip(told.names, (told.left, told.right), strict=True)
    ]
    yield from beside(heads, [half, half])
    were_alike = False
    for one, other in told.pairs:
        step = told.left.steps[one] if one is not None else None
        are_alike = step is not None and other is not None and alike(step, told.right.steps[other])
        if not (are_alike and were_alike):
            yield []
        were_alike = are_alike
        if step is not None and are_alike:  # one line for both, to see what differs
            yield [("┃ ", step.layer5), (clip(f"both: {step.title}", columns - 2), "dim")]
            continue
        cut = [_short(told.left, one, half), _short(told.right, other, half)]
        yield from beside(cut, [half, half])


def _differences(told: Comparison, columns: int) -> Iterator[Line]:
    rows = [("", *told.names, ""), *((d.name, d.left, d.right, d.text) for d in told.differences)]
    widths = [min(max(cells(row[place]) for row in rows), columns // 4) for place in range(3)]
    widths.append(max(columns - sum(widths) - 6, 8))
    for number, row in enumerate(rows):
        styles = ("dim", "title", "title", "") if number == 0 else ("dim", "bold", "bold", "")
        cut = [
            wrap(cell, width, style) for cell, width, style in zip(row, widths, styles, strict=True)
        ]
        yield from beside(cut, widths)


def _short(story: Story, index: int | None, columns: int) -> list[Line]:
    """Return a step of a comparison in a few lines; [] where the other story alone has it."""
    if index is None:
        return [[("┃ ", "dim"), ("nothing of the kind", "dim")]]
    step = story.steps[index]
    took = step.until - step.at
    when = instant(story, step.at) + (f", +{duration(took)}" if took > 0 else "")
    tag = layers_short(step.layer5, step.layer7)
    lines = [
        *flow([[(when, "dim")], [(tag, step.layer5)]], columns - 2, "  "),
        *wrap(step.title, columns - 2, "trouble" if step.is_trouble else ""),
    ]
    return [[("┃ ", step.layer5), *line] for line in lines]
