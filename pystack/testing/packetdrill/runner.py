"""Scripts from files, played: what `pystack packetdrill` and the tests call."""

from __future__ import annotations

from pathlib import Path

from pystack.core.errors import ConfigError
from pystack.testing.packetdrill import checks
from pystack.testing.packetdrill.errors import ScriptSyntaxError
from pystack.testing.packetdrill.parser import parse
from pystack.testing.packetdrill.play import Result, Run
from pystack.testing.packetdrill.settings import Settings


def run_file(path: Path, defaults: Settings) -> Result:
    """Read and play the script in a file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return Result(str(path), f"can't be read: {error.strerror}")
    return run_text(text, str(path), defaults)


def run_text(text: str, path: str, defaults: Settings) -> Result:
    """Play a script."""
    settings = checks.copy_of(defaults)
    result = Result(path)
    try:
        script = parse(text, path, settings.defines)
        for line, name, value in script.options:
            result.line = line
            remark = settings.apply(name, value)
            if remark is not None:
                result.remarks.append(f"{path}:{line}: ignored: {remark}")
        result.line = 0
        if not settings.dry_run:
            Run(script, settings, result).play()
    except ScriptSyntaxError as error:
        result.problem, result.line = error.what, error.line
        result.details.append(f"column {error.column}")
    except ConfigError as error:
        result.problem = str(error)
    return result
