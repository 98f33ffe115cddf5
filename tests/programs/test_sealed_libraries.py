"""Libraries that open sockets in C are refused by name in a sealed network: none gets out.

Those that are installed are asked themselves; stand-ins show the same for each row of the list.
"""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from worlds import in_virtual_time, pair

import pystack
from pystack.runtime.borrowed.libraries import LIBRARIES, Library, guard_module


def on_a_host(program: Callable[[], object]) -> None:
    async def main() -> None:
        async with pair() as world:
            await world.client.run_sync(program)

    in_virtual_time(main)


def stand_in(library: Library) -> ModuleType:
    """Return a module with the calls of a library, which do nothing."""
    module = ModuleType(library.module)
    for path in library.calls:
        *classes, name = path.split(".")
        place: object = module
        for each in classes:
            if each not in vars(place):
                setattr(place, each, type(each, (), {}))
            place = getattr(place, each)

        def connect(*args: object) -> None:
            connected.append(args)

        setattr(place, name, type(name, (), {}) if name[0].isupper() else connect)
    return module


connected: list[object] = []


def calls_of(library: Library, module: ModuleType) -> Iterator[Callable[[object], object]]:
    for path in library.calls:
        place: object = module
        for each in path.split("."):
            place = getattr(place, each)
        assert callable(place)
        yield place


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda it: f"{it.name}-{it.module}")
def test_each_is_refused_with_what_to_use(library: Library) -> None:
    module = stand_in(library)
    guard_module(library, module)

    def program() -> None:
        for call in calls_of(library, module):
            with socket.socket() as made, pytest.raises(pystack.SealedError) as caught:
                call(made)
            for words in (library.name, library.core, f"use {library.instead}", "net.namespace"):
                assert words in str(caught.value)
            with pystack.unsealed(), socket.socket() as made:
                call(made)

    on_a_host(program)
    for call in calls_of(library, module):  # elsewhere nobody asks
        call(None)


def test_the_documentation_has_the_same_list() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sockets.md").read_text("utf-8")
    for library in LIBRARIES:
        assert f"| {library.name} | {library.core} | {library.instead} |" in text


def zmq() -> None:
    zmq = pytest.importorskip("zmq", reason="pyzmq is not installed")
    context = zmq.Context()
    try:
        one = context.socket(zmq.PAIR)
        one.bind("inproc://here")  # reaches nobody
        with pytest.raises(pystack.SealedError, match=r"pyzmq on host 'client' .* by libzmq"):
            one.connect("tcp://127.0.0.1:9")
        one.close()
    finally:
        context.term()


def psycopg2() -> None:
    psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    with pytest.raises(pystack.SealedError, match=r"libpq.*use asyncpg"):
        psycopg2.connect(host="127.0.0.1", port=9)


def psycopg() -> None:
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(pystack.SealedError, match=r"libpq.*use asyncpg"):
        psycopg.connect("host=127.0.0.1 port=9")


def grpc() -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    with pytest.raises(pystack.SealedError, match=r"gRPC's C core.*use grpclib"):
        grpc.insecure_channel("127.0.0.1:9")
    with pytest.raises(pystack.SealedError, match=r"gRPC's C core.*use grpclib"):
        grpc.server(None)


def pycurl() -> None:
    pycurl = pytest.importorskip("pycurl", reason="pycurl is not installed")
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, "http://127.0.0.1:9/")
    with pytest.raises(pystack.SealedError, match=r"libcurl.*use requests"):
        curl.perform()


def curl_cffi() -> None:
    requests = pytest.importorskip("curl_cffi.requests", reason="curl_cffi is not installed")
    with pytest.raises(pystack.SealedError, match=r"libcurl.*use requests"):
        requests.get("http://127.0.0.1:9/")


def pycares() -> None:
    pycares = pytest.importorskip("pycares", reason="pycares is not installed")
    with pytest.raises(pystack.SealedError, match=r"c-ares.*use dnspython"):
        pycares.Channel()


def kafka() -> None:
    kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    with pytest.raises(pystack.SealedError, match=r"librdkafka.*use kafka-python"):
        kafka.Producer({"bootstrap.servers": "127.0.0.1:9"})


@pytest.mark.parametrize("ask", [zmq, psycopg2, psycopg, grpc, pycurl, curl_cffi, pycares, kafka])
def test_those_that_are_installed(ask: Callable[[], None]) -> None:
    on_a_host(ask)
