"""An ASGI application as a service of a host."""

from __future__ import annotations

import logging
from typing import Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.typing import ConnectionState

from pystack.apps.asgi.application import check_name, load, wrapped
from pystack.apps.asgi.connection import Ends
from pystack.apps.asgi.lifespan import while_alive
from pystack.apps.asgi.serving import Connections, quiet_config
from pystack.apps.base import Service
from pystack.apps.options import ServiceOptions
from pystack.apps.tls import TlsServer
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.runtime.host import Host

_log: Final = logging.getLogger("pystack.apps")


class AsgiService(Service):
    """The application that `module:app` names."""

    name: Final = "asgi"

    def __init__(self, options: ServiceOptions) -> None:
        """Raises ConfigError where no application is named, or there is no such module."""
        if options.asgi is None:
            raise ConfigError("asgi needs an application: --asgi MODULE:APP, or app = in a lab")
        check_name(options.asgi)
        self._name = options.asgi
        self._tls = TlsServer(options, alpn=("h2", "http/1.1")) if options.asgi_tls else None
        self._app: ASGIWrapper | None = None  # None: it is not imported yet
        self._counters = Counters()
        self._connections: Connections | None = None  # None: it has not started

    @property
    def tcp_port(self) -> int:
        """80, with TLS 443."""
        return 80 if self._tls is None else 443

    @property
    def scheme(self) -> str:
        """How URLs of it begin."""
        return "http" if self._tls is None else "https"

    def use_host(self, host: Host) -> None:
        """Import the application: now, for it is a program, and root is given up. ConfigError."""
        self._counters = host.counters
        if self._tls is not None:
            self._tls.use_host(host)
            if self._tls.advice is not None:
                _log.warning("asgi: %s", self._tls.advice)
        self._app = wrapped(load(self._name), self._name.text)

    async def live(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Be the application's lifespan. Raises AsgiStartupError, ConfigError."""
        app, config = self._app, quiet_config()
        assert app is not None

        async def run(state: ConnectionState) -> None:
            self._connections = Connections(app, config, state)
            self._connections.counters = self._counters
            task_status.started()
            await trio.sleep_forever()

        await while_alive(app, config, run)

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection."""
        assert self._connections is not None
        client = getattr(stream, "remote_address", None)
        server = getattr(stream, "local_address", None)
        if self._tls is None:
            await self._connections.serve(stream, Ends(client, server, False))
            return
        tls = await self._tls.accept(stream)
        await self._connections.serve(tls, Ends(client, server, True, tls.tls.alpn))
        await tls.aclose()
