"""The commands `pystack lab check`, `run` and `show`."""

import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pystack.apps.hosting import check_services, start_services
from pystack.cli.live import live_page
from pystack.cli.output import Lines, interruptible, reader_is_gone, write_file
from pystack.cli.progress import CLEARED, Progress, ticking
from pystack.cli.words import (
    PCAP,
    Control,
    ControlSocket,
    Observe,
    Words,
    checked,
    control_path,
    takes,
)
from pystack.core.errors import ConfigError, DeviceError, PystackError
from pystack.core.suggest import counted
from pystack.core.units import parse_time_s
from pystack.runtime.driver.signals import last_run
from pystack.runtime.lab.functions import ProgramError
from pystack.runtime.lab.lab import (
    LabOptions,
    check_devices,
    ports_of,
    run_lab,
)
from pystack.topology.building import build
from pystack.topology.drawing import as_text, drawing_of
from pystack.topology.file import load
from pystack.topology.spec import LabSpec
from pystack.topology.svg import as_svg

lab: Final = typer.Typer(
    name="lab",
    help="A network from a TOML file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The lab, in TOML.")]


@lab.command("check")
def check_command(file: _File) -> None:
    """Check a file, without running anything in it."""
    spec = _load(file)
    nodes, links = counted(len(spec.nodes), "node"), counted(len(spec.links), "link")
    print(f"{spec.path} is right: {nodes}, {links}, {counted(len(spec.timeline), 'event')}")


@lab.command("show", short_help="Show the nodes and links.")
def show_command(
    file: _File,
    *,
    svg: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write a drawing to this file, as SVG.")
    ] = None,
) -> None:
    """Show the nodes and links, their addresses, and how the links behave."""
    spec = _load(file)
    drawing = drawing_of(spec, build(spec))
    if svg is None:
        print("\n".join(as_text(drawing)))
        return
    write_file(svg, as_svg(drawing))


_Web = Annotated[
    str | None,
    typer.Option(
        metavar="[ADDRESS]",
        help="Show the lab on a page of this machine, at 127.0.0.1:8077 or the loopback address or "
        "port that is given.",
    ),
]


@lab.command("run", short_help="Run a lab.")
@takes(capture=PCAP)
def run_command(
    file: _File,
    *,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Run in virtual time: no waiting, and repeatable.")
    ] = False,
    machine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Run what [machines] has on this one; other processes run the rest.",
        ),
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="End after this time, such as 10s.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Use this seed instead of the file's.", metavar="N")
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="When a program fails, let the others run to the end."),
    ] = False,
    observe: Observe = None,
    web: _Web = None,
    control: Control = False,
    control_socket: ControlSocket = None,
    paused: Annotated[
        bool, typer.Option("--paused", help="Begin with time standing still, for --control.")
    ] = False,
    capture: Words,
) -> int:
    """Run a lab until its programs have ended, or until SIGINT, SIGTERM or SIGHUP.

    Exit status: 0, or 1 if a program failed or a command ended with a non-zero status.
    """
    spec = _load(file)
    if web is not None and virtual:
        raise ConfigError("--web shows a lab in real time: run it without --virtual")
    given: Any = capture  # each of its kind, see the table
    path = control_path(control, control_socket)
    if paused and path is None:
        raise ConfigError("--paused needs --control: nobody else could let time go on")
    options = LabOptions(
        virtual=virtual,
        machine=machine,
        for_s=None if for_ is None else parse_time_s(for_),
        seed=seed,
        **given,
        observe=checked(observe),
        on_failure=_show_failure if keep_going else None,
        beside=None if web is None else live_page(web, spec.path),
        control=path,
        paused=paused,
    )
    return _run(spec, options)


def _run(spec: LabSpec, options: LabOptions) -> int:
    """Run it, and return the exit status."""
    if isinstance(sys.stdout, TextIOWrapper):
        # What programs print is to be seen when they print it, in a pipeline too.
        sys.stdout.reconfigure(line_buffering=True)
    interruptible()
    lines = None if options.virtual else Lines(sys.stdout)
    say: Callable[[str], None] = _print_now if lines is None else lines.put
    try:
        with ExitStack() as resources:
            if not options.virtual:  # there, Ctrl-C is Trio's
                resources.enter_context(last_run())
            if options.for_s is not None:
                options, say = _with_progress(spec, options, say, resources)
            run_lab(spec, options, start_services, say)
        if lines is not None and lines.is_broken:
            raise BrokenPipeError
    except ProgramError as error:
        if isinstance(error.__cause__, BrokenPipeError) and reader_is_gone():
            raise error.__cause__ from None
        if error.__cause__ is not None:
            # The traceback of the user's own program, which is what there is to be mended.
            traceback.print_exception(error.__cause__)
        return _failed(str(error))
    except (ConfigError, DeviceError):
        raise
    except PystackError as error:
        return _failed(str(error))
    finally:
        if lines is not None:
            lines.close()
    return 0


def _with_progress(
    spec: LabSpec, options: LabOptions, say: Callable[[str], None], resources: ExitStack
) -> tuple[LabOptions, Callable[[str], None]]:
    """Show how far a lab that ends after a time is, on a terminal, until `resources` close."""
    assert options.for_s is not None
    progress = resources.enter_context(Progress(spec.path, options.for_s))
    if not progress.is_shown:
        return options, say

    def on_running(done: Callable[[], float]) -> None:
        resources.enter_context(ticking(progress, done))

    def say_beside(line: str) -> None:
        say(f"{CLEARED}{line}" if sys.stdout.isatty() else line)

    return replace(options, on_running=on_running), say_beside


def _show_failure(error: ProgramError) -> None:
    traceback.print_exception(error.__cause__)
    _failed(str(error))


def _load(file: Path) -> LabSpec:
    spec = load(file)
    check_devices(spec)
    ports_of(spec)
    for node in spec.nodes.values():
        try:
            check_services(node.serve, Path(spec.path).parent)
        except ConfigError as error:
            raise ConfigError(f"{spec.path}:{node.line}: {node.name}: {error}") from None
    return spec


def _failed(sentence: str) -> int:
    print(f"pystack: {sentence}", file=sys.stderr)
    return 1


def _print_now(line: str) -> None:
    print(line, flush=True)
