"""Files that are replaced at one go: whoever reads meanwhile has the old one or the new one."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, and return when the disk has it. Raises OSError, and leaves nothing beside."""
    beside = path.with_name(f"{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # before its name, and before a line that tells of it
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
