"""HTTP and HTTPS as services of a host."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from pystack.apps.base import Service
from pystack.apps.http.messages import Handler, HttpError, Request, Response
from pystack.apps.http.server import serve_connection
from pystack.apps.options import ServiceOptions
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.core.extras import need

if TYPE_CHECKING:
    from pystack.apps.http.site import Site
    from pystack.runtime.host import Host

_log: Final = logging.getLogger("pystack.apps")


class HttpService(Service):
    """The site of `site`, with the files below `root` where one is given."""

    name: str = "http"
    tcp_port: int = 80

    def __init__(self, options: ServiceOptions, handler: Handler | None = None) -> None:
        """`handler`: answers instead of the site; None: the site does."""
        self._site: Site | None = None  # None: somebody else answers
        if handler is None:
            from pystack.apps.http.site import Site  # with its pages, which nobody else needs

            handler = self._site = Site(
                options.root, dotfiles=options.dotfiles, utc_now=options.utc_now
            )
        self._handler = handler
        self._limits = options.limits
        self._utc_now = options.utc_now
        self._counters = Counters()

    def use_host(self, host: Host) -> None:
        """Count with the host's counters."""
        self._counters = host.counters
        if self._site is not None:
            self._site.use_host(host)

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection."""
        await serve_connection(
            stream,
            self._handler,
            limits=self._limits,
            utc_now=self._utc_now,
            counters=self._counters,
        )


class HttpsService(HttpService):
    """The same through TLS: HTTP/1.1, and HTTP/2 for whoever asks for it by ALPN."""

    name: str = "https"
    tcp_port: int = 443

    def __init__(self, options: ServiceOptions, handler: Handler | None = None) -> None:
        """`handler`: as for `HttpService`."""
        from pystack.apps.tls import TlsServer  # imported by those who serve it

        super().__init__(options, handler)
        try:
            need("h2.connection", "HTTP/2")
            # Now, and not when it is first spoken: whoever has given up root by then may not be
            # able to read it.
            import pystack.apps.http.http2  # noqa: F401

            alpn = ["h2", "http/1.1"]
        except ConfigError as error:
            _log.warning("https speaks HTTP/1.1 alone: %s", error)
            alpn = ["http/1.1"]
        self._tls = TlsServer(options, alpn=alpn)

    def use_host(self, host: Host) -> None:
        """Make the certificate, if none was given. Raises ConfigError."""
        super().use_host(host)
        self._tls.use_host(host)
        if self._tls.advice is not None:
            _log.warning("https: %s", self._tls.advice)

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection. Raises TlsError."""
        from pystack.apps.tls import ClearTextError

        try:
            tls = await self._tls.accept(stream)
        except ClearTextError as error:
            await serve_connection(
                stream,
                _refuse_clear_text,
                limits=self._limits,
                utc_now=self._utc_now,
                received=error.received,
                counters=self._counters,
            )
            return
        if tls.tls.alpn == "h2":
            from pystack.apps.http import http2

            await http2.serve_connection(
                tls,
                self._handler,
                limits=self._limits,
                utc_now=self._utc_now,
                counters=self._counters,
            )
        else:
            await super().handle_tcp(tls)


async def _refuse_clear_text(_request: Request) -> Response:
    """Say so in clear, as nginx does: whoever speaks no TLS can read nothing else."""
    raise HttpError(
        400, "That is HTTP in clear, and this port takes it through TLS.", [("Connection", "close")]
    )
