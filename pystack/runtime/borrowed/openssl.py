"""The chance of TLS on hosts, in virtual time: what OpenSSL draws for a program is its host's.

OpenSSL asks one table of functions for all that it draws (RAND_METHOD, rand(7ossl)). While a
network is open it is ours: by context, as everywhere here, so what other code of the process draws
comes from OpenSSL's own generator. With it, the bytes of a handshake are the same for the same
seed, and so are all that follow; except session tickets with the machine's time inside, which
contexts made on hosts do not give.

Only the libcrypto of Python's own `ssl` is asked: `cryptography` brings another one with it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from pystack.runtime.borrowed.chance import chance_here
from pystack.runtime.borrowed.loan import Borrow

_BYTES: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_STATUS: Final = ctypes.CFUNCTYPE(ctypes.c_int)


class _Method(ctypes.Structure):
    _fields_ = (
        ("seed", ctypes.c_void_p),
        ("bytes", _BYTES),
        ("cleanup", ctypes.c_void_p),
        ("add", ctypes.c_void_p),
        ("pseudorand", _BYTES),
        ("status", _STATUS),
    )


def lend(borrow: Borrow) -> None:
    """Lend what OpenSSL draws, where that can be had: see `why_not`."""
    borrow.when_imported("ssl", _lend)


def why_not() -> str:
    """Return why what OpenSSL draws is the machine's, in a sentence; empty: it is the host's."""
    try:
        _libcrypto()
    except (OSError, AttributeError) as error:
        return f"Python's OpenSSL cannot be told what to draw: {error}"
    return ""


def _lend(borrow: Borrow) -> None:
    with suppress(OSError, AttributeError):
        borrow.exchange(_OfWorlds(_libcrypto()))
    borrow.python_function(sys.modules["ssl"].SSLContext.__new__, _without_dates)


def _without_dates(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have contexts that are made on hosts give tickets without the machine's time in them.

    They are then numbers of sessions that the context keeps (RFC 8446 section 4.6.1), so
    that a session is resumed as ever. Contexts of clients, which give none, stay as they are.
    """
    ssl = sys.modules["ssl"]

    def made(*args: object, **words: object) -> Any:  # noqa: ANN401 - of ssl
        context = original(*args, **words)
        if chance_here() is not None and context.protocol != ssl.PROTOCOL_TLS_CLIENT:
            context.options |= ssl.OP_NO_TICKET
        return context

    return made


def _libcrypto() -> ctypes.PyDLL:
    """Return what `ssl` draws from. Raises OSError, AttributeError where there is no such thing."""
    ssl, of_c = sys.modules["ssl"], sys.modules["_ssl"]
    if not ssl.OPENSSL_VERSION.startswith("OpenSSL "):
        raise OSError(f"it is {ssl.OPENSSL_VERSION}")
    # Of what the module was linked to: there may be other copies in the process. With the GIL kept,
    # since to set a pointer is over before another thread could have begun. Where it is a
    # part of the executable, its functions may not be seen.
    library = ctypes.PyDLL(getattr(of_c, "__file__", None))
    library.RAND_get_rand_method.restype = library.RAND_OpenSSL.restype = ctypes.c_void_p
    library.RAND_set_rand_method.argtypes = [ctypes.c_void_p]
    return library


class _OfWorlds:
    """Puts our table in the place of OpenSSL's, and OpenSSL's back."""

    def __init__(self, libcrypto: ctypes.PyDLL) -> None:
        self._libcrypto = libcrypto
        of_openssl = _Method.from_address(libcrypto.RAND_OpenSSL())
        draw = _BYTES(_drawn(of_openssl.bytes))
        self._method = _Method(bytes=draw, pseudorand=draw, status=_STATUS(lambda: 1))
        self._before: int | None = None  # None: OpenSSL chooses

    def do(self) -> None:
        self._before = self._libcrypto.RAND_get_rand_method()
        self._libcrypto.RAND_set_rand_method(ctypes.addressof(self._method))

    def undo(self) -> None:
        self._libcrypto.RAND_set_rand_method(self._before)


def _drawn(original: Any) -> Callable[[int, int], int]:  # noqa: ANN401 - of ctypes
    def draw(buffer: int, size: int) -> int:
        try:
            chance = chance_here()
            if chance is None:
                return int(original(buffer, size))
            ctypes.memmove(buffer, chance.entropy.randbytes(size), size)
        except BaseException:  # OpenSSL has an error of its own for it; nobody else would hear
            return 0
        return 1

    return draw
