"""HTTP/1.1: a server for one connection, and the site that pystack serves with it.

    async def handler(request: Request) -> Response:
        return Response.text(f"You asked for {request.path}")

    await serve_connection(stream, handler)

`server` moves bytes and enforces limits, `messages` are the values a handler sees, `site` routes,
`files` serves a directory, `story` and `page` tell what happened to the very request they answer.
"""

from typing import TYPE_CHECKING

from pystack.apps.http.messages import Body, Handler, HttpError, Request, Response
from pystack.apps.limits import Limits
from pystack.core.extras import need

if TYPE_CHECKING:
    from pystack.apps.http.server import serve_connection
else:

    def __getattr__(name: str) -> object:
        """Return the server when it is first used: it is made of h11, which is an extra."""
        if name != "serve_connection":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        need("h11", "pystack.apps.http")
        from pystack.apps.http.server import serve_connection

        return serve_connection


__all__ = ["Body", "Handler", "HttpError", "Limits", "Request", "Response", "serve_connection"]
