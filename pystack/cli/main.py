"""The command `pystack`.

Wrong words end with one sentence on standard error and status 2, what the machine refuses with one
sentence and status 1. A traceback is a bug.
"""

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated, Final

import typer

from pystack import __version__
from pystack.cli.output import READER_GONE_STATUS, abandon, reader_is_gone
from pystack.core.errors import ConfigError, DeviceError, PystackError


def _add_up(app: typer.Typer) -> None:
    from pystack.cli.up import up_command

    app.command("up")(up_command)


def _add_plugins(app: typer.Typer) -> None:
    from pystack.cli.plugins import plugins_command

    app.command("plugins", short_help="List the plug-ins, and where they come from.")(
        plugins_command
    )


def _add_counters(app: typer.Typer) -> None:
    from pystack.cli.counters import counters_command

    app.command("counters", short_help="Say what counters and drops mean.")(counters_command)


def _add_run(app: typer.Typer) -> None:
    from pystack.cli.run import run_command

    # Whatever stands after the program's name is the program's.
    settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}
    title = "Run a Python program with pystack."
    app.command("run", short_help=title, context_settings=settings)(run_command)


def _add_packetdrill(app: typer.Typer) -> None:
    from pystack.cli.packetdrill import packetdrill_command

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    title = "Run packetdrill scripts in virtual time."
    app.command("packetdrill", short_help=title, context_settings=settings)(packetdrill_command)


def _add_lab(app: typer.Typer) -> None:
    from pystack.cli.lab import lab

    app.add_typer(lab)


def _add_dig(app: typer.Typer) -> None:
    from pystack.cli.dig import dig_command

    app.command("dig", short_help="Query name servers: dig on the stack.")(dig_command)


def _add_get(app: typer.Typer) -> None:
    from pystack.cli.get import get_command

    app.command("get", short_help="Get URLs: curl on the stack.")(get_command)


def _add_ping(app: typer.Typer) -> None:
    from pystack.cli.ping import ping_command

    title = "See which hosts answer, and how fast: ping on the stack."
    app.command("ping", short_help=title)(ping_command)


# Each imports what it needs when it is the one that is asked for: `pystack up` has no use for the
# half of the package that labs are made of, and to import it takes as long as all the rest.
_COMMANDS: Final[dict[str, Callable[[typer.Typer], None]]] = {
    "up": _add_up,
    "plugins": _add_plugins,
    "counters": _add_counters,
    "run": _add_run,
    "packetdrill": _add_packetdrill,
    "lab": _add_lab,
    "dig": _add_dig,
    "get": _add_get,
    "ping": _add_ping,
}


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
        _COMMANDS[name](app)
    return app


def main() -> None:
    """Run the command and exit."""
    try:
        status = make_app(next(iter(sys.argv[1:]), ""))(standalone_mode=False)
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
            if message.startswith(
                "Usage:"
            ):  # nothing was asked for: the help, which is no sentence
                print(message, file=sys.stderr)
                sys.exit(2)
            _exit(message, 2)
        if not _is_out_of_files(error):
            raise
        _exit("this process may open no more files: raise the limit (ulimit -n)", 1)
    sys.exit(status if isinstance(status, int) else 0)


def _is_out_of_files(error: BaseException) -> bool:
    """Tell whether that is the true reason, which may be anywhere in what came of it."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_out_of_files, error.exceptions))
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        return True
    # A shared library that cannot be opened is an ImportError, which has a text alone.
    if isinstance(error, ImportError) and os.strerror(errno.EMFILE) in str(error):
        return True
    return error.__cause__ is not None and _is_out_of_files(error.__cause__)


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
