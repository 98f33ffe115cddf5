"""The command `pystack packetdrill`."""

from pathlib import Path
from typing import Annotated

import typer

from pystack.cli.output import interruptible
from pystack.core.errors import ConfigError


def packetdrill_command(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Scripts, or directories with *.pkt files."),
    ],
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show packets, calls and their times.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Fail if anything unexpected is sent; compare PSH everywhere."
        ),
    ] = False,
    define: Annotated[
        list[str] | None,
        typer.Option("--define", "-D", metavar="NAME=VALUE", help="Replace one word by another."),
    ] = None,
) -> int:
    """Run packetdrill scripts in virtual time against a pystack host.

    packetdrill's own options (--tolerance_usecs=N, --mtu=N, ...) are accepted too;
    docs/packetdrill.md lists them. Exit status: 0 when all scripts passed, 1 when one failed.
    """
    # Not before it is wanted: the other commands start faster without it.
    from pystack.testing.packetdrill.runner import run_all
    from pystack.testing.packetdrill.settings import Settings

    settings = Settings(verbose=verbose, strict=strict)
    for word in define or ():
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"--define {word}: NAME=VALUE is wanted")
        settings.defines[name] = value
    # What typer does not know stands among the rest.
    words = [*files, *context.args]
    names = [word for word in words if not word.startswith("--")]
    options = [word for word in words if word.startswith("--")]
    if not names:
        raise ConfigError("there is no script to run: name files, or directories with *.pkt files")
    for option in options:
        name, equals, value = option[2:].partition("=")
        if not settings.knows(name):
            raise ConfigError(f"there is no option --{name}")
        remark = settings.apply(name, value if equals else None)
        if remark is not None:
            typer.echo(f"ignored: {remark}", err=True)
    interruptible()
    return 0 if run_all([Path(name) for name in names], settings, typer.echo) else 1
