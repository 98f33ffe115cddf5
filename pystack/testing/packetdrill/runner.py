"""Scripts found in files and directories, played, and told about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pystack.core.errors import ConfigError
from pystack.testing.packetdrill import checks
from pystack.testing.packetdrill.errors import ScriptSyntaxError
from pystack.testing.packetdrill.parser import parse
from pystack.testing.packetdrill.play import Result, Run
from pystack.testing.packetdrill.settings import Settings

SUFFIX = ".pkt"


def scripts_in(paths: Iterable[Path]) -> list[Path]:
    """Return the scripts: files as they are named, of directories all *.pkt below them, in order.

    ConfigError: there is no such path, or a directory has none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(path.rglob(f"*{SUFFIX}"))
            if not below:
                raise ConfigError(f"there is no *{SUFFIX} below {path}")
            found += below
        elif path.exists():
            found.append(path)
        else:
            raise ConfigError(f"there is no {path}")
    return found


def run_all(paths: Iterable[Path], settings: Settings, tell: Callable[[str], None]) -> bool:
    """Run scripts and tell of each; return whether all of them passed."""
    scripts = scripts_in(paths)
    failed = 0
    for path in scripts:
        result = run_file(path, settings)
        failed += not result.passed
        for line in lines_of(result):
            tell(line)
    if len(scripts) > 1:
        tell(f"{len(scripts)} scripts: {len(scripts) - failed} passed, {failed} failed")
    return failed == 0


def lines_of(result: Result) -> list[str]:
    """Return what is to be told of one script: the trace, remarks, and what came of it."""
    lines = [*result.trace, *result.remarks]
    if result.problem is None:
        return [*lines, f"{result.path}: ok"]
    place = f"{result.path}:{result.line}" if result.line else result.path
    lines.append(f"{place}: FAILED: {result.problem}")
    return lines + [f"    {detail}" for detail in result.details]


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
        defines = dict(settings.defines)
        for line, name, value in script.options:
            result.line = line
            remark = settings.apply(name, value)
            if remark is not None:
                result.remarks.append(f"{path}:{line}: ignored: {remark}")
        result.line = 0
        settings.check()
        if settings.defines != defines:
            script = parse(text, path, settings.defines)  # the words of another version of IP
        if not settings.dry_run:
            Run(script, settings, result).play()
    except ScriptSyntaxError as error:
        result.problem, result.line = error.what, error.line
        result.details.append(f"column {error.column}")
    except ConfigError as error:
        result.problem = str(error)
    return result
