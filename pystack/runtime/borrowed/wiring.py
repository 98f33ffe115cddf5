"""Change what a function written in C does, for all who hold it: CPython's own objects, in place.

A program that has said `from time import time`, or has `clock=time.monotonic` for a default, holds
the function itself; another one under the same name in its module would never be asked. So the
function object is told to call another: its definition (PyMethodDef) gets the address of the C
function that calls any Python object with arguments passed in just this way, and its `self` becomes
that object. No code is made, and a call costs one call more. Methods of types written in C are
replaced in the type's own dict.

This is CPython's layout from 3.11 on, the same in all releases since; `check_supported` tells.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Any, Final

from pystack.core.errors import ConfigError

_VARARGS: Final = 0x0001
_KEYWORDS: Final = 0x0002
_NOARGS: Final = 0x0004
_O: Final = 0x0008
_FASTCALL: Final = 0x0080

# By how a function is given its arguments: what calls an object with them, passed the same way
_CALLS: Final = {
    _NOARGS: "PyObject_CallNoArgs",
    _O: "PyObject_CallOneArg",
    _VARARGS: "PyObject_CallObject",
    _VARARGS | _KEYWORDS: "PyObject_Call",
    _FASTCALL | _KEYWORDS: "PyObject_Vectorcall",
}


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("meth", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Function(ctypes.Structure):
    _fields_ = (
        ("head", ctypes.c_char * object.__basicsize__),
        ("m_ml", ctypes.c_void_p),
        ("m_self", ctypes.c_void_p),
        ("m_module", ctypes.c_void_p),
    )


def check_supported() -> None:
    """Raise ConfigError where functions written in C cannot be changed."""
    gil: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    if sys.implementation.name != "cpython" or not gil():
        raise ConfigError(
            "the clock of programs on hosts can be the world's with CPython and its GIL alone, "
            f"not with {sys.implementation.name} {sys.version.split()[0]}"
        )


def original_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that goes on doing what `function`, written in C, does now."""
    there = _Function.from_address(id(function))
    now = _MethodDef.from_address(there.m_ml)
    kept = _MethodDef(now.name, now.meth, now.flags, now.doc)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    copy: Callable[..., Any] = make(ctypes.addressof(kept), there.m_self, there.m_module)
    _definitions.append(kept)  # for as long as anybody may hold the copy
    return copy


class Rewired:
    """A function written in C that calls another, until `undo`."""

    def __init__(self, function: Callable[..., Any], stand_in: Callable[..., Any]) -> None:
        """`stand_in` is called with the very arguments. TypeError: not a function written in C."""
        if type(function) is not type(len):
            raise TypeError(f"{function!r} is no function written in C")
        self._function, self._stand_in = function, stand_in
        self._there = there = _Function.from_address(id(function))
        self._was = there.m_ml, there.m_self
        now = _MethodDef.from_address(there.m_ml)
        if now.flags not in _CALLS:
            raise TypeError(f"{function!r} takes its arguments in a way not known here")
        call = getattr(ctypes.pythonapi, _CALLS[now.flags])
        address = ctypes.cast(call, ctypes.c_void_p).value
        self._definition = _MethodDef(now.name, address, now.flags, now.doc)
        # The function owns its `self`: the collector counts what it finds there.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(stand_in))
        there.m_self, there.m_ml = id(stand_in), ctypes.addressof(self._definition)

    def undo(self) -> None:
        """Let the function do again what it did."""
        self._there.m_ml, self._there.m_self = self._was
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(self._stand_in))


def replace_in_type(kind: type, name: str, value: object) -> object:
    """Put `value` into the dict of a type that is written in C; return what was there."""
    (members,) = gc.get_referents(kind.__dict__)
    before: object = members[name]
    members[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))  # what remembers it looks again
    return before


_definitions: Final[list[_MethodDef]] = []
