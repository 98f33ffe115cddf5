"""What is there when somebody looks: the feed, and the capture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.apps.http.conditions import check_page
from pystack.apps.http.messages import Request, Response
from pystack.apps.live.download import pcapng
from pystack.apps.live.feed import Feed, feed_of
from pystack.apps.live.gate import check
from pystack.apps.live.page import HEADERS
from pystack.apps.live.viewer import LIMITS, Viewer
from pystack.apps.tls_stream import TlsStream
from pystack.apps.websocket.handshake import web_socket
from pystack.core.counters import Counters
from pystack.runtime.streams import TcpStream

if TYPE_CHECKING:
    from pystack.runtime.host import Host

_DOWNLOAD: Final = ("Content-Disposition", 'attachment; filename="live.pcapng"')


class Looking:
    """Answers what is more than a file."""

    def feed_of(self, host: Host) -> Feed:
        """Return the feed of a host, which all its services share."""
        return feed_of(host)

    def answer(self, name: str, request: Request, feed: Feed, counters: Counters) -> Response:
        """Answer for "feed" or "capture.pcapng". HttpError: 403, 426 ..."""
        check(request, {host.name.lower() for host in feed.world.hosts})
        if name == "feed":
            viewer = Viewer(feed, _ends(request))
            return web_socket(request, viewer.talk, limits=LIMITS, counters=counters)
        check_page(request)
        return Response(200, pcapng(feed), "application/x-pcapng", [*HEADERS, _DOWNLOAD])


def _ends(request: Request) -> tuple[tuple[str, int], tuple[str, int]] | None:
    stream = request.stream
    if isinstance(stream, TlsStream):
        stream = stream.transport
    if isinstance(stream, TcpStream):
        return stream.local_address, stream.remote_address
    return None
