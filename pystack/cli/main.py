"""The command `pystack`.

Wrong words end with one sentence on standard error and status 2, what the machine refuses with one
sentence and status 1. A traceback is a bug.
"""

import sys
from typing import Annotated, Final

import typer

from pystack import __version__
from pystack.cli.lab import lab
from pystack.cli.output import READER_GONE_STATUS, abandon, reader_is_gone
from pystack.cli.packetdrill import packetdrill_command
from pystack.cli.plugins import plugins_command
from pystack.cli.up import up_command
from pystack.core.errors import ConfigError, DeviceError

app: Final = typer.Typer(
    name="pystack",
    help="A network you control: a TCP/IP host in user space, and whole networks of them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

app.command("up")(up_command)
app.command("plugins")(plugins_command)
app.command(
    "packetdrill", context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)(packetdrill_command)
app.add_typer(lab)


def main() -> None:
    """Run the command and exit."""
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except (ConfigError, DeviceError) as error:
        _exit(str(error), 2 if isinstance(error, ConfigError) else 1)
    except (BrokenPipeError, SystemExit):  # the second is what typer makes of the first
        if not reader_is_gone():
            raise
        abandon()
        sys.exit(READER_GONE_STATUS)
    except KeyboardInterrupt:
        _exit("interrupted", 130)
    except Exception as error:
        # typer's own errors of usage; which class that is differs between its versions
        if not hasattr(error, "format_message"):
            raise
        _exit(error.format_message(), 2)
    sys.exit(status if isinstance(status, int) else 0)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pystack {__version__}")
        raise typer.Exit


@app.callback()
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
