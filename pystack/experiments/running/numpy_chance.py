"""numpy's chance, which hangs on the run also where the run is what imports numpy.

`numpy.random` has one generator for all, drawn from the system's chance when its module is loaded.
"""

import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Final

_MODULE: Final = "numpy.random.mtrand"  # where that generator is
_SEEDS: Final = 2**32  # what `numpy.random.seed` takes is below


class NumpyChance(MetaPathFinder):
    """Seeds the generator for each run: now if it is there, else as soon as it is loaded."""

    def __init__(self) -> None:
        """Have it seeded from now on, with 0 until a run says its own."""
        self._seed = 0
        sys.meta_path.insert(0, self)

    def seed(self, seed: int) -> None:
        """Begin a run."""
        self._seed = seed % _SEEDS
        if (module := sys.modules.get(_MODULE)) is not None:
            module.seed(self._seed)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the one module as Python does, to be seeded when it is loaded; no other."""
        if name != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_seed(module: ModuleType) -> None:
            load(module)
            module.seed(self._seed)

        spec.loader.exec_module = load_and_seed  # type: ignore[method-assign]
        return spec
