"""The files that an experiment needs, which travel with it to other processes and machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files by their names, relative to one folder."""

    files: Mapping[str, bytes] = field(default_factory=dict)

    def unpack(self, folder: Path) -> None:
        """Write all files into a folder, which gets the first place on `sys.path`."""
        raise NotImplementedError
