"""The command `pystack run`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pystack.core.errors import ConfigError


def run_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The program.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARGUMENT...", help="Its arguments, passed on unchanged in sys.argv."
        ),
    ] = None,
) -> None:
    """Run a Python program with the Python that pystack is installed in.

    This process becomes the program, so that its exit status, signals and tracebacks are its own.
    """
    if not file.is_file() or not os.access(file, os.R_OK):
        problem = "is not a readable file" if file.exists() else "is not there"
        raise ConfigError(f"the program {file} {problem}")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(file), *(arguments or ())])
