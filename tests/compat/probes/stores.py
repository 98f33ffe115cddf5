"""Clients of stores that are no SQL databases."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Final

from probe import OUTAGE_S, Probe, Way, fails
from servers import http, mongo, redis

from pystack.apps.http import Request, Response

PATIENCE_S: Final = 3.0


def redis_blocking() -> None:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import TimeoutError as RedisTimeoutError
    from redis.retry import Retry

    with Redis("redis", socket_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 0)) as client:
        assert client.set("a", "1")
        with client.pipeline(transaction=False) as pipeline:
            assert pipeline.incr("a").rpush("list", "x", "y").execute() == [2, 2]
        assert client.get("a") == b"2"
        time.sleep(OUTAGE_S)
        with fails(RedisTimeoutError):
            client.get("a")


async def redis_asyncio() -> None:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import TimeoutError as RedisTimeoutError

    async with Redis(
        host="redis", socket_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 0)
    ) as client:
        assert await client.set("a", "1")
        async with client.pipeline(transaction=False) as pipeline:
            assert await pipeline.incr("a").rpush("list", "x", "y").execute() == [2, 2]
        assert await client.get("a") == b"2"
        await asyncio.sleep(OUTAGE_S)
        with fails(RedisTimeoutError):
            await client.get("a")


async def coredis_on_trio() -> None:
    await _coredis()


async def coredis_on_asyncio() -> None:
    await _coredis()


async def _coredis() -> None:
    import anyio
    from coredis import Redis

    client = Redis(host="redis", connect_timeout=PATIENCE_S, stream_timeout=PATIENCE_S)
    async with client:
        assert await client.set("a", "1")
        assert await client.get("a") == b"1"
        await anyio.sleep(OUTAGE_S)
        with fails(Exception):
            await client.get("a")


def pymongo_blocking() -> None:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    address = "mongodb://mongo/?serverSelectionTimeoutMS=3000&socketTimeoutMS=3000"
    with MongoClient(address) as client:
        client.shop.items.insert_one({"_id": 1, "name": "kettle"})
        assert client.shop.items.find_one() == {"_id": 1, "name": "kettle"}
        time.sleep(OUTAGE_S)
        with fails(PyMongoError):
            client.shop.items.insert_one({"_id": 2})


async def pymongo_asyncio() -> None:
    from pymongo import AsyncMongoClient
    from pymongo.errors import PyMongoError

    address = "mongodb://mongo/?serverSelectionTimeoutMS=3000&socketTimeoutMS=3000"
    async with AsyncMongoClient(address) as client:
        await client.shop.items.insert_one({"_id": 1, "name": "kettle"})
        assert await client.shop.items.find_one() == {"_id": 1, "name": "kettle"}
        await asyncio.sleep(OUTAGE_S)
        with fails(PyMongoError):
            await client.shop.items.insert_one({"_id": 2})


async def _elastic(request: Request) -> Response:
    body = json.dumps({"_id": "1", "found": True, "_source": {"name": "kettle"}}).encode()
    marked = [("X-Elastic-Product", "Elasticsearch")]
    return Response(body=body, content_type="application/json", headers=marked)


def elasticsearch_blocking() -> None:
    from elastic_transport import ConnectionTimeout
    from elasticsearch import Elasticsearch

    with Elasticsearch("http://elastic:80", request_timeout=PATIENCE_S, max_retries=0) as client:
        assert client.get(index="items", id="1")["_source"] == {"name": "kettle"}
        time.sleep(OUTAGE_S)
        with fails(ConnectionTimeout):
            client.get(index="items", id="1")


_REDIS: Final = {"redis": redis.serve}
_MONGO: Final = {"mongo": mongo.serve}
_FAKE_REDIS: Final = "fake Redis (RESP 2 and 3)"
_FAKE_MONGO: Final = "fake MongoDB (OP_MSG)"

PROBES: Final = (
    Probe("redis-py", "redis", Way.BLOCKING, redis_blocking, _REDIS, _FAKE_REDIS),
    Probe("redis-py", "redis", Way.ASYNCIO, redis_asyncio, _REDIS, _FAKE_REDIS),
    Probe("coredis", "coredis", Way.TRIO, coredis_on_trio, _REDIS, _FAKE_REDIS),
    Probe("coredis", "coredis", Way.ASYNCIO, coredis_on_asyncio, _REDIS, _FAKE_REDIS),
    Probe("PyMongo", "pymongo", Way.BLOCKING, pymongo_blocking, _MONGO, _FAKE_MONGO),
    Probe("PyMongo", "pymongo", Way.ASYNCIO, pymongo_asyncio, _MONGO, _FAKE_MONGO),
    Probe(
        "elasticsearch",
        "elasticsearch",
        Way.BLOCKING,
        elasticsearch_blocking,
        {"elastic": http.site(_elastic)},
        "pystack's HTTP server",
    ),
)
