"""How pictures look, and what they are saved as: the same everywhere, byte for byte.

No state of matplotlib's is used or left: neither pyplot nor the user's matplotlibrc. Lines differ
in colour (Okabe and Ito's, which people with any colour vision tell apart), in dashes and markers.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final, NamedTuple

from pystack.core.errors import ConfigError, OutputError, one_line
from pystack.core.extras import need
from pystack.experiments.quantities import number_text

# Okabe and Ito, "Color Universal Design" (2008), without yellow, which white paper swallows
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1.2, 1.2, 1.2)))
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h", "*")
MOST_LINES: Final = len(MARKERS)
MAP: Final = "viridis"  # as light and dark to people who see red and green alike
# From here on a factor tells more than a difference: an axis is logarithmic.
_DECADES: Final = 100
FORMATS: Final = ("svg", "png", "pdf")
WIDTH_IN: Final = 7.2
HEIGHT_IN: Final = 4.2

_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_FONT: Final = "DejaVu Sans"  # matplotlib brings it along
_RC: Final[Mapping[str, object]] = {
    "svg.hashsalt": "pystack",
    "text.parse_math": False,  # a dollar sign in a name begins no formula
    "svg.fonttype": "none",  # texts stay texts: they can be searched, and read aloud
    "font.family": [_FONT],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
}
# What of matplotlib's settings is about windows and not about pictures
_NOT_LOOKS: Final = ("backend", "interactive", "toolbar", "webagg", "macosx", "figure.hooks")
_CAPTION_FONT: Final[Mapping[str, Any]] = {"size": 7.0}
_TITLE_FONT: Final[Mapping[str, Any]] = {"size": 10.5, "weight": "bold"}
_LEGEND_LETTERS: Final = 36  # of a line: it leaves the half of the width to what is drawn
_EDGE_IN: Final = 0.1  # before and behind a line of text
_LETTERS_PER_IN: Final = 18.5  # of a caption
_TITLE_LETTERS_PER_IN: Final = 11.0


class Style(NamedTuple):
    """What one line looks like."""

    color: str
    linestyle: Any  # as matplotlib takes it
    marker: str


# What is not one of several: a link's queue below the windows of flows
ALONE: Final = Style("#444444", "-", "")


def style(number: int) -> Style:
    """Return the look of the line with this number, from 0."""
    return Style(
        COLOURS[number % len(COLOURS)],
        # Where colours begin again, the same colour has other dashes.
        DASHES[(number % len(COLOURS) + number // len(COLOURS)) % len(DASHES)],
        MARKERS[number % len(MARKERS)],
    )


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: `save` it, or let a notebook show it."""

    figure: Any  # matplotlib's
    caption: str

    def save(self, path: str | PathLike[str]) -> Path:
        """Write it, as .svg, .png or .pdf by the name. Raises ConfigError, OutputError."""
        file = Path(path)
        kind = file.suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise ConfigError(f"{file} is no name for a picture: it ends in .svg, .png or .pdf")
        data = self.data(kind)
        try:
            file.write_bytes(data)
        except OSError as error:
            raise OutputError(f"{file} cannot be written: {error.strerror}") from None
        return file

    def data(self, kind: str = "svg") -> bytes:
        """Return it as a file: "svg", "png" or "pdf". The same picture is the same bytes."""
        sink = io.BytesIO()
        no_date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        with looks():
            self.figure.savefig(sink, format=kind, metadata=no_date)
        # Where an SVG is looked at, there may be no such font: Verdana's letters are as wide.
        others = f"'{_FONT}', Verdana, sans-serif".encode()
        data = sink.getvalue().replace(f"'{_FONT}'".encode(), others)
        # Names may be of strangers: with controls in it, it would be no XML.
        return _CONTROLS.sub("\ufffd".encode(), data) if kind == "svg" else data

    def _repr_svg_(self) -> str:
        return self.data().decode()


@contextmanager
def looks() -> Iterator[None]:
    """Have matplotlib draw as we do, inside a `with` block."""
    matplotlib = need("matplotlib", "pystack plot")
    default = {
        name: value
        for name, value in matplotlib.rcParamsDefault.items()
        if not name.startswith(_NOT_LOOKS)
    }
    with matplotlib.rc_context({**default, **_RC}), warnings.catch_warnings():
        # Names may have letters that the font lacks; an SVG's reader may have another font.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


@dataclass(slots=True)
class Paper:
    """What a picture is drawn on."""

    figure: Any
    axes: list[Any]  # in rows

    @classmethod
    def of(
        cls,
        rows: int = 1,
        columns: int = 1,
        *,
        height_in: float = HEIGHT_IN,
        sharey: bool = False,
    ) -> Paper:
        """Return empty axes."""
        figure = need("matplotlib.figure", "pystack plot").Figure(figsize=(WIDTH_IN, height_in))
        need("matplotlib.backends.backend_agg", "pystack plot").FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=sharey)
        return cls(figure, list(axes.flat))

    def finish(
        self, title: str, caption: str, legend: str | None = None, *, last: Collection[str] = ()
    ) -> Picture:
        """Write title and caption; `legend`: what its lines are by, None: there is none.

        `last`: what stands at the end of the legend.
        """
        beside_in = 0.0  # what the legend takes of the title's lines
        if legend is not None:
            seen: dict[str, Any] = {}
            for axes in self.axes:
                for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                    seen.setdefault(label, handle)
            for label in [label for label in seen if label in last]:
                seen[label] = seen.pop(label)
            drawn = self.figure.legend(
                seen.values(),
                [textwrap.fill(label, _LEGEND_LETTERS) for label in seen],
                title=textwrap.fill(legend, _LEGEND_LETTERS) or None,
                alignment="left",
                loc="outside right upper",
                handlelength=3,
            )
            beside_in = drawn.get_window_extent().width / self.figure.dpi
        if title:
            self.figure.suptitle(
                self._lines(title, _TITLE_LETTERS_PER_IN, _TITLE_FONT, beside_in),
                x=0.01,
                ha="left",
                **_TITLE_FONT,
            )
        self.figure.supxlabel(
            self._lines(caption, _LETTERS_PER_IN, _CAPTION_FONT),
            x=0.01,
            ha="left",
            **_CAPTION_FONT,
            color="#444444",
        )
        # Places are found once: a second time they would be others by a hair, and so the bytes.
        try:
            self.figure.draw_without_rendering()
        except (ValueError, ArithmeticError) as error:  # of what is near the largest of floats
            raise ConfigError(
                f"matplotlib finds no place for values so far apart ({one_line(error)})"
            ) from None
        self.figure.set_layout_engine("none")
        return Picture(self.figure, caption)

    def width_in(self, text: str, look: Mapping[str, Any] | None = None) -> float:
        """Return how wide a line is; `look`: of its letters, None: as large as those at axes."""
        renderer = self.figure.canvas.get_renderer()
        font = need("matplotlib.font_manager", "pystack plot").FontProperties(**look or {})
        width, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
        return float(width / self.figure.dpi)

    def _lines(
        self, text: str, letters_per_in: float, look: Mapping[str, Any], beside_in: float = 0.0
    ) -> str:
        width_in = self.figure.get_figwidth() - beside_in
        letters = max(1, round(width_in * letters_per_in))
        while True:
            lines = textwrap.wrap(text, letters)
            # Digits and capitals are wider than most letters.
            if letters == 1 or all(
                self.width_in(line, look) <= width_in - _EDGE_IN for line in lines
            ):
                return "\n".join(lines)
            letters = max(1, letters - 3)


def is_log(values: Iterable[float]) -> bool:
    """Tell whether measurements are so far apart that their axis is to be logarithmic."""
    there = list(values)
    return bool(there) and min(there) > 0 and max(there) >= _DECADES * min(there)


def named(label: str) -> str | None:
    """Return the label of a line as matplotlib takes it; None: it has none."""
    # A label that begins so is left out of legends; what stands before it has no width.
    return f"\u200b{label}" if label.startswith("_") else label or None


def logarithmic(axes: Any, way: str) -> None:  # noqa: ANN401 - matplotlib's
    """Make the axis "x" or "y" logarithmic, with numbers as everywhere else."""
    ticker = need("matplotlib.ticker", "pystack plot")
    axes.set(**{f"{way}scale": "log"})
    axis = axes.xaxis if way == "x" else axes.yaxis
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, place: number_text(value)))
    axis.set_minor_formatter(ticker.NullFormatter())
