"""The face of ladders: made of a recording, shown as text, as SVG, in a notebook.

print(net.ladder())
Path("run.svg").write_text(net.ladder(begin=2.0, most=60).svg())
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, TypedDict

from pystack.core.errors import ConfigError
from pystack.core.ranges import Range
from pystack.observe.ladder.building import Ends, Wanted, build
from pystack.observe.ladder.model import Diagram
from pystack.observe.ladder.svg import draw_svg
from pystack.observe.ladder.text import draw_text
from pystack.observe.recording import Item, Recording

# What is written at nodes: what they drop, when loss recovery begins and ends, states of TCP,
# where a program got to, names that are looked up. There are also "route", "neighbor", "late".
NOTES: Final = ("drop", "repair", "state", "milestone", "name")
TROUBLE: Final = ("drop",)  # what nothing else shows
EVERY_NOTE: Final = (*NOTES, "route", "neighbor", "late")
MOST_ARROWS: Final = 200

_MOST: Final = Range(1, 100_000)
_LAST: Final = Range(1, 100_000, optional=True)
_SCALE: Final = Range(0, 3600, whole=False, above=True, optional=True)
_WIDTH: Final = Range(20, 100_000, optional=True)


class LadderWords(TypedDict, total=False):
    """The words of `Ladder.of` and `Network.ladder`."""

    names: Mapping[str, str] | None
    order: Sequence[str] | None
    origin: float | None
    between: Ends | None
    begin: float | None
    until: float | None
    most: int
    last: int | None
    notes: Collection[str]


@dataclass(slots=True, eq=False)
class Ladder(Diagram):
    """Who sent what to whom, downwards in time, with what befell it on the way."""

    @classmethod
    def of(
        cls,
        recording: Recording | Iterable[Item],
        *,
        names: Mapping[str, str] | None = None,
        order: Sequence[str] | None = None,
        origin: float | None = None,
        between: Ends | None = None,
        begin: float | None = None,
        until: float | None = None,
        most: int = MOST_ARROWS,
        last: int | None = None,
        notes: Collection[str] = NOTES,
    ) -> Ladder:
        """Return the ladder of a recording, or of items in their order.

        `names`: what to call an address, `order`: nodes from left to right, `origin`: the instant
        that is shown as 0; None: the recording's. `between`: the two ends, (address, port), of the
        one connection that is shown. `begin`, `until`: instants. `most`: arrows, 1 to 100,000; of
        more, those that are alike are counted together. `last`: only so many frames and notes.
        `notes`: kinds of them. Raises ConfigError.
        """
        _MOST.check("most", most)
        _LAST.check("last", last)
        unknown = [kind for kind in notes if kind not in EVERY_NOTE]
        if unknown:
            raise ConfigError(f"there is no note {unknown[0]!r}: {', '.join(EVERY_NOTE)}")
        about = recording if isinstance(recording, Recording) else Recording()
        items = recording.items if isinstance(recording, Recording) else recording
        ladder = cls(origin=about.began_at if origin is None else origin)
        named = about.names if names is None else names
        want = Wanted(
            named, between, begin, until, most, last, notes, infers=not about.knows_inside
        )
        build(ladder, items, about.order if order is None else order, want)
        if about.left_out and begin is None and last is None:
            if not about.left_out_after:  # else they are not before the first arrow
                ladder.left_out += about.left_out
            ladder.passages += about.left_out
        return ladder

    def lines(
        self,
        *,
        width: int | None = None,
        ascii_only: bool = True,
        scale_s: float | None = None,
        window: bool = True,
    ) -> list[str]:
        """Return it as lines of text; [] if nothing was seen.

        `width`: the most characters of a line; None: as many as it takes. `scale_s`: seconds of a
        line; None: compressed, each as long as it takes until something happens. `window`: with
        cwnd and bytes in flight of the connection that sends the most, if they are known.
        """
        _WIDTH.check("width", width)
        _SCALE.check("scale_s", scale_s)
        return draw_text(self, width=width, ascii_only=ascii_only, scale_s=scale_s, window=window)

    def text(
        self,
        *,
        width: int | None = None,
        ascii_only: bool = True,
        scale_s: float | None = None,
        window: bool = True,
    ) -> str:
        """Return the lines as one text. See `lines`."""
        lines = self.lines(width=width, ascii_only=ascii_only, scale_s=scale_s, window=window)
        return "\n".join(lines)

    def svg(
        self,
        *,
        width: int | None = None,
        fragment: bool = False,
        scale_s: float | None = None,
        window: bool = True,
        legend: bool = True,
        times: bool = True,
    ) -> str:
        """Return it as the text of an SVG file, or of one to be embedded in a page.

        `width`: in pixels; None: as wide as labels need. `fragment`: without the style sheet, which
        the page has once (`svg_style`). `scale_s`: seconds of a line, 18 pixels; None: compressed.
        `window`: with curves of cwnd and bytes in flight. `legend`, `times`: with them.
        """
        _WIDTH.check("width", width)
        _SCALE.check("scale_s", scale_s)
        return draw_svg(
            self,
            width=width,
            fragment=fragment,
            scale_s=scale_s,
            window=window,
            legend=legend,
            times=times,
        )

    def as_json(self) -> dict[str, object]:
        """Return it as values that JSON has: what `pystack ladder --json` prints."""
        return {
            "nodes": [line.name for line in self.lifelines],
            "origin": self.origin,
            "frames": self.passages,
            "left_out": self.left_out,
            "arrows": [asdict(arrow) for arrow in self.arrows],
            "notes": [asdict(note) for note in self.notes],
            "window": None if self.window is None else asdict(self.window),
        }

    def __str__(self) -> str:
        """Return it as text, in ASCII; one sentence if nothing was seen."""
        return self.text() or "(nothing was seen)"

    def _repr_svg_(self) -> str:
        """Return it as a notebook shows it."""
        return self.svg()
