"""What a site has below `/live`: the files, the feed, the capture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.apps.http.conditions import check_page
from pystack.apps.http.messages import Request, Response
from pystack.apps.live.download import pcapng
from pystack.apps.live.feed import Feed, feed_of
from pystack.apps.live.gate import check
from pystack.apps.live.page import HEADERS, Files
from pystack.apps.live.viewer import LIMITS, Viewer
from pystack.apps.tls_stream import TlsStream
from pystack.apps.websocket.handshake import web_socket
from pystack.core.counters import Counters
from pystack.observe.ladder import svg_style
from pystack.observe.ladder.style import COLOURS
from pystack.runtime.streams import TcpStream

if TYPE_CHECKING:
    from pystack.runtime.host import Host

_DOWNLOAD: Final = ("Content-Disposition", 'attachment; filename="live.pcapng"')


class LiveSite:
    """A handler for `/live` and what is below it."""

    def __init__(self) -> None:
        self._files = Files()

    def feed_of(self, host: Host) -> Feed:
        """Return the feed of a host, which all its services share."""
        return feed_of(host)

    def answer(self, request: Request, feed: Feed, counters: Counters) -> Response:
        """Answer GET or HEAD. HttpError: 403, 404, 426 ..."""
        name = request.path.removeprefix("/live").removeprefix("/")
        if name in ("", "index.html"):
            return self._files(request, "index.html")
        if name == "feed":
            check(request, _names(feed))
            viewer = Viewer(feed, _ends(request))
            return web_socket(request, viewer.talk, limits=LIMITS, counters=counters)
        if name == "capture.pcapng":
            check(request, _names(feed))
            check_page(request)
            return Response(200, pcapng(feed), "application/x-pcapng", [*HEADERS, _DOWNLOAD])
        if name == "ladder.css":
            return self._ladder_style(request)
        return self._files(request, name)

    def _ladder_style(self, request: Request) -> Response:
        check_page(request)
        dark = "".join(f"--l-{name}:{both[1]};" for name, both in COLOURS.items())
        light = "".join(f"--l-{name}:{both[0]};" for name, both in COLOURS.items())
        rules = (
            f":root .pystack-ladder{{{light}}}\n:root[data-theme=dark] .pystack-ladder{{{dark}}}"
        )
        style = f"{svg_style()}\n{rules}\n".encode()
        return Response(200, style, "text/css; charset=utf-8", HEADERS)


def _names(feed: Feed) -> set[str]:
    return {host.name.lower() for host in feed.world.hosts}


def _ends(request: Request) -> tuple[tuple[str, int], tuple[str, int]] | None:
    stream = request.stream
    if isinstance(stream, TlsStream):
        stream = stream.transport
    if isinstance(stream, TcpStream):
        return stream.local_address, stream.remote_address
    return None
