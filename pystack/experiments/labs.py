"""A lab as the base of an experiment: places of its file are set for each point.

The file is read anew for each point, so that whatever can stand in a lab can be a parameter; then
it runs in virtual time with its programs, its services and its timeline. What a program returns is
measured.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.core.units import parse_time_s
from pystack.experiments.bundle import Bundle, Source, module_files, outside
from pystack.experiments.model import LabBase, Value, WordError
from pystack.experiments.runs import Run
from pystack.experiments.values import check_value

# What labs are made of is imported where it is used: the processes of other sweeps start without.
if TYPE_CHECKING:
    from pystack.topology.spec import LabSpec, ProgramSpec


def lab(
    path: str | Path,
    places: Mapping[str, Value] | None = None,
    *,
    for_: str | float | None = None,
    folder: Path | None = None,
) -> Source:
    """Return a lab as the base of an experiment: `lab("x.toml", {"links.a-b.rate": "{rate}"})`.

    `places`: dotted keys of its file, and their values, of which texts may name parameters and
    constants in braces. `for_`: how much virtual time it gets; None: until its programs have
    ended. `folder`: the path is relative to it. Raises ConfigError.
    """
    from pystack.topology.places import parts_of

    file = Path(path) if folder is None else folder / path
    if folder is not None and not file.resolve().is_relative_to(folder.resolve()):
        raise outside(path, folder)
    top = file.parent if folder is None else folder
    for place, value in (places or {}).items():
        if parts_of(place) == ["seed"]:
            raise ConfigError("the seed of a lab is the run's: say which with seeds")
        check_value(value, place)
        names_in(value)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    name = file.relative_to(top).as_posix()
    base = LabBase(name, None if for_ is None else parse_time_s(for_), dict(places or {}))
    return Source(base, Bundle({name: text}) + _modules(text, file, top), top)


def _modules(text: bytes, file: Path, top: Path) -> Bundle:
    """Return the modules of its programs that are beside it."""
    from pystack.topology.file import parse

    found = Bundle()
    spec = parse(text.decode(errors="replace"), str(file))
    for node in spec.nodes.values():
        for program in node.programs:
            module = program.run.partition(":")[0]
            path = file.parent.joinpath(*module.split(".")).with_suffix(".py")
            if path.is_file():
                found += module_files(file.parent, module, path, top)
    return found


def names_in(value: Value) -> list[str]:
    """Return the names in braces. Raises ConfigError."""
    if not isinstance(value, str):
        return []
    try:
        fields = list(string.Formatter().parse(value))
    except ValueError:
        raise ConfigError(
            f"{value!r} has a brace without its other; one of its own is written twice"
        ) from None
    names = []
    for _, name, form, conversion in fields:
        if name is None:
            continue
        if form or conversion or not name.isidentifier():
            raise ConfigError(f"{value!r}: in braces is the name of a parameter, and no more")
        names.append(name)
    return names


def filled(value: Value, values: Mapping[str, Value]) -> Value:
    """Return a place's value for a point: "{rate}" is the value itself, of its own kind."""
    if not isinstance(value, str):
        return value
    if value[:1] == "{" and value[1:-1].isidentifier() and value[-1:] == "}":
        return values[value[1:-1]]
    return value.format_map(values)


def lab_of(base: LabBase, bundle: Bundle, folder: Path, values: Mapping[str, Value]) -> LabSpec:
    """Read a lab for one point. Raises ConfigError."""
    from pystack.apps.hosting import check_services
    from pystack.topology.file import parse

    places = {place: filled(value, values) for place, value in base.places.items()}
    spec = parse(bundle.files[base.file].decode(), str(folder / base.file), places)
    for node in spec.nodes.values():
        check_services(node.serve, folder)
    return spec


def check_lab(
    base: LabBase,
    bundle: Bundle,
    folder: Path,
    parameters: Iterable[str],
    samples: Iterable[Mapping[str, Value]],
) -> None:
    """Raise ConfigError for a lab that cannot run at one of these points, or ignores a parameter.

    `parameters`: the names of those that vary.
    """
    from pystack.runtime.lab.functions import import_programs, is_service, offered

    spec: LabSpec | None = None
    used = {name for value in base.places.values() for name in names_in(value)}
    for values in samples:
        for place, value in base.places.items():
            for name in names_in(value):
                if name not in values:
                    raise WordError(
                        place,
                        f"{place!r}: there is no parameter or constant {name!r}"
                        f"{suggest(name, values)}",
                    )
        spec = lab_of(base, bundle, folder, values)
    assert spec is not None
    functions = import_programs(spec)
    _check_virtual(spec)
    if base.for_s is None and all(is_service(function) for _, _, function in functions):
        raise WordError(
            "lab",
            f"{base.file} has no program that ends: say for how long it runs, with 'for'",
        )
    if any("run" in offered(function, {"run": None}) for _, _, function in functions):
        return  # it may ask for any
    for name in parameters:
        if name not in used:
            raise WordError(
                name,
                f"the parameter {name!r} changes nothing: it stands in no place of lab.set, and no "
                "program of the lab asks for `run`",
            )


def _check_virtual(spec: LabSpec) -> None:
    """Raise ConfigError for a lab with nodes that live in real time."""
    from pystack.runtime.lab.construct import in_real_time
    from pystack.runtime.lab.lab import ports_of

    if found := in_real_time(spec, ports_of(spec)):
        raise ConfigError(f"{found}, and an experiment runs in virtual time")


def run_lab_at(
    base: LabBase, bundle: Bundle, folder: Path, values: Mapping[str, Value], run: Run
) -> Iterator[tuple[str, object]]:
    """Run a lab at one point; yield what its programs have measured, by names."""
    from pystack.apps.hosting import start_services
    from pystack.runtime.lab.lab import LabOptions, run_lab

    results: list[tuple[str, object]] = []

    def take(program: ProgramSpec, result: object) -> None:
        results.append((program.run.rpartition(":")[2], result))

    options = LabOptions(
        virtual=True,
        for_s=base.for_s,
        seed=run.seed,
        offers={"run": run},
        on_result=take,
    )
    run_lab(lab_of(base, bundle, folder, values), options, start_services, lambda _line: None)
    for name, result in results:
        yield from result.items() if isinstance(result, Mapping) else [(name, result)]
