"""Two stories side by side: which steps correspond, what differs, and where they part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Final

from pystack.observe.amounts import count, duration, listed
from pystack.observe.explain.story import Comparison, Difference, Story

# Facts that differ in every run say nothing about what was changed; one is a rule, not a figure
_NO_FIGURES: Final = frozenset({"critical path"})
_SAME_S: Final = 5e-10
_A_DIFFERENCE: Final = 0.01  # of the total: a step that takes so much longer is where two part
_WHY: Final[Mapping[str, str]] = {
    "frames lost": "each of them had to be noticed and repaired, or was missed by nobody",
    "sent again": "what repairs cost in segments",
    "round trips": "each costs the line's delay twice, whatever its rate is",
    "overhead": "what is not the programs' own bytes",
    "of these transport headers": "20 bytes and the options of TCP a segment, 8 of UDP a datagram",
    "connections": "each has a handshake of its own, and starts slowly",
}


def compare(left: Story, right: Story, names: tuple[str, str] = ("left", "right")) -> Comparison:
    """Return what two stories have in common and in what they differ; `names`: what they are."""
    pairs = _pairs(left, right)
    differences = [*_figures(left, right), *_spans(left, right), *_kinds(left, right)]
    if left.outcome != right.outcome:
        differences.insert(0, Difference("outcome", left.outcome, right.outcome))
    return Comparison(
        left, right, names, differences, pairs, _text(left, right, names, pairs, differences)
    )


def _pairs(left: Story, right: Story) -> list[tuple[int | None, int | None]]:
    """Return which steps correspond: the longest sequences of the same kinds by the same nodes."""
    ours = [(step.kind.rstrip("6"), step.actors[:1]) for step in left.steps]
    theirs = [(step.kind.rstrip("6"), step.actors[:1]) for step in right.steps]
    pairs: list[tuple[int | None, int | None]] = []
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for what, begin, end, other_begin, other_end in matcher.get_opcodes():
        if what == "equal":
            pairs += zip(range(begin, end), range(other_begin, other_end), strict=True)
        else:
            pairs += ((number, None) for number in range(begin, end))
            pairs += ((None, number) for number in range(other_begin, other_end))
    return pairs


def _figures(left: Story, right: Story) -> Iterator[Difference]:
    """Yield the facts that differ."""
    for name in dict.fromkeys([*left.facts, *right.facts]):
        one, other = left.facts.get(name, "none"), right.facts.get(name, "none")
        if one != other and name not in _NO_FIGURES:
            yield Difference(name, one, other, _WHY.get(name, ""))


def _spans(left: Story, right: Story) -> Iterator[Difference]:
    """Yield where the time went differently: by phase, and by what it was spent on."""
    for title, one, other in (
        ("time in {}", _by_phase(left), _by_phase(right)),
        ("time of {}", _by_part(left), _by_part(right)),
    ):
        for name in dict.fromkeys([*one, *other]):
            ours, theirs = one.get(name, 0.0), other.get(name, 0.0)
            if duration(ours) != duration(theirs):  # less than that is not worth a line
                yield Difference(
                    title.format(name),
                    duration(ours),
                    duration(theirs),
                    f"{duration(abs(theirs - ours))} {'more' if theirs > ours else 'less'}",
                )


def _by_phase(story: Story) -> dict[str, float]:
    found: dict[str, float] = {}
    for span in story.waterfall:
        found[span.name] = found.get(span.name, 0.0) + span.seconds
    return found


def _by_part(story: Story) -> dict[str, float]:
    found: dict[str, float] = {}
    for span in story.waterfall:
        for part in span.parts:
            found[part.name] = found.get(part.name, 0.0) + part.seconds
    return found


def _kinds(left: Story, right: Story) -> Iterator[Difference]:
    """Yield kinds of steps of which one story has more."""
    ours, theirs = _counted(left), _counted(right)
    for kind in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(kind, 0), theirs.get(kind, 0)
        if one != other:
            word = kind.replace("_", " ")
            yield Difference(f"steps: {word}", str(one), str(other))


def _counted(story: Story) -> dict[str, int]:
    found: dict[str, int] = {}
    for step in story.steps:
        found[step.kind] = found.get(step.kind, 0) + 1
    return found


def _text(
    left: Story,
    right: Story,
    names: tuple[str, str],
    pairs: list[tuple[int | None, int | None]],
    differences: list[Difference],
) -> str:
    """Say what it comes to: how much, where they part, and what the time went into."""
    ours, theirs = left.ended_at - left.began_at, right.ended_at - right.began_at
    if not differences:
        same = f"{names[0]} and {names[1]} are the same, step by step and to the nanosecond."
        by_chance = names[0] != names[1] and any("loss" in name for name in names)
        return f"{same} Chance has spared this run: try another seed." if by_chance else same
    parts = [_totals(names, ours, theirs)]
    first = _first(left, right, names, pairs)
    if first:
        parts.append(first)
    most = _most(left, right, names, theirs - ours)
    if most:
        parts.append(most)
    return " ".join(parts)


def _totals(names: tuple[str, str], ours: float, theirs: float) -> str:
    if abs(ours - theirs) <= _SAME_S:
        return f"Both take {duration(ours)}."
    quick, slow = (0, 1) if ours < theirs else (1, 0)
    less, more = min(ours, theirs), max(ours, theirs)
    if more < less * (1 + _A_DIFFERENCE):
        return f"Both take about {duration(more)}, {names[slow]} {duration(more - less)} more."
    times = f", {more / less:.1f} times as long" if less and more / less >= 1.1 else ""
    return (
        f"{names[slow]} takes {duration(more)}, {names[quick]} {duration(less)}: "
        f"{duration(more - less)} more{times}."
    )


def _first(
    left: Story,
    right: Story,
    names: tuple[str, str],
    pairs: list[tuple[int | None, int | None]],
) -> str:
    """Say where the two part: trouble that one alone has, or what takes another time."""
    lone = [
        (one, other)
        for one, other in pairs
        if (one is None and other is not None and right.steps[other].is_trouble)
        or (other is None and one is not None and left.steps[one].is_trouble)
    ]
    pairs = lone[:1] or pairs
    worth_s = _A_DIFFERENCE * max(left.ended_at - left.began_at, right.ended_at - right.began_at)
    for one, other in pairs:
        if one is None and other is not None:
            step, at = right.steps[other], right.began_at
            return (
                f"They part {duration(step.at - at)} after the beginning: {names[1]} alone has "
                f"this step: {step.title}."
            )
        if other is None and one is not None:
            step, at = left.steps[one], left.began_at
            return (
                f"They part {duration(step.at - at)} after the beginning: {names[0]} alone has "
                f"this step: {step.title}."
            )
        if one is not None and other is not None:
            ours, theirs = left.steps[one], right.steps[other]
            took, takes = ours.until - ours.at, theirs.until - theirs.at
            if abs(took - takes) > worth_s:
                return (
                    f"They part with a step that both have, but not as long: {ours.title} "
                    f"({names[0]}: {duration(took)}, {names[1]}: {duration(takes)})."
                )
    return ""


def _most(left: Story, right: Story, names: tuple[str, str], more: float) -> str:
    """Say into what the difference went, by the critical paths."""
    one, other = _by_part(left), _by_part(right)
    sign = 1 if more > 0 else -1
    changes = sorted(
        ((sign * (other.get(name, 0.0) - one.get(name, 0.0)), name) for name in {*one, *other}),
        reverse=True,
    )
    grown = [f"{duration(change)} of {name}" for change, name in changes if change > _SAME_S][:3]
    if not grown:
        return ""
    slower = names[1] if more > 0 else names[0]
    repaired = sum(step.kind.startswith("repair") for step in (right if more > 0 else left).steps)
    text = f"On the critical path of {slower} there is more: {listed(grown)}."
    return f"{text} It had {count(repaired, 'repair')}." if repaired else text
