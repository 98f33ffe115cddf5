"""Requests to the API of proxies in memory, and their answers."""

import json
from dataclasses import dataclass

from http_talk import answers, exchange

from pystack.apps.proxy.api.routes import REQUEST_ID, Api
from pystack.apps.proxy.api.server import LIMITS

REDIS = {"name": "redis", "listen": "127.0.0.1:0", "upstream": "localhost:6379", "enabled": False}
SHOWN = (
    '{"name":"redis","listen":"127.0.0.1:0","upstream":"localhost:6379","enabled":false,'
    '"toxics":[]}'
)
LATENCY = {"type": "latency", "attributes": {"latency": 1000}}


@dataclass
class Told:
    status: int
    body: str
    kind: str | None  # Content-Type
    headers: dict[str, str]

    @property
    def json(self) -> object:
        return json.loads(self.body)


async def ask(
    api: Api, method: str, path: str, body: object = None, *headers: str, raw: bytes | None = None
) -> Told:
    """Make one request. `body` goes as JSON, `raw` as it is."""
    content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1:8474", "Connection: close", *headers]
    if content:
        if not any(header.startswith("Content-Type:") for header in headers):
            lines.append("Content-Type: application/json")
        lines.append(f"Content-Length: {len(content)}")
    request = "\r\n".join([*lines, "", ""]).encode() + content
    (answer,) = answers(await exchange(request, api, limits=LIMITS), method)
    if answer.status != 413:  # which is said before anybody is asked
        assert len(answer.headers[REQUEST_ID.lower()]) == 20
    return Told(
        answer.status, answer.body.decode(), answer.headers.get("content-type"), answer.headers
    )


def is_refusal(told: Told, status: int, sentence: str) -> bool:
    """Tell whether this is how Toxiproxy says what was wrong."""
    return (
        told.status == status
        and told.body == f'{{"error":"{sentence}","status":{status}}}\n'
        and told.kind == "text/plain; charset=utf-8"
        and told.headers["x-content-type-options"] == "nosniff"
    )
