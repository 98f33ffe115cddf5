"""The files that an experiment needs, which travel with it to other processes and machines.

A function is found again by the file of its module, as `multiprocessing` does it; the modules
beside that file which it imports come with it. What is installed is not in a bundle: it has to be
installed wherever the experiment runs.
"""

from __future__ import annotations

import ast
import base64
import site
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from pystack.core.errors import ConfigError
from pystack.experiments.model import Base

_MOST_BYTES: Final = 64 << 20  # each process gets all of them
# Where libraries lie
LIBRARIES: Final = tuple(
    Path(path).resolve()
    for path in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
)
# Where what is installed lies: it is in no bundle
INSTALLED: Final = (*LIBRARIES, Path(__file__).resolve().parents[1])


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files by their names, relative to one folder, with "/" between parts."""

    files: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name:
                raise ConfigError(f"no file of a bundle can be called {name!r}")
        size = sum(map(len, self.files.values()))
        if size > _MOST_BYTES:
            raise ConfigError(
                f"the files of the experiment have {size:,} bytes, and {_MOST_BYTES:,} are the "
                "most that travel: name fewer, or put them where each machine has them"
            )

    def __add__(self, other: Bundle) -> Bundle:
        """Return the files of both."""
        return Bundle({**self.files, **other.files})

    def unpack(self, folder: Path) -> None:
        """Write all files into a folder that is there."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def to_json(self) -> dict[str, object]:
        """Return texts as they are, and all else in base 64."""
        return {name: _content_to_json(content) for name, content in sorted(self.files.items())}

    @classmethod
    def from_json(cls, said: Mapping[str, object]) -> Bundle:
        """Return what `to_json` has said."""
        return cls({name: _content_of_json(content) for name, content in said.items()})


def _content_to_json(content: bytes) -> object:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _content_of_json(said: object) -> bytes:
    if isinstance(said, dict):
        return base64.b64decode(said["base64"])
    assert isinstance(said, str)
    return said.encode()


@dataclass(frozen=True, slots=True)
class Source:
    """A base, the files that it needs, and where these are on this machine."""

    base: Base
    bundle: Bundle
    folder: Path | None  # None: it needs no file


def found_files(folder: Path, patterns: Iterable[str | Path]) -> Bundle:
    """Return files of a folder by their names, or patterns such as "traces/*.csv". ConfigError."""
    found: dict[str, bytes] = {}
    for pattern in map(str, patterns):
        path = PurePosixPath(pattern)
        if not path.parts or path.is_absolute() or ".." in path.parts:
            raise outside(pattern, folder)
        try:
            paths = sorted(path for path in folder.glob(pattern) if path.is_file())
        except (ValueError, NotImplementedError, OSError) as error:
            raise ConfigError(f"{pattern!r} is no pattern of files: {error}") from None
        if not paths:
            raise ConfigError(f"there is no file {pattern!r} in {folder}")
        for each in paths:
            found[each.relative_to(folder).as_posix()] = _read(each)
    return Bundle(found)


def outside(path: str | Path, folder: Path) -> ConfigError:
    """Return the error that a file is not in the folder of the experiment, nor below."""
    return ConfigError(f"{str(path)!r} is outside of {folder}: only files in there can travel")


def module_files(folder: Path, module: str, path: Path, root: Path) -> Bundle:
    """Return a module's file with those of modules below `folder` that it imports, and they do.

    `folder` is on `sys.path`, and `root` is what names in the bundle are relative to.
    """
    found: dict[str, bytes] = {}
    waiting = [path, *_packages(folder, module)]
    while waiting:
        each = waiting.pop()
        name = each.relative_to(root).as_posix()
        if name in found:
            continue
        found[name] = _read(each)
        parts = each.relative_to(folder).with_suffix("").parts
        package = parts[:-1]
        for wanted in _imported(found[name], package):
            waiting += _module_paths(folder, wanted)
    return Bundle(found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def _imported(source: bytes, package: tuple[str, ...]) -> set[str]:
    """Return the dotted names that a module imports, of modules or of what is in them."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()  # to import it will tell
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source_name = ".".join([*above, *([node.module] if node.module else [])])
            found.add(source_name)
            found.update(f"{source_name}.{alias.name}" for alias in node.names)
    return found - {""}


def _module_paths(folder: Path, module: str) -> list[Path]:
    """Return the files of a dotted name that are below a folder: of it and its packages."""
    path = folder.joinpath(*module.split("."))
    own = [each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()]
    return [*own[:1], *_packages(folder, module)]


def _packages(folder: Path, module: str) -> list[Path]:
    """Return the `__init__.py` files of the packages around a module."""
    parts = module.split(".")[:-1]
    paths = [folder.joinpath(*parts[:end], "__init__.py") for end in range(1, len(parts) + 1)]
    return [path for path in paths if path.is_file()]
