"""The functions that a lab's file names: found, and told apart."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from pystack.core.errors import ConfigError, PystackError
from pystack.core.suggest import suggest
from pystack.topology.spec import LabSpec, ProgramSpec

ProgramFn = Callable[..., Awaitable[object]]


class ProgramError(PystackError):
    """Programs of a lab have failed. The cause is the own error of one that ended it."""


def import_programs(spec: LabSpec) -> list[tuple[str, ProgramSpec, ProgramFn]]:
    """Return every Python program with the name of its host and its function. ConfigError.

    Modules are looked for beside the file first.
    """
    beside = str(Path(spec.path).resolve().parent)
    if beside not in sys.path:
        sys.path.insert(0, beside)
    return [
        (node.name, program, _function(spec, program))
        for node in spec.nodes.values()
        for program in node.programs
        if not program.command
    ]


def is_service(function: ProgramFn) -> bool:
    """Tell whether a program says when it has started, as `nursery.start` wants it."""
    return "task_status" in inspect.signature(function).parameters


def offered(function: Callable[..., object], offers: Mapping[str, object]) -> dict[str, object]:
    """Return of what is offered what a function names."""
    if not offers:
        return {}
    takes = inspect.signature(function).parameters
    return {name: value for name, value in offers.items() if name in takes}


def _function(spec: LabSpec, program: ProgramSpec) -> ProgramFn:
    module_name, _, name = program.run.partition(":")
    where = f"{spec.path}:{program.line}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ProgramError(f"{where}: the module {module_name} failed") from error
        raise ConfigError(
            f"{where}: there is no module {module_name!r} (it is looked for beside the file first)"
        ) from None
    except Exception as error:
        raise ProgramError(f"{where}: the module {module_name} failed") from error
    function: ProgramFn | None = getattr(module, name, None)
    if function is None:
        known = [word for word, value in vars(module).items() if inspect.iscoroutinefunction(value)]
        raise ConfigError(f"{where}: {module_name} has no {name!r}{suggest(name, known)}")
    if not inspect.iscoroutinefunction(function):
        raise ConfigError(f"{where}: {program.run} is not an async function")
    return function
