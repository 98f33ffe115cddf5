"""The function of an experiment: how it is named, found again, and called.

It gets the parameters and constants that it names, all of them, and `seed` and `run` if it names
those.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final

from pystack.core.errors import ConfigError, one_line
from pystack.core.suggest import suggest
from pystack.experiments.bundle import INSTALLED, LIBRARIES, Bundle, Source, module_files, outside
from pystack.experiments.model import FunctionBase, WordError

# What a function may name beside parameters and constants.
OFFERED: Final = ("seed", "run")
_NO_IDENTIFIER: Final = re.compile(r"\W|^(?=\d)")
_NAMED: Final = re.compile(r"([^:]+):([^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_DOTTED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")

# A kernel has imported it; there, a cell of this kind is the shortest way into a module.
_IN_A_NOTEBOOK: Final = " (a cell that begins with %%writefile NAME.py), and import it"

AnyFunction = Callable[..., object]


def source_of(function: AnyFunction) -> Source:
    """Return how another process finds a function again, as `multiprocessing` does, by its file.

    Raises ConfigError for one that cannot be found again.
    """
    if not isinstance(function, FunctionType):
        raise ConfigError(
            f"{function!r} is no function of a module, so that another process cannot find it "
            "again: write one with def, and give what it is to know as constants"
        )
    name = function.__qualname__
    if "<" in name:
        what = "a lambda" if "<lambda>" in name else "a function inside of another"
        raise ConfigError(
            f"{name} is {what}, so that another process cannot find it again: write it with def "
            "at the top of a module"
        )
    module = sys.modules.get(function.__module__)
    path = getattr(module, "__file__", None)
    if module is None or path is None or not path.endswith(".py"):
        raise ConfigError(
            f"{name} is in no file ({function.__module__}), so that another process cannot find "
            f"it again: write it into a module{_IN_A_NOTEBOOK if 'IPython' in sys.modules else ''}"
        )
    if _attribute(module, name) is not function:
        raise ConfigError(
            f"{path} has another {name} than the one that was given, which would run instead"
        )
    file = Path(path).resolve()
    spec = module.__spec__
    dotted = function.__module__ if spec is None else spec.name
    if dotted == "__main__":  # a script: as a module, it is called after its file
        dotted = _NO_IDENTIFIER.sub("_", file.stem)
    if any(file.is_relative_to(folder) for folder in INSTALLED):
        return Source(FunctionBase(dotted, name), Bundle(), None)
    above = dotted.count(".") + (file.name == "__init__.py")
    folder = file.parents[above]
    bundle = module_files(folder, dotted, file, folder)
    return Source(FunctionBase(dotted, name, file.relative_to(folder).as_posix()), bundle, folder)


def source_named(text: str, folder: Path) -> Source:
    """Return what "mine.py:function" or "module:function" means in a folder. Raises ConfigError.

    A module is looked for beside the file first.
    """
    match = _NAMED.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{text!r} is no function, like 'mine.py:function' or 'module:function' of Python"
        )
    place, name = match[1], match[2]
    if not place.endswith(".py"):
        if not _DOTTED.fullmatch(place):
            raise ConfigError(f"{place!r} is neither a file such as 'mine.py' nor a module")
        path = folder.joinpath(*place.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not path.is_file():
            base = FunctionBase(place, name)
            function_of(base, None)
            return Source(base, Bundle(), None)
        dotted, top = place, folder
    else:
        path = folder / place
        if not path.is_file():
            known = [each.name for each in sorted(folder.glob("*.py"))]
            raise ConfigError(f"there is no file {place!r} in {folder}{suggest(place, known)}")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise outside(place, folder)
        dotted, top = _NO_IDENTIFIER.sub("_", path.stem), path.parent
    if _is_installed(dotted.partition(".")[0]):
        raise ConfigError(
            f"{path.name} has the name of a module that is installed, which would be hidden: call "
            "it otherwise"
        )
    base = FunctionBase(dotted, name, path.relative_to(folder).as_posix())
    source = Source(base, module_files(top, dotted, path, folder), folder)
    function_of(base, folder)
    return source


def function_of(base: FunctionBase, folder: Path | None) -> AnyFunction:
    """Import and return a function. `folder`: where the bundle is. Raises ConfigError."""
    if base.file is not None and folder is not None:
        module = _module_of_file(base, folder)
    else:
        with _told(base.module):
            module = importlib.import_module(base.module)
    found = _attribute(module, base.name)
    if found is None:
        known = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if isinstance(value, FunctionType) and not name.startswith("_")
        ]
        raise ConfigError(
            f"{base.file or base.module} has no {base.name!r}{suggest(base.name, known)}"
        )
    if not callable(found):
        raise ConfigError(f"{base} is no function, but {found!r}")
    return found


def check_call(function: AnyFunction, what: str, names: Iterable[str]) -> None:
    """Raise ConfigError if a function cannot be given values of these names, or needs others."""
    given = list(names)
    takes = inspect.signature(function).parameters.values()
    by_name = [
        each.name for each in takes if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    if not any(each.kind is each.VAR_KEYWORD for each in takes):
        for name in given:
            if name not in by_name:
                known = [each for each in by_name if each not in OFFERED]
                raise WordError(name, f"{what} takes no {name!r}{suggest(name, known)}")
    for each in takes:
        if each.kind is each.POSITIONAL_ONLY and each.default is each.empty:
            raise ConfigError(f"{what} takes {each.name!r} by position alone: remove the /")
        is_needed = each.name in by_name and each.default is each.empty
        if is_needed and each.name not in (*given, *OFFERED):
            raise ConfigError(
                f"{what} needs {each.name!r}, which is neither a parameter nor a constant"
            )


def _is_installed(top: str) -> bool:
    """Tell whether a module is Python's own, or one that is installed."""
    if top in sys.stdlib_module_names:
        return True
    folders = [str(path) for path in LIBRARIES]
    return importlib.machinery.PathFinder.find_spec(top, folders) is not None


def _module_of_file(base: FunctionBase, folder: Path) -> ModuleType:
    assert base.file is not None
    path = (folder / base.file).resolve()
    main = sys.modules.get("__main__")
    if main is not None and _is_of(main, path):
        return main  # the script itself, which is not to run again
    module = sys.modules.get(base.module)
    if module is not None and _is_of(module, path):
        return module
    # Another experiment's, in another folder
    package = base.module.partition(".")[0]
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
        del sys.modules[name]
    top = path.parents[base.module.count(".") + (path.name == "__init__.py")]
    if str(top) in sys.path:
        sys.path.remove(str(top))
    sys.path.insert(0, str(top))
    importlib.invalidate_caches()
    with _told(base.module):
        if path.stem != base.module.rpartition(".")[2] and path.name != "__init__.py":
            return _loaded(base.module, path)  # "my-script.py"
        module = importlib.import_module(base.module)
    if not _is_of(module, path):
        raise ConfigError(f"{base.module} is {module.__file__}, and not {path}: call it otherwise")
    return module


def _loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _told(module: str) -> Iterator[None]:
    """Say what is wrong with a module that cannot be imported."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(f"there is no module {module!r}") from None
        raise ConfigError(f"the module {module} failed: {one_line(error)}") from error
    except Exception as error:
        raise ConfigError(
            f"the module {module} failed: {type(error).__name__}: {one_line(error)}"
        ) from error


def _is_of(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path


def _attribute(module: object, dotted: str) -> object:
    found = module
    for name in dotted.split("."):
        found = getattr(found, name, None)
    return found
