"""Loan: names that are borrowed from the standard library while at least one network wants them.

Who lends says so in a function that is given a `Borrow`; it is called once in the process, and what
it has borrowed is exchanged from then on whenever it is wanted. What is put in the place of a name
looks at `current_host` (`runtime/current.py`) at each call: code on no host gets what was there.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from threading import RLock
from types import FunctionType, ModuleType
from typing import Any, Final, Protocol

from pystack.runtime.borrowed.wiring import (
    Recoded,
    RedefinedClassMethod,
    check_supported,
    original_of,
    replace_in_type,
    rewired,
)

_MISSING: Final = object()

Term = Callable[["Borrow"], None]


class _Exchange(Protocol):
    """What is done to one name, and undone."""

    @property
    def do(self) -> Callable[[], None]: ...

    @property
    def undo(self) -> Callable[[], None]: ...


class Borrow:
    """What is borrowed together: to be done and undone as often as networks come and go."""

    def __init__(self) -> None:
        self._exchanges: list[_Exchange] = []
        self._awaited: dict[str, list[Term]] = {}  # by the name of a module that is not there yet
        self._is_out = True  # what is added now is done now

    def function(
        self, function: Callable[..., Any], make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> Callable[..., Any]:
        """Have a function written in C call another, for all who hold it; return the original.

        `make`: is given the original, and returns what is called from now on.
        """
        original = original_of(function)
        for exchange in rewired(function, make(original)):
            self._add(exchange)
        return original

    def python_function(
        self, function: Callable[..., Any], make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        """Do the same with a function of a module that is written in Python."""
        if not isinstance(function, FunctionType):
            raise TypeError(f"{function!r} is no function written in Python")
        self._add(Recoded(function, make(Recoded.original_of(function))))

    def method(self, kind: type, name: str, value: object) -> None:
        """Replace a member of a type that is written in C."""
        self._add(_OfType(kind, name, value))

    def lasting_method(self, kind: type, name: str, value: object) -> None:
        """Replace a member of a type for good: for types that much is built on.

        Each change makes all code that uses the type look anew, and from Python 3.13 on a type
        that has changed a thousand times is not remembered any more.
        """
        replace_in_type(kind, name, value)

    def class_method(
        self, kind: type, name: str, make: Callable[[Any], Callable[..., object]]
    ) -> None:
        """Have a class method written in C call another, for all who hold it.

        `make`: is given the original, a descriptor, and returns what is called with the class.
        """
        plain = vars(kind)[name]
        redefined = RedefinedClassMethod(kind, name, stand_in := _Later())
        stand_in.call = make(redefined.original)
        bound: classmethod[Any, ..., Any] = classmethod(plain)
        self.lasting_method(kind, name, bound)
        self._add(redefined)
        self._add(_ClassMethod(bound, plain, stand_in.call))

    def attribute(self, place: object, name: str, value: object) -> None:
        """Replace an attribute of a module, or of a class written in Python."""
        self._add(_Attribute(place, name, value))

    def exchange(self, exchange: _Exchange) -> None:
        """Borrow in another way: with a `do` and an `undo`, which may come often."""
        self._add(exchange)

    def when_imported(self, module: str, term: Term) -> None:
        """Borrow by another function, now or as soon as the program imports a module."""
        if module in sys.modules:
            term(self)
        else:
            self._awaited.setdefault(module, []).append(term)
            _watch_imports(module, self)

    def take(self) -> None:
        """Borrow it all again."""
        self._is_out = True
        for exchange in self._exchanges:
            exchange.do()
        for module in [name for name in self._awaited if name in sys.modules]:
            self.has_come(module)

    def give_back(self) -> None:
        """Put all back, the last first."""
        self._is_out = False
        for exchange in reversed(self._exchanges):
            exchange.undo()

    def has_come(self, module: str) -> None:
        """Borrow what was to be borrowed of a module that has been imported meanwhile."""
        if self._is_out:
            for term in self._awaited.pop(module, ()):
                term(self)

    def _add(self, exchange: _Exchange) -> None:
        exchange.do()
        self._exchanges.append(exchange)


class Loan:
    """A group of names that are borrowed together; counted, since networks may overlap."""

    def __init__(self, *terms: Term) -> None:
        """`terms`: each borrows something; they are called once in the process."""
        self._terms = terms
        self._borrowers = 0
        self._borrow: Borrow | None = None  # None: it has not been taken yet
        self._lock = RLock()  # a module that a term imports may wait for another one's term

    def take(self) -> None:
        """Borrow, for one network more. Raises ConfigError where that cannot be."""
        with self._lock:
            if self._borrowers == 0:
                if self._borrow is None:
                    self._begin()
                else:
                    self._borrow.take()
            self._borrowers += 1

    def give_back(self) -> None:
        """One network less; with the last of them all is as it was."""
        with self._lock:
            self._borrowers -= 1
            if self._borrowers == 0 and self._borrow is not None:
                self._borrow.give_back()

    def _begin(self) -> None:
        check_supported()
        atexit.register(self._end)
        borrow = Borrow()
        try:
            for term in self._terms:
                term(borrow)
        except BaseException:
            borrow.give_back()
            raise
        self._borrow = borrow

    def _end(self) -> None:
        """With the process: what is taken down then is to find all as it was."""
        if self._borrowers and self._borrow is not None:
            self._borrowers = 0
            self._borrow.give_back()


class _OfType:
    """A member of a type that is written in C."""

    def __init__(self, kind: type, name: str, value: object) -> None:
        self._kind, self._name, self._value = kind, name, value
        self._before: object = None

    def do(self) -> None:
        self._before = replace_in_type(self._kind, self._name, self._value)

    def undo(self) -> None:
        replace_in_type(self._kind, self._name, self._before)


class _Later:
    """Calls what is known later."""

    call: Callable[..., object]

    def __call__(self, *args: object, **words: object) -> object:
        return self.call(*args, **words)


class _ClassMethod:
    """What stands in a type's dict for good, and is told what to call: the type does not change."""

    def __init__(
        self, there: classmethod[Any, ..., Any], plain: object, stand_in: Callable[..., object]
    ) -> None:
        self._there, self._plain, self._stand_in = there, plain, stand_in

    def do(self) -> None:
        self._there.__init__(self._stand_in)  # type: ignore[misc]

    def undo(self) -> None:
        self._there.__init__(self._plain)  # type: ignore[misc]


class _Attribute:
    """An attribute of a module, or of a class written in Python."""

    def __init__(self, place: object, name: str, value: object) -> None:
        self._place, self._name, self._value = place, name, value
        self._before: object = _MISSING

    def do(self) -> None:
        self._before = vars(self._place).get(self._name, _MISSING)
        setattr(self._place, self._name, self._value)

    def undo(self) -> None:
        if vars(self._place).get(self._name, _MISSING) is not self._value:
            return  # somebody has put in something else since
        if self._before is _MISSING:
            delattr(self._place, self._name)
        else:
            setattr(self._place, self._name, self._before)


class _ImportWatcher(MetaPathFinder):
    """Tells when a module that is waited for has been imported; finds nothing itself."""

    def __init__(self) -> None:
        self.borrows: dict[str, list[Borrow]] = {}
        self._busy = False

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Have the others find it, and be told when it is there."""
        if fullname not in self.borrows or self._busy:
            return None
        self._busy = True
        try:
            spec = find_spec(fullname)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            spec.loader = _ToldLoader(spec.loader, self.borrows.pop(fullname))
        return spec


class _ToldLoader(Loader):
    """Loads by another loader, and tells borrows when that is done."""

    def __init__(self, inner: Loader, borrows: list[Borrow]) -> None:
        self._inner, self._borrows = inner, borrows

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the other."""
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it to the other; then borrow."""
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self._inner
        self._inner.exec_module(module)
        for borrow in self._borrows:
            borrow.has_come(module.__name__)

    def __getattr__(self, name: str) -> object:
        """Be the other in all else."""
        return getattr(self._inner, name)


_imports: Final = _ImportWatcher()


def _watch_imports(module: str, borrow: Borrow) -> None:
    if _imports not in sys.meta_path:
        sys.meta_path.insert(0, _imports)
    _imports.borrows.setdefault(module, []).append(borrow)
