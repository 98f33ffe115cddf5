"""The command `pystack ladder`: a capture of somebody's own as a ladder, in text or as SVG."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pystack.cli.words import bare_seconds
from pystack.core.errors import ConfigError, OutputError
from pystack.core.suggest import counted

if TYPE_CHECKING:
    from pystack.observe.captures.as_recording import Capture
    from pystack.observe.flows import Flow
    from pystack.observe.ladder import Ladder
    from pystack.observe.recording import Recording

_COMPRESSED: Final = "compressed"


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
        _write(svg, ladder.svg(width=width, scale_s=scale_s))
    else:
        ascii_only = not _can_draw()
        width = _terminal_width() if width is None else width
        print(ladder.text(width=width, ascii_only=ascii_only, scale_s=scale_s) or str(ladder))


def _ladder(file: str, flow: int | None, from_: str | None, to: str | None, most: int) -> Ladder:
    from pystack.observe.captures.as_recording import Capture
    from pystack.observe.ladder import Ladder

    begin_s, until_s = (None if text is None else bare_seconds(text) for text in (from_, to))
    capture = Capture(file)
    try:
        recording = _recording(capture, file, flow)
    finally:
        capture.close()
    start = recording.began_at
    return Ladder.of(
        recording,
        begin=None if begin_s is None else start + begin_s,
        until=None if until_s is None else start + until_s,
        most=most,
    )


def _recording(capture: Capture, file: str, number: int | None) -> Recording:
    """Return what there is of the conversation that is wanted; say so where there are others."""
    flows = capture.survey.conversations
    if number is None:
        flow = capture.survey.best
        if len(flows) > 1:
            nth = flows.index(flow) + 1
            print(
                f"conversation {nth} of {len(flows)}: {_ends(flow)} (--flow N for another)",
                file=sys.stderr,
            )
        return capture.recording(flow)
    if not 1 <= number <= len(flows):
        raise ConfigError(f"--flow {number}: {file} has {counted(len(flows), 'conversation')}")
    return capture.recording(flows[number - 1])


def _ends(flow: Flow) -> str:
    pairs = (flow.a, flow.b)
    ends = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in pairs]
    return f"{flow.protocol} {ends[0]} - {ends[1]}"


def _write(path: str, text: str) -> None:
    if path == "-":
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
        return
    try:
        Path(path).write_text(text, "utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"cannot write {path}: {why}") from None


def _can_draw() -> bool:
    """Tell whether the terminal's encoding has what lines are drawn with."""
    try:
        "\u2502\u2500\u25b6\u25c0\u2717\u25cf\u2572\u2571\u2026".encode(sys.stdout.encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _terminal_width() -> int | None:
    """Return how wide the terminal is; None: it is none, and takes lines of any length."""
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns, 20)
    except (OSError, ValueError):
        return None
