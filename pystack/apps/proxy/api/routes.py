"""The resources of the API, and who may ask for them.

A page in a browser could send requests to this machine on behalf of a stranger. So browsers are
refused by their User-Agent, as Toxiproxy does it; and by Origin, which no other program sends.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import unquote

from pystack.apps.http.messages import HttpError, Request, Response
from pystack.apps.proxy.api import metrics
from pystack.apps.proxy.api.links import read_link
from pystack.apps.proxy.api.notation import Json, as_object, number, read, switch, text, write
from pystack.apps.proxy.api.shapes import (
    proxy_fields,
    read_attributes,
    read_proxies,
    read_proxy,
    read_toxic,
    toxic_fields,
    toxics_of,
)
from pystack.apps.proxy.errors import ProxyError
from pystack.apps.proxy.model import Proxy
from pystack.apps.proxy.proxies import Proxies

VERSION: Final = "2.12.0"  # of Toxiproxy: the one whose API this is
MOST_BODY_BYTES: Final = 1 << 20
REQUEST_ID: Final = "X-Toxiproxy-Request-Id"

_JSON: Final = "application/json"
_PLAIN: Final = "text/plain; charset=utf-8"  # what Go gives errors, though they are JSON
_BROWSER: Final = "Mozilla/"  # how the User-Agent of each begins

_log: Final = logging.getLogger("pystack.proxy.api")

Action: TypeAlias = Callable[["Api", tuple[str, ...], Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Route:
    """A resource: the parts of its path, None for a name, and what its methods do."""

    parts: tuple[str | None, ...]
    actions: Mapping[str, Action]

    def names(self, parts: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the names in a path that is this one's; None: it is another's."""
        if len(parts) != len(self.parts):
            return None
        if any(
            part != own if own else not part for own, part in zip(self.parts, parts, strict=True)
        ):
            return None
        return tuple(part for own, part in zip(self.parts, parts, strict=True) if own is None)


class Api:
    """Answers requests: a handler for `serve_connection`."""

    def __init__(self, proxies: Proxies) -> None:
        self.proxies = proxies

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        response = await self._answer(request)
        response.headers = [*response.headers, (REQUEST_ID, secrets.token_hex(10))]
        _log.debug("%s %r: %d", request.method, request.path[:200], response.status)
        return response

    async def _answer(self, request: Request) -> Response:
        refused = refusal(request)
        if refused is not None:
            return refused
        parts = tuple(unquote(part) for part in request.path.split("/")[1:])
        for route in ROUTES:
            names = route.names(parts)
            if names is not None:
                break
        else:
            return Response.text("404 page not found\n", 404)
        method = "GET" if request.method == "HEAD" else request.method
        action = route.actions.get(method)
        if action is None:
            return Response(405, headers=[("Allow", ", ".join(route.actions))])
        try:
            return await action(self, names, request)
        except ProxyError as error:
            return failed(error.status, str(error))
        except HttpError as error:  # of its body: too long, too slow
            return failed(error.status, error.detail)


def refusal(request: Request) -> Response | None:
    """Return the answer to a browser; None: it is none."""
    agent = request.header("user-agent") or ""
    if agent.startswith(_BROWSER):
        return failed(403, "User agent not allowed")
    origin = request.header("origin")
    if origin is not None and (origin == "null" or "://" in origin):
        return failed(403, "pages of the web are not allowed here: Origin says that this is one")
    return None


def failed(status: int, sentence: str) -> Response:
    """Return an answer that says what was wrong."""
    body = write({"error": sentence, "status": status}) + "\n"
    response = Response(status, body.encode(), _PLAIN)
    response.headers = [("X-Content-Type-Options", "nosniff")]
    return response


def _shown(value: object, status: int = 200) -> Response:
    return Response(status, write(value).encode(), _JSON)


async def _body(request: Request) -> Json:
    return read(await request.body.read(MOST_BODY_BYTES))


# proxies


async def _list_proxies(api: Api, _names: tuple[str, ...], _request: Request) -> Response:
    by_name = sorted(api.proxies, key=lambda proxy: proxy.name)
    return _shown({proxy.name: proxy_fields(proxy) for proxy in by_name})


async def _create_proxy(api: Api, _names: tuple[str, ...], request: Request) -> Response:
    proxy = await api.proxies.create(read_proxy(await _body(request)))
    return _shown(proxy_fields(proxy), 201)


async def _show_proxy(api: Api, names: tuple[str, ...], _request: Request) -> Response:
    return _shown(proxy_fields(api.proxies.find(names[0])))


async def _update_proxy(api: Api, names: tuple[str, ...], request: Request) -> Response:
    api.proxies.find(names[0])  # whose absence goes before what is wrong with the body
    fields = as_object(await _body(request))
    listen, upstream = text(fields, "listen") or None, text(fields, "upstream") or None
    proxy = await api.proxies.update(
        names[0],
        listen=listen,
        upstream=upstream,
        enabled=switch(fields, "enabled"),
        words=read_link(fields),
    )
    return _shown(proxy_fields(proxy))


async def _delete_proxy(api: Api, names: tuple[str, ...], _request: Request) -> Response:
    await api.proxies.delete(names[0])
    return Response(204)


async def _populate(api: Api, _names: tuple[str, ...], request: Request) -> Response:
    """Make many. What was made before something went wrong is told beside it."""
    try:
        proxies = await api.proxies.populate(read_proxies(await _body(request)))
    except ProxyError as error:
        shown = {"error": str(error), "status": error.status, "proxies": _made(error.made)}
        return _shown(shown, error.status)
    return _shown({"proxies": _made(proxies)}, 201)


def _made(proxies: Sequence[Proxy]) -> list[dict[str, object]]:
    return [proxy_fields(proxy) for proxy in proxies]


async def _reset(api: Api, _names: tuple[str, ...], _request: Request) -> Response:
    await api.proxies.reset()
    return Response(204)


# toxics


async def _list_toxics(api: Api, names: tuple[str, ...], _request: Request) -> Response:
    return _shown(toxics_of(api.proxies.find(names[0])))


async def _add_toxic(api: Api, names: tuple[str, ...], request: Request) -> Response:
    api.proxies.find(names[0])
    spec = read_toxic(await _body(request))
    return _shown(toxic_fields(await api.proxies.add_toxic(names[0], spec)))


async def _show_toxic(api: Api, names: tuple[str, ...], _request: Request) -> Response:
    return _shown(toxic_fields(api.proxies.find_toxic(*names)))


async def _update_toxic(api: Api, names: tuple[str, ...], request: Request) -> Response:
    """Change the toxicity and attributes; type, stream and name stay, whatever is said of them."""
    api.proxies.find_toxic(*names)
    fields = as_object(await _body(request))
    toxic = await api.proxies.update_toxic(
        *names, toxicity=number(fields, "toxicity"), attributes=read_attributes(fields)
    )
    return _shown(toxic_fields(toxic))


async def _remove_toxic(api: Api, names: tuple[str, ...], _request: Request) -> Response:
    await api.proxies.remove_toxic(*names)
    return Response(204)


# the server


async def _version(_api: Api, _names: tuple[str, ...], _request: Request) -> Response:
    body = f'{{"version": "{VERSION}"}}\n'
    return Response(200, body.encode(), "application/json;charset=utf-8")


async def _metrics(api: Api, _names: tuple[str, ...], _request: Request) -> Response:
    return Response(200, metrics.text_of(api.proxies).encode(), metrics.CONTENT_TYPE)


ROUTES: Final = (
    _Route(("proxies",), {"GET": _list_proxies, "POST": _create_proxy}),
    _Route(
        ("proxies", None),
        {
            "GET": _show_proxy,
            "POST": _update_proxy,
            "PATCH": _update_proxy,
            "DELETE": _delete_proxy,
        },
    ),
    _Route(("proxies", None, "toxics"), {"GET": _list_toxics, "POST": _add_toxic}),
    _Route(
        ("proxies", None, "toxics", None),
        {
            "GET": _show_toxic,
            "POST": _update_toxic,
            "PATCH": _update_toxic,
            "DELETE": _remove_toxic,
        },
    ),
    _Route(("populate",), {"POST": _populate}),
    _Route(("reset",), {"POST": _reset}),
    _Route(("version",), {"GET": _version}),
    _Route(("metrics",), {"GET": _metrics}),
)
