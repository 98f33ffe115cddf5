"""What can be wrong with a script: it can't be read, or the host did something else."""

from __future__ import annotations

from pystack.core.errors import PystackError


class ScriptSyntaxError(PystackError):
    """A script can't be read; `line` and `column` count from 1."""

    def __init__(self, path: str, line: int, column: int, what: str) -> None:
        super().__init__(f"{path}:{line}:{column}: {what}")
        self.path = path
        self.line = line
        self.column = column
        self.what = what


class MismatchError(PystackError):
    """What came is not what the script says; `details` are the lines below the first."""

    def __init__(self, what: str, *details: str) -> None:
        super().__init__(what)
        self.what = what
        self.details = details
