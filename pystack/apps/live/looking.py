"""What is there when somebody looks: the feed, and the capture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.apps.http.conditions import check_page
from pystack.apps.http.messages import HttpError, Request, Response
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

MOST_DOWNLOADS: Final = 4  # each keeps what the tape had when it began
_DOWNLOAD: Final = ("Content-Disposition", 'attachment; filename="live.pcapng"')


class Looking:
    """Answers what is more than a file."""

    def feed_of(self, host: Host) -> Feed:
        """Return the feed of a host, which all its services share."""
        return feed_of(host)

    def answer(self, name: str, request: Request, feed: Feed, counters: Counters) -> Response:
        """Answer for "feed" or "capture.pcapng". HttpError: 403, 426, 503 ..."""
        # In a lab they are names of hosts that the page is not served by.
        hosts = () if feed.world.is_network else feed.world.hosts
        try:
            check(request, {host.name.lower() for host in hosts})
        except HttpError:
            counters.add("live_strangers")
            raise
        if name == "feed":
            viewer = Viewer(feed, _ends(request), counters)
            return web_socket(request, viewer.talk, limits=LIMITS, counters=counters)
        check_page(request)
        if feed.downloads >= MOST_DOWNLOADS:
            counters.add("live_full")
            raise HttpError(503, "Others are having it: try again in a while.")
        return Response(200, pcapng(feed), "application/x-pcapng", [*HEADERS, _DOWNLOAD])


def _ends(request: Request) -> tuple[tuple[str, int], tuple[str, int]] | None:
    stream = request.stream
    if isinstance(stream, TlsStream):
        stream = stream.transport
    if isinstance(stream, TcpStream):
        return stream.local_address, stream.remote_address
    return None
