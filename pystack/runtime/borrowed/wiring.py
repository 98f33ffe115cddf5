"""Change what a function written in C does, for all who hold it: CPython's own objects, in place.

A program that has said `from time import time`, or has `clock=time.monotonic` for a default, holds
the function itself; another one under the same name in its module would never be asked. So the
function object is told to call another: its definition (PyMethodDef) gets the address of the C
function that calls any Python object with arguments passed in just this way, and its `self` becomes
that object. No code is made, and a call costs one call more. Methods of types written in C are
replaced in the type's own dict. Functions written in Python get other code (`Recoded`).

This is CPython's layout from 3.11 on, the same in all releases since; `check_supported` tells.
"""

from __future__ import annotations

import ctypes
import gc
import struct
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

from pystack.core.errors import ConfigError

_POINTERS: Final = struct.Struct("@PP")  # m_ml, and m_self after it
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
    """Return a function that goes on doing what the definition of `function` says now.

    Who writes into that definition later (time-machine does) is followed.
    """
    there = _Function.from_address(id(function))
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    copy: Callable[..., Any] = make(there.m_ml, there.m_self, there.m_module)
    _kept.append((function, copy))  # for as long as anybody may hold the copy
    return copy


class Rewired:
    """A function written in C that calls another from `do` to `undo`, as often as they come."""

    def __init__(self, function: Callable[..., Any], stand_in: Callable[..., Any]) -> None:
        """`stand_in` is called with the very arguments. TypeError: not a function written in C."""
        if type(function) is not type(len):
            raise TypeError(f"{function!r} is no function written in C")
        there = _Function.from_address(id(function))
        now = _MethodDef.from_address(there.m_ml)
        if now.flags not in _CALLS:
            raise TypeError(f"{function!r} takes its arguments in a way not known here")
        call = getattr(ctypes.pythonapi, _CALLS[now.flags])
        address = ctypes.cast(call, ctypes.c_void_p).value
        definition = _MethodDef(now.name, address, now.flags, now.doc)
        # For good, since who holds the function may be in the middle of a call. The function owns
        # its `self`: the collector counts what it finds there.
        _kept.append((function, definition))
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(stand_in))
        self._place = ctypes.addressof(there) + _Function.m_ml.offset
        self._then = _POINTERS.pack(ctypes.addressof(definition), id(stand_in))
        self._before = b""

    def do(self) -> None:
        """Let the function call the other."""
        # Both at once, and as bytes: it is done some forty times when a network opens
        self._before = ctypes.string_at(self._place, _POINTERS.size)
        ctypes.memmove(self._place, self._then, _POINTERS.size)

    def undo(self) -> None:
        """Let the function do again what it did."""
        ctypes.memmove(self._place, self._before, _POINTERS.size)


class Recoded:
    """A function written in Python that calls another, for all who hold it too."""

    def __init__(self, function: FunctionType, stand_in: Callable[..., Any]) -> None:
        """`stand_in` is called with the very arguments. TypeError: it is of no module."""
        if function.__closure__:
            raise TypeError(f"{function!r} is made in another function, whose variables it has")
        self._function, self._before = function, function.__code__
        own = self._before
        consts = tuple(stand_in if one == _MARK else one for one in _passes_on.__code__.co_consts)
        self._then = _passes_on.__code__.replace(
            co_consts=consts, co_name=own.co_name, co_qualname=own.co_qualname
        )

    @staticmethod
    def original_of(function: FunctionType) -> FunctionType:
        """Return a function that goes on doing what this one does."""
        copy = FunctionType(function.__code__, function.__globals__, function.__name__)
        copy.__defaults__, copy.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
        return copy

    def do(self) -> None:
        """Let the function call the other."""
        self._before = self._function.__code__
        self._function.__code__ = self._then

    def undo(self) -> None:
        """Let the function do again what it did."""
        self._function.__code__ = self._before


def _passes_on(*args: object, **words: object) -> object:
    stand_in: Any = "the stand-in"  # exchanged for what it stands for: a name could be taken
    return stand_in(*args, **words)


_MARK: Final = "the stand-in"


def replace_in_type(kind: type, name: str, value: object) -> object:
    """Put `value` into the dict of a type that is written in C; return what was there."""
    (members,) = gc.get_referents(kind.__dict__)
    before: object = members[name]
    members[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))  # what remembers it looks again
    return before


_kept: Final[list[tuple[object, object]]] = []
