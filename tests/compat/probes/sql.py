"""Clients of SQL databases, and SQLAlchemy over them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from probe import OUTAGE_S, Probe, Way, fails
from servers import mysql, postgres

if TYPE_CHECKING:
    from sqlalchemy import Engine

PATIENCE_S: Final = 3.0


async def asyncpg_() -> None:
    import asyncpg

    address = "postgresql://user@postgres/shop?sslmode=disable"
    async with asyncpg.create_pool(address, min_size=1, command_timeout=PATIENCE_S) as pool:
        async with pool.acquire() as connection, connection.transaction():
            assert await connection.fetchval("select 42") == 42
        await asyncio.sleep(OUTAGE_S)
        with fails(TimeoutError):
            await pool.fetchval("select 42")
        pool.terminate()


def pg8000_() -> None:
    import pg8000.native

    connection = pg8000.native.Connection("user", host="postgres", timeout=PATIENCE_S)
    assert connection.run("select 42") == [[42]]
    time.sleep(OUTAGE_S)
    with fails(TimeoutError, pg8000.native.InterfaceError):
        connection.run("select 42")


def pymysql_() -> None:
    import pymysql

    connection = pymysql.connect(
        host="mysql", user="user", password="x", connect_timeout=PATIENCE_S, read_timeout=PATIENCE_S
    )
    with connection.cursor() as cursor:
        cursor.execute("select 42")
        assert cursor.fetchone() == (42,)
        time.sleep(OUTAGE_S)
        with fails(pymysql.err.OperationalError):
            cursor.execute("select 42")


async def aiomysql_() -> None:
    import aiomysql

    async with aiomysql.create_pool(host="mysql", user="user", password="x") as pool:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute("select 42")
            assert await cursor.fetchone() == (42,)
            await asyncio.sleep(OUTAGE_S)
            with fails(TimeoutError):
                await asyncio.wait_for(cursor.execute("select 42"), PATIENCE_S)
        pool.terminate()


def sqlalchemy_pymysql() -> None:
    from sqlalchemy import create_engine, exc

    address = f"mysql+pymysql://user:x@mysql/shop?read_timeout={PATIENCE_S:.0f}"
    _sqlalchemy(create_engine(address), exc.OperationalError)


def sqlalchemy_pg8000() -> None:
    from sqlalchemy import create_engine, exc

    address = "postgresql+pg8000://user@postgres/shop"
    engine = create_engine(address, connect_args={"timeout": PATIENCE_S})
    _sqlalchemy(engine, TimeoutError, exc.InterfaceError)


def _sqlalchemy(engine: Engine, *errors: type[Exception]) -> None:
    from sqlalchemy import text

    with engine.connect() as connection:
        assert connection.execute(text("select 42")).scalar() == 42
    time.sleep(OUTAGE_S)
    with fails(*errors), engine.connect() as connection:
        connection.execute(text("select 42"))
    engine.dispose()


async def sqlalchemy_asyncpg() -> None:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    address = "postgresql+asyncpg://user@postgres/shop?ssl=disable"
    engine = create_async_engine(address, connect_args={"command_timeout": PATIENCE_S})
    async with engine.connect() as connection:
        assert (await connection.execute(text("select 42"))).scalar() == 42
    await asyncio.sleep(OUTAGE_S)
    with fails(TimeoutError):
        async with engine.connect() as connection:
            await connection.execute(text("select 42"))
    await engine.dispose()


_POSTGRES: Final = {"postgres": postgres.serve}
_MYSQL: Final = {"mysql": mysql.serve}
_FAKE_POSTGRES: Final = "fake PostgreSQL (simple and extended protocol)"
_FAKE_MYSQL: Final = "fake MySQL (text protocol)"

PROBES: Final = (
    Probe("asyncpg", "asyncpg", Way.ASYNCIO, asyncpg_, _POSTGRES, _FAKE_POSTGRES),
    Probe("pg8000", "pg8000", Way.BLOCKING, pg8000_, _POSTGRES, _FAKE_POSTGRES),
    Probe("PyMySQL", "PyMySQL", Way.BLOCKING, pymysql_, _MYSQL, _FAKE_MYSQL),
    Probe("aiomysql", "aiomysql", Way.ASYNCIO, aiomysql_, _MYSQL, _FAKE_MYSQL),
    Probe(
        "SQLAlchemy over PyMySQL",
        "SQLAlchemy",
        Way.BLOCKING,
        sqlalchemy_pymysql,
        _MYSQL,
        _FAKE_MYSQL,
        needs=("PyMySQL",),
    ),
    Probe(
        "SQLAlchemy over pg8000",
        "SQLAlchemy",
        Way.BLOCKING,
        sqlalchemy_pg8000,
        _POSTGRES,
        _FAKE_POSTGRES,
        needs=("pg8000",),
    ),
    Probe(
        "SQLAlchemy over asyncpg",
        "SQLAlchemy",
        Way.ASYNCIO,
        sqlalchemy_asyncpg,
        _POSTGRES,
        _FAKE_POSTGRES,
        needs=("asyncpg", "greenlet"),
    ),
)
