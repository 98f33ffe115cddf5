"""HTTP as a service of a host."""

from typing import Final

import trio

from pystack.apps.http.server import serve_connection
from pystack.apps.http.site import Site
from pystack.apps.options import ServiceOptions


class HttpService:
    """The site of `site`, with the files below `root` where one is given."""

    name: Final = "http"
    tcp_port: Final = 80
    udp_port: Final = None

    def __init__(self, options: ServiceOptions) -> None:
        self._site = Site(options.root, dotfiles=options.dotfiles, utc_now=options.utc_now)
        self._limits = options.limits
        self._utc_now = options.utc_now

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection."""
        await serve_connection(stream, self._site, limits=self._limits, utc_now=self._utc_now)

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """HTTP/1 has no UDP side."""
        return None
