"""SDKs with fixed addresses: a host of that name, and an authority that they trust."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import trio
from probe import OUTAGE_S, Probe, Way, fails
from servers import http, program
from servers.certificates import authority_file

from pystack.apps import asgi
from pystack.apps.http import Request, Response

PATIENCE_S: Final = 3.0
_BUCKETS: Final = (
    b'<?xml version="1.0"?><ListAllMyBucketsResult><Buckets><Bucket><Name>photos</Name>'
    b"</Bucket></Buckets></ListAllMyBucketsResult>"
)
_WORDS: Final = ("Hello", ", ", "world")


async def s3(request: Request) -> Response:
    """Answer that there is one bucket."""
    return Response(body=_BUCKETS, content_type="application/xml")


def boto3_() -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ReadTimeoutError

    config = Config(read_timeout=PATIENCE_S, retries={"total_max_attempts": 1})
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        verify=authority_file(),
        config=config,
    )
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["photos"]
    time.sleep(OUTAGE_S)
    with fails(ReadTimeoutError):
        client.list_buckets()


async def chat(request: Request) -> Response:
    """Answer a chat completion: a word each half second."""
    asked = json.loads(await request.body.read())
    assert asked["stream"]

    async def events() -> AsyncIterator[bytes]:
        for word in _WORDS:
            yield _event(word)
            await trio.sleep(0.5)
        yield b"data: [DONE]\n\n"

    return Response(body=events(), content_type="text/event-stream")


def _event(word: str) -> bytes:
    choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return b"data: %b\n\n" % json.dumps({**chunk, "choices": [choice]}).encode()


_QUESTION: Final[Any] = [{"role": "user", "content": "say hello"}]


async def openai_asyncio() -> None:
    import openai

    async with openai.AsyncOpenAI(api_key="x", timeout=PATIENCE_S, max_retries=0) as client:
        completions = client.chat.completions
        stream = await completions.create(model="m", messages=_QUESTION, stream=True)
        words = [chunk.choices[0].delta.content async for chunk in stream]
        assert tuple(words) == _WORDS
        await asyncio.sleep(OUTAGE_S)
        with fails(openai.APITimeoutError):
            await completions.create(model="m", messages=_QUESTION, stream=True)


def openai_blocking() -> None:
    import openai

    with openai.OpenAI(api_key="x", timeout=PATIENCE_S, max_retries=0) as client:
        completions = client.chat.completions
        stream = completions.create(model="m", messages=_QUESTION, stream=True)
        assert tuple(chunk.choices[0].delta.content for chunk in stream) == _WORDS
        time.sleep(OUTAGE_S)
        with fails(openai.APITimeoutError):
            completions.create(model="m", messages=_QUESTION, stream=True)


async def balance(request: Request) -> Response:
    """Answer what is in an account."""
    amount = {"amount": 42, "currency": "eur", "source_types": {"card": 42}}
    return Response.json({"object": "balance", "available": [amount], "pending": []})


def stripe_() -> None:
    import stripe

    stripe.ca_bundle_path = authority_file()
    session = stripe.RequestsClient(timeout=int(PATIENCE_S))
    client = stripe.StripeClient("sk_test_x", http_client=session, max_network_retries=0)
    assert client.v1.balance.retrieve().available[0].amount == 42
    time.sleep(OUTAGE_S)
    with fails(stripe.APIConnectionError):
        client.v1.balance.retrieve()


def _mcp_app() -> Any:  # noqa: ANN401 (an ASGI application)
    from mcp.server import MCPServer

    server = MCPServer("shop")

    @server.tool()
    def price(item: str) -> str:
        return f"{item}: 24.50"

    return server.streamable_http_app(host="0.0.0.0")


async def mcp_server_on_trio() -> None:
    await asgi.serve(_mcp_app(), 80)


async def mcp_server_on_asyncio() -> None:
    import uvicorn

    config = uvicorn.Config(_mcp_app(), host="0.0.0.0", port=80, log_config=None)
    await uvicorn.Server(config).serve()


async def mcp_asked() -> None:
    import anyio
    from mcp import Client

    with anyio.move_on_after(60):
        async with Client("http://mcp/mcp", read_timeout_seconds=PATIENCE_S) as client:
            answer = await client.call_tool("price", {"item": "kettle"})
            assert answer.content[0].text == "kettle: 24.50"
            await anyio.sleep(OUTAGE_S)
            with fails(Exception):
                await client.call_tool("price", {"item": "kettle"})


_OPENAI: Final = {"api.openai.com": http.site(chat, tls=True)}
_FAKE_OPENAI: Final = "a host api.openai.com that streams"

PROBES: Final = (
    Probe(
        "boto3 (S3)",
        "boto3",
        Way.BLOCKING,
        boto3_,
        {"s3.amazonaws.com": http.site(s3, tls=True)},
        "a host s3.amazonaws.com",
        takes="`verify=` names the authority",
    ),
    Probe(
        "openai",
        "openai",
        Way.ASYNCIO,
        openai_asyncio,
        _OPENAI,
        _FAKE_OPENAI,
        trust="SSL_CERT_FILE",
    ),
    Probe(
        "openai",
        "openai",
        Way.BLOCKING,
        openai_blocking,
        _OPENAI,
        _FAKE_OPENAI,
        trust="SSL_CERT_FILE",
    ),
    Probe(
        "stripe",
        "stripe",
        Way.BLOCKING,
        stripe_,
        {"api.stripe.com": http.site(balance, tls=True)},
        "a host api.stripe.com",
        needs=("requests",),
        takes="`stripe.ca_bundle_path` names the authority",
    ),
    Probe(
        "mcp",
        "mcp",
        Way.TRIO,
        mcp_asked,
        {"mcp": program.on_trio(mcp_server_on_trio)},
        "itself on `pystack.apps.asgi`",
        needs=("hypercorn",),
    ),
    Probe(
        "mcp",
        "mcp",
        Way.ASYNCIO,
        mcp_asked,
        {"mcp": program.on_asyncio(mcp_server_on_asyncio)},
        "itself on uvicorn",
        needs=("uvicorn",),
    ),
)
