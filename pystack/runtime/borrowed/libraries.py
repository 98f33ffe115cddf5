"""Libraries that open sockets in C, where no socket of Python's is asked for: the seal names them.

No audit event tells of what they do, so the calls by which a program gets them to connect are asked
first whether the code is sealed in. `LIBRARIES` is the list; docs/sockets.md shows it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial, wraps
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from pystack.runtime.borrowed.loan import Borrow
from pystack.runtime.borrowed.wiring import replace_in_type
from pystack.runtime.socket import seal
from pystack.runtime.socket.plain_socket import PlainSocket

Function = Callable[..., Any]


class Library(NamedTuple):
    """One that passes the seal, and what to use in its place."""

    name: str  # as its users say
    core: str  # what opens the sockets
    module: str  # where its calls are
    calls: tuple[str, ...]  # functions, and methods of classes
    instead: str
    # Whether a call with these arguments stays where it is
    harmless: Callable[[tuple[object, ...]], bool] = lambda _args: False


def _is_inproc(args: tuple[object, ...]) -> bool:
    return str(args[1] if len(args) > 1 else "").startswith("inproc:")


def _is_of_the_machine(args: tuple[object, ...]) -> bool:
    return not any(isinstance(arg, PlainSocket) for arg in args)


LIBRARIES: Final = (
    Library(
        "pyzmq",
        "libzmq",
        "zmq.sugar.socket",
        ("Socket.bind", "Socket.connect"),
        "inproc:// addresses within one program",
        _is_inproc,
    ),
    Library("psycopg2", "libpq", "psycopg2._psycopg", ("_connect",), "asyncpg or pg8000"),
    Library(
        "psycopg",
        "libpq",
        "psycopg",
        ("Connection._connect_gen", "AsyncConnection._connect_gen"),
        "asyncpg or pg8000",
    ),
    Library(
        "grpcio",
        "gRPC's C core",
        "grpc._channel",
        ("Channel.__init__",),
        "grpclib",
    ),
    Library("grpcio", "gRPC's C core", "grpc._server", ("_Server.__init__",), "grpclib"),
    Library("grpc.aio", "gRPC's C core", "grpc.aio._channel", ("Channel.__init__",), "grpclib"),
    Library("grpc.aio", "gRPC's C core", "grpc.aio._server", ("Server.__init__",), "grpclib"),
    Library(
        "pycurl",
        "libcurl",
        "pycurl",
        ("Curl.perform", "CurlMulti.perform", "CurlMulti.socket_action"),
        "requests, urllib3 or httpx",
    ),
    Library("curl_cffi", "libcurl", "curl_cffi.curl", ("Curl.perform",), "requests or httpx"),
    Library("curl_cffi", "libcurl", "curl_cffi.aio", ("AsyncCurl.add_handle",), "httpx"),
    Library("pycares", "c-ares", "pycares", ("Channel",), "dnspython or getaddrinfo"),
    Library(
        "confluent-kafka",
        "librdkafka",
        "confluent_kafka",
        ("Producer", "Consumer"),
        "kafka-python or aiokafka",
    ),
    Library(
        "mysqlclient",
        "libmysqlclient",
        "MySQLdb.connections",
        ("Connection.__init__",),
        "pymysql or aiomysql",
    ),
    Library("uvloop", "libuv", "uvloop", ("Loop",), "asyncio's own event loop"),
    Library("pyodbc", "an ODBC driver", "pyodbc", ("connect",), "a driver in Python"),
    Library("pylibmc", "libmemcached", "pylibmc.client", ("Client.__init__",), "pymemcache"),
    Library("awscrt", "the AWS C libraries", "awscrt.io", ("ClientBootstrap.__init__",), "boto3"),
    Library(
        "pyOpenSSL",
        "OpenSSL",
        "OpenSSL.SSL",
        ("Connection.__init__",),
        "ssl of the standard library, or a Connection without a socket",
        _is_of_the_machine,
    ),
)


def lend(borrow: Borrow) -> None:
    """Have their calls ask the seal, now or when a program imports them; for good: by context."""
    for library in LIBRARIES:
        borrow.when_imported(library.module, partial(_guard, library))


def _guard(library: Library, _borrow: Borrow) -> None:
    if library not in _guarded_already:
        _guarded_already.add(library)
        guard_module(library, sys.modules[library.module])


_guarded_already: Final[set[Library]] = set()


def guard_module(library: Library, module: ModuleType) -> None:
    """Have the calls of a library in a module ask the seal."""
    for path in library.calls:
        *classes, name = path.split(".")
        place: Any = module
        for each in classes:
            place = getattr(place, each, None)
        if place is not None and hasattr(place, name):
            _guard_one(library, place, name)


def _guard_one(library: Library, place: Any, name: str) -> None:  # noqa: ANN401 - class, module
    owner = next((it for it in getattr(place, "__mro__", ()) if name in vars(it)), place)
    original: Any = vars(owner)[name]
    if isinstance(original, type):
        setattr(owner, name, _guarded_class(library, original))
    elif isinstance(original, classmethod):
        setattr(owner, name, classmethod(_guarded(library, original.__func__)))
    elif isinstance(original, FunctionType | BuiltinFunctionType):
        setattr(owner, name, _guarded(library, original))
        if isinstance(original, BuiltinFunctionType):
            # Its package has it by the same name: `psycopg2._connect`
            package = sys.modules.get(library.module.partition(".")[0])
            if package is not None and vars(package).get(name) is original:
                setattr(package, name, vars(owner)[name])
    else:  # of a type that is written in C
        replace_in_type(owner, name, _guarded(library, original))


def _guarded(library: Library, original: Function) -> Function:
    @wraps(original)
    def guarded(*args: object, **words: object) -> object:
        if not library.harmless(args):
            seal.check_library(library.name, library.core, library.instead)
        return original(*args, **words)

    return guarded


def _guarded_class(library: Library, original: Any) -> Any:  # noqa: ANN401 - a type
    def new(cls: Any, *_args: object, **_words: object) -> object:  # noqa: ANN401 - one of these
        seal.check_library(library.name, library.core, library.instead)
        made: object = original.__new__(cls)
        return made

    words = {"__new__": new, "__module__": original.__module__, "__doc__": original.__doc__}
    return type(original.__name__, (original,), words)
