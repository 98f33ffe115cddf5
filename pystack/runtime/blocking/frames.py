"""Where threads are, and how one is stopped there."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from traceback import walk_stack
from types import FrameType
from typing import Final

from pystack.runtime.driver.waiting import PACKAGE

_LIBRARY: Final = str(Path(os.__file__).parent / "_")[:-1]


def place_of(frame: FrameType) -> str:
    """Return where a program is, and in which call of the standard library, by its frames."""
    inner = ""
    for at, line in walk_stack(frame):
        code, file = at.f_code, Path(at.f_code.co_filename)
        if code.co_filename.startswith(PACKAGE):
            continue
        if code.co_filename.startswith(_LIBRARY) and "site-packages" not in file.parts:
            inner = code.co_qualname
        else:
            return f"{code.co_qualname} ({file.name}:{line}){inner and f', in {inner}'}"
    return inner or "?"


def raise_in(ident: int, kind: type[BaseException]) -> None:
    """Raise an error in a thread, at its next line of Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))
