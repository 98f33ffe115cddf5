"""The command `pystack ladder`: a capture of somebody's own as a ladder, in text or as SVG."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pystack.cli.conversations import conversation_of
from pystack.cli.output import write_file
from pystack.cli.terminal import can_show
from pystack.cli.words import bare_seconds
from pystack.core.errors import ConfigError

if TYPE_CHECKING:
    from pystack.observe.ladder import Ladder

_COMPRESSED: Final = "compressed"
_DRAWN: Final = "\u2502\u2500\u25b6\u25c0\u2717\u25cf\u2572\u2571\u2026"  # characters of a drawing


def ladder_command(
    file: Annotated[str, typer.Argument(help="A capture, pcap or pcapng; - for standard input.")],
    *,
    svg: Annotated[
        str | None, typer.Option(metavar="OUT", help="Write a drawing there; - prints it.")
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            metavar="TIME|compressed",
            help="How long a line lasts (5ms: to scale), or compressed: as long as it takes until "
            "something happens.",
        ),
    ] = _COMPRESSED,
    flow: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which of its conversations; default: where most was said."),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Begin there: 1.5s after its start."),
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="End there.")] = None,
    most: Annotated[
        int, typer.Option(metavar="N", help="So many arrows; more are counted together.")
    ] = 200,
    width: Annotated[
        int | None,
        typer.Option(metavar="N", help="Characters of a line, or pixels with --svg."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Draw who sent what to whom in a capture, downwards in time.

    Arrows have their real delays where the capture knows both ends; what was lost ends in a cross.
    Beside it are the bytes in flight.
    """
    if as_json and svg is not None:
        raise ConfigError("--json and --svg: use only one of them")
    scale_s = None if scale == _COMPRESSED else bare_seconds(scale)
    ladder = _ladder(file, flow, from_, to, most)
    if as_json:
        print(json.dumps(ladder.as_json(), indent=2))
    elif svg is not None:
        write_file(svg, ladder.svg(width=width, scale_s=scale_s))
    else:
        ascii_only = not can_show(sys.stdout, _DRAWN)
        width = _terminal_width() if width is None else width
        print(ladder.text(width=width, ascii_only=ascii_only, scale_s=scale_s) or str(ladder))


def _ladder(file: str, flow: int | None, from_: str | None, to: str | None, most: int) -> Ladder:
    from pystack.observe.ladder import Ladder

    begin_s, until_s = (None if text is None else bare_seconds(text) for text in (from_, to))
    recording = conversation_of(file, flow)
    start = recording.began_at
    return Ladder.of(
        recording,
        begin=None if begin_s is None else start + begin_s,
        until=None if until_s is None else start + until_s,
        most=most,
    )


def _terminal_width() -> int | None:
    """Return how wide the terminal is; None: it is none, and takes lines of any length."""
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns, 20)
    except (OSError, ValueError):
        return None
