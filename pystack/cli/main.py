"""The command `pystack`.

Wrong words end with one sentence on standard error and status 2, what the machine refuses with one
sentence and status 1. A traceback is a bug.
"""

import errno
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Final, NamedTuple

import typer

from pystack import __version__
from pystack.cli import shortage
from pystack.cli.output import READER_GONE_STATUS, abandon, reader_is_gone
from pystack.core import called
from pystack.core.errors import ConfigError, DeviceError, PystackError


class _Command(NamedTuple):
    """A command, or a group of them."""

    place: str  # its module of pystack.cli, and what is in that
    about: str | None = None  # in one line; None: what its docstring says
    settings: Mapping[str, bool] | None = None  # click's; None: the usual ones


# Options whose value may be left out
OPTIONAL: Final = frozenset({"--web", "--api", "--reach-loopback"})

# Each imports what it needs when it is the one that is asked for: `pystack up` has no use for the
# half of the package that labs are made of, and to import it takes as long as all the rest.
_COMMANDS: Final[Mapping[str, _Command]] = {
    "up": _Command("up:up_command"),
    "plugins": _Command("plugins:plugins_command", "List the plug-ins, and where they come from."),
    "counters": _Command("counters:counters_command", "Say what counters and drops mean."),
    "run": _Command(
        "run:run_command",
        "Run a Python program with pystack.",
        # Whatever stands after the program's name is the program's.
        {"ignore_unknown_options": True, "allow_interspersed_args": False},
    ),
    "exec": _Command(
        "exec:exec_command",
        "Run a program whose whole network is ours.",
        # Whatever stands after the command's name is the command's.
        {"allow_interspersed_args": False},
    ),
    "ctl": _Command("ctl:ctl_command", "Look into what runs with --control, and change it."),
    "top": _Command("top:top_command", "Show what runs with --control, while it happens."),
    "proxy": _Command(
        "proxy:proxy_command", "Put an emulated link in front of a server, without root."
    ),
    "packetdrill": _Command(
        "packetdrill:packetdrill_command",
        "Run packetdrill scripts in virtual time.",
        {"ignore_unknown_options": True, "allow_extra_args": True},
    ),
    "lab": _Command("lab:lab"),
    "experiment": _Command("experiment:experiment"),
    "dig": _Command("dig:dig_command", "Query name servers: dig on the stack."),
    "explain": _Command("explain:explain_command", "Explain what happens when a URL is fetched."),
    "get": _Command("get:get_command", "Get URLs: curl on the stack."),
    "ladder": _Command("ladder:ladder_command", "Draw who sent what to whom in a capture."),
    "plot": _Command("plot:plot_command", "Draw what came out of an experiment."),
    "ping": _Command(
        "ping:ping_command", "See which hosts answer, and how fast: ping on the stack."
    ),
}


def _add(app: typer.Typer, name: str) -> None:
    place, about, settings = _COMMANDS[name]
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"pystack.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        app.add_typer(found)
    else:
        extra = None if settings is None else dict(settings)
        app.command(name, short_help=about, context_settings=extra)(found)


def make_app(first_word: str) -> typer.Typer:
    """Return the command: the one that is asked for, or with all of them if that is none."""
    app = typer.Typer(
        name="pystack",
        help="A network you control: a TCP/IP host in user space, and whole networks of them.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    for name in (first_word,) if first_word in _COMMANDS else _COMMANDS:
        _add(app, name)
    return app


def with_values(words: Sequence[str]) -> list[str]:
    """Return the words of a command, where an option without its value has an empty one.

    For `OPTIONAL` alone: at the end, or before another option. After "--" nothing is an option; of
    `exec` without it, what looks like one may be the command's.
    """
    found = list(words)
    if found[:1] == ["exec"] and "--" not in found:
        return found
    end = found.index("--") if "--" in found else len(found)
    for at, word in enumerate(found[:end]):
        following = found[at + 1] if at + 1 < end else "-"
        if word in OPTIONAL and following.startswith("-"):
            found[at] = f"{word}="
    return found


_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Run the command and exit."""
    for name in ("stdout", "stderr"):  # one that was closed when we began (`>&-`): to nowhere
        if getattr(sys, name) is None:  # and `print` would take standard output for the other
            nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as we live
            setattr(sys, name, nowhere)
    try:
        words = with_values(sys.argv[1:])
        app = make_app(next(iter(words), ""))
        if not gc.isenabled():  # see `start`
            gc.freeze()
            gc.enable()
        status = app(words, standalone_mode=False, prog_name=called.script())
        sys.stdout.flush()
    except (ConfigError, DeviceError) as error:
        _exit(str(error), 2 if isinstance(error, ConfigError) else 1)
    except PystackError as error:
        _exit(str(error), 1)
    except (BrokenPipeError, SystemExit):  # the second is what typer makes of the first
        if not reader_is_gone():
            raise
        abandon()
        sys.exit(READER_GONE_STATUS)
    except KeyboardInterrupt:
        _exit("interrupted", 130)
    except Exception as error:
        # typer's own errors of usage; which class that is differs between its versions
        if hasattr(error, "format_message"):
            message: str = error.format_message()
            # Nothing was asked for: the help, which is no sentence.
            if message.startswith("Usage:"):
                print(message, file=sys.stderr)
                sys.exit(2)
            # What is missing is not always a name that says what to write there.
            if type(error).__name__ == "MissingParameter" and (at := getattr(error, "ctx", None)):
                message = f"{message} {at.command_path} --help says what it is."
            _exit(message, 2)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            abandon(full=True)
            _exit(f"cannot write to standard output: {error.strerror}", 1)
        if (short := shortage.sentence(error)) is None:
            raise
        _exit(short, 1)
    sys.exit(status if isinstance(status, int) else 0)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pystack {__version__} (the distribution pystack-net)")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def _exit(sentence: str, status: int) -> None:
    print(f"pystack: {sentence}", file=sys.stderr)
    sys.exit(status)
