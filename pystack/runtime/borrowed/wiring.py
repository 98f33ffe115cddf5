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
from collections.abc import Callable, Iterator
from functools import partial
from operator import setitem
from types import FunctionType
from typing import Any, Final

from pystack.core.errors import ConfigError

_ALL: Final = slice(None)
_VARARGS: Final = 0x0001
_KEYWORDS: Final = 0x0002
_NOARGS: Final = 0x0004
_O: Final = 0x0008
_CLASS: Final = 0x0010
_FASTCALL: Final = 0x0080
_POINTER_BYTES: Final = ctypes.sizeof(ctypes.c_void_p)

# By how a function is given its arguments: what calls an object with them, passed the same way
_CALLS: Final = {
    _NOARGS: "PyObject_CallNoArgs",
    _O: "PyObject_CallOneArg",
    _VARARGS: "PyObject_CallObject",
    _VARARGS | _KEYWORDS: "PyObject_Call",
    _FASTCALL | _KEYWORDS: "PyObject_Vectorcall",
    _FASTCALL: "PyObject_Vectorcall",  # with an argument more: see `rewired`
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
        ("m_weakreflist", ctypes.c_void_p),
        ("vectorcall", ctypes.c_void_p),
    )


class _Descriptor(ctypes.Structure):
    _fields_ = (
        ("head", ctypes.c_char * object.__basicsize__),
        ("kind", ctypes.c_void_p),
        ("name", ctypes.c_void_p),
        ("qualname", ctypes.c_void_p),
        ("method", ctypes.c_void_p),
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


def rewired(
    function: Callable[..., Any], stand_in: Callable[..., Any]
) -> Iterator[ExchangedPointers]:
    """Yield what has to be exchanged for a function written in C to call another.

    `stand_in` is called with the very arguments. TypeError: not a function written in C.
    """
    if type(function) is not type(len):
        raise TypeError(f"{function!r} is no function written in C")
    there = _Function.from_address(id(function))
    now = _MethodDef.from_address(there.m_ml)
    if now.flags not in _CALLS:
        raise TypeError(f"{function!r} takes its arguments in a way not known here")
    call = getattr(ctypes.pythonapi, _CALLS[now.flags])
    address = ctypes.cast(call, ctypes.c_void_p).value
    flags = now.flags
    if flags == _FASTCALL:
        # It takes a vector of arguments and no keywords, as `select` does; what calls any object
        # takes keywords too. So it is called as those that do, which hand over one argument more;
        # a keyword is for the stand-in to refuse.
        flags |= _KEYWORDS
        with_keywords = _Function.from_address(id(print)).vectorcall
        yield ExchangedPointers(id(function) + _Function.vectorcall.offset, with_keywords)
    definition = _MethodDef(now.name, address, flags, now.doc)
    # For good, since who holds the function may be in the middle of a call. The function owns its
    # `self`: the collector counts what it finds there.
    _kept.append((function, definition))
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(stand_in))
    at = id(function) + _Function.m_ml.offset  # where m_self follows
    yield ExchangedPointers(at, ctypes.addressof(definition), id(stand_in))


class ExchangedPointers:
    """Pointers in a row that are exchanged for others from `do` to `undo`, as often as they come.

    Both are calls of C, with no code of ours: opening and closing a network makes some hundred.
    """

    __slots__ = ("do", "undo")

    def __init__(self, address: int, *pointers: int) -> None:
        then = struct.pack(f"@{len(pointers)}P", *pointers)
        place = memoryview((ctypes.c_char * len(then)).from_address(address)).cast("B")
        self.do: Callable[[], None] = partial(setitem, place, _ALL, then)
        self.undo: Callable[[], None] = partial(setitem, place, _ALL, bytes(place))


class RedefinedClassMethod:
    """A class method written in C that calls another, also for those who hold it bound already.

    Such a thing is made at each look at it, with `self` for the class, so there is no function to
    be rewired; but all of them share one definition. A call by way of it takes a microsecond more,
    and an error in it comes out as a SystemError: it is for those who hold one from before.
    """

    def __init__(self, kind: type, name: str, stand_in: Callable[..., object]) -> None:
        """`stand_in` is called with the class and the arguments."""
        of_all = _MethodDef.from_address(_Descriptor.from_address(id(vars(kind)[name])).method)
        own = _MethodDef(of_all.name, of_all.meth, of_all.flags, of_all.doc)
        make = ctypes.pythonapi.PyDescr_NewClassMethod
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.py_object, ctypes.c_void_p]
        # A class method that does what this one did
        self.original: Any = make(kind, ctypes.addressof(own))
        call = _no_arguments if of_all.flags == _NOARGS | _CLASS else _fast_arguments
        self._thunk = ctypes.cast(call(stand_in), ctypes.c_void_p)
        self._of_all, self._own = of_all, own
        _kept.append((kind, self))

    def do(self) -> None:
        """Let all call the other."""
        self._own.meth = self._of_all.meth
        self._of_all.meth = self._thunk.value

    def undo(self) -> None:
        """Let them do again what they did."""
        self._of_all.meth = self._own.meth


def _no_arguments(stand_in: Callable[..., object]) -> Any:  # noqa: ANN401 - of ctypes
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_void_p)
    return kind(lambda cls, _nothing: stand_in(cls))


def _fast_arguments(stand_in: Callable[..., object]) -> Any:  # noqa: ANN401 - of ctypes
    def call(cls: object, args: int, count: int, names: int | None) -> object:
        if not count and not names:
            return stand_in(cls)
        words = ctypes.cast(names, ctypes.py_object).value if names else ()
        given = [
            ctypes.py_object.from_address(args + number * _POINTER_BYTES).value
            for number in range(count + len(words))
        ]
        return stand_in(cls, *given[:count], **dict(zip(words, given[count:], strict=True)))

    kind = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p
    )
    return kind(call)


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
