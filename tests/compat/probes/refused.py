"""Libraries whose sockets are made in C: they are on no host, and are to be refused by name."""

from __future__ import annotations

from typing import Final

from probe import Probe, Way

_NOBODY: Final = "nobody"


def grpcio_blocking() -> None:
    import grpc

    with grpc.insecure_channel("grpc:50051") as channel:
        channel.unary_unary("/x/y")(b"", timeout=3)


async def grpcio_asyncio() -> None:
    import grpc.aio

    async with grpc.aio.insecure_channel("grpc:50051") as channel:
        await channel.unary_unary("/x/y")(b"", timeout=3)


def pyzmq_blocking() -> None:
    import zmq

    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.setsockopt(zmq.LINGER, 0)
        client.connect("tcp://127.0.0.1:9")


async def pyzmq_asyncio() -> None:
    import zmq.asyncio

    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as client:
        client.setsockopt(zmq.LINGER, 0)
        client.connect("tcp://127.0.0.1:9")


def pycurl_() -> None:
    import pycurl

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, "http://127.0.0.1:9/")
    curl.perform()


def curl_cffi_() -> None:
    import curl_cffi

    curl_cffi.get("http://127.0.0.1:9/", timeout=3)


async def curl_cffi_asyncio() -> None:
    from curl_cffi import AsyncSession

    async with AsyncSession() as session:
        await session.get("http://127.0.0.1:9/", timeout=3)


def psycopg_blocking() -> None:
    import psycopg

    psycopg.connect("host=127.0.0.1 port=9 connect_timeout=3")


async def psycopg_asyncio() -> None:
    import psycopg

    await psycopg.AsyncConnection.connect("host=127.0.0.1 port=9 connect_timeout=3")


async def uvloop_asyncio() -> None:
    import uvloop

    uvloop.new_event_loop()


def uvloop_blocking() -> None:
    import uvloop

    async def main() -> None:
        pass

    uvloop.run(main())


PROBES: Final = (
    Probe("grpcio", "grpcio", Way.BLOCKING, grpcio_blocking, {}, _NOBODY, refused="grpc"),
    Probe("grpcio", "grpcio", Way.ASYNCIO, grpcio_asyncio, {}, _NOBODY, refused="grpc"),
    Probe("PyZMQ", "pyzmq", Way.BLOCKING, pyzmq_blocking, {}, _NOBODY, refused="zmq"),
    Probe("PyZMQ", "pyzmq", Way.ASYNCIO, pyzmq_asyncio, {}, _NOBODY, refused="zmq"),
    Probe("PycURL", "pycurl", Way.BLOCKING, pycurl_, {}, _NOBODY, refused="pycurl"),
    Probe("curl_cffi", "curl_cffi", Way.BLOCKING, curl_cffi_, {}, _NOBODY, refused="curl_cffi"),
    Probe(
        "curl_cffi", "curl_cffi", Way.ASYNCIO, curl_cffi_asyncio, {}, _NOBODY, refused="curl_cffi"
    ),
    Probe(
        "psycopg", "psycopg-binary", Way.BLOCKING, psycopg_blocking, {}, _NOBODY, refused="psycopg"
    ),
    Probe(
        "psycopg", "psycopg-binary", Way.ASYNCIO, psycopg_asyncio, {}, _NOBODY, refused="psycopg"
    ),
    Probe("uvloop", "uvloop", Way.ASYNCIO, uvloop_asyncio, {}, _NOBODY, refused="uvloop"),
    Probe("uvloop", "uvloop", Way.BLOCKING, uvloop_blocking, {}, _NOBODY, refused="uvloop"),
)
