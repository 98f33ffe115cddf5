"""The command `pystack plot`: standard pictures of results, each from one line."""

from __future__ import annotations

import inspect
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pystack.cli.experiment_show import names_in
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pystack.experiments.plots.look import Picture

KINDS: Final = {
    "series": "what happened over time: of one run each flow, of many their medians",
    "cdf": "which part of the runs has at most a value",
    "box": "quartiles, and each run as a point",
    "curve": "a measurement over a parameter",
    "heatmap": "a measurement over two parameters",
    "pareto": "a throughput against a delay, and what is unbeaten in both",
    "fairness": "Jain's index over time",
    "sequence": "sequence numbers of one run",
}
_Across = Annotated[str | None, typer.Option("-x", metavar="NAME", help="What is across.")]
_Upwards = Annotated[str | None, typer.Option("-y", metavar="NAME", help="What is upwards.")]
_Title = Annotated[str | None, typer.Option(metavar="TEXT", help="Default: the experiment's.")]
_Window = Annotated[str | None, typer.Option(metavar="TIME", help="Of fairness: 1s.")]
_Number = Annotated[int | None, typer.Option(metavar="N", help="Only this run.")]
_From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Begin there: 2s.")]
_To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="End there.")]
_Flow = Annotated[str | None, typer.Option(metavar="NAME", help="A flow, or a part of its name.")]
_Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="An .svg, .png or .pdf; - prints the SVG."),
]
_OPTIONS: Final = {"subject": "--flow", "begin": "--from", "until": "--to", "x": "-x", "y": "-y"}


def plot_command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Which picture: see above.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Results: NAME.results.")],
    *,
    of: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Measurement, or time series; its unit can be left out."
        ),
    ] = None,
    x: _Across = None,
    y: _Upwards = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="Parameters whose values have a line each."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only runs with this. May be repeated."),
    ] = None,
    number: _Number = None,
    flow: _Flow = None,
    from_: _From = None,
    to: _To = None,
    window: _Window = None,
    title: _Title = None,
    output: _Output = None,
) -> None:
    """Draw a picture of results.

    \b
    pystack plot cdf access.results --of rtt_p95 --by control -o rtt.svg

    What is not said is chosen from the experiment: what varies, what was measured and is compared.
    Units and seeds are in the caption.
    """
    given = {
        "of": _one_or_several(of),
        "x": x,
        "y": y,
        "by": names_in(by),
        "where": _places(where or []),
        "number": number,
        "subject": flow,
        "begin": from_,
        "until": to,
        "window": window,
        "title": title,
    }
    picture = draw(
        kind, folder, {name: value for name, value in given.items() if value is not None}
    )
    file = f"{kind}.svg" if output is None else output
    if file == "-":
        sys.stdout.buffer.write(picture.data("svg"))
        return
    print(f"{picture.save(file)}: {picture.caption}")


# `\b`: these lines are not wrapped.
plot_command.__doc__ = (
    inspect.cleandoc(plot_command.__doc__ or "")
    + "\n\n\b\n"
    + "\n".join(f"{kind:10}{about}" for kind, about in KINDS.items())
)


def draw(kind: str, folder: Path, given: Mapping[str, object]) -> Picture:
    """Draw a picture with the options that were given. Raises ConfigError."""
    if kind not in KINDS:
        raise ConfigError(f"there is no picture {kind!r}{suggest(kind, KINDS)}")
    from pystack.experiments import plot

    # That its cache is in a folder of its own where no home can be written to is nobody's concern;
    # that it looks for fonts, for seconds, is.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    function: Callable[..., Picture] = getattr(plot, kind)
    known = inspect.signature(function).parameters
    for name in given:
        if name not in known:
            options = [_option(each) for each in known if each not in ("results", "title")]
            raise ConfigError(f"{kind} has no {_option(name)}: it has {', '.join(options)}")
    if isinstance(given.get("of"), list) and kind != "series":
        raise ConfigError(f"{kind} is of one measurement: use --of with one name")
    return function(folder, **given)


def _option(name: str) -> str:
    return _OPTIONS.get(name, f"--{name}")


def _one_or_several(text: str | None) -> str | list[str] | None:
    names = names_in(text)
    return names[0] if names is not None and len(names) == 1 else names


def _places(texts: list[str]) -> dict[str, str] | None:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--where {text!r} is not NAME=VALUE, such as control=bbr")
        found[name.strip()] = value.strip()
    return found or None
