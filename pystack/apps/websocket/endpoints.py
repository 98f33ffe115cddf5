"""The WebSockets that every site has: `/ws/echo`, `/ws/time`, and a page to try them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

import trio
from wsproto.frame_protocol import CloseReason

from pystack.apps.http.messages import HttpError, Request, Response
from pystack.apps.websocket.connection import Part, WebSocket
from pystack.apps.websocket.handshake import web_socket
from pystack.apps.websocket.page import POLICY, page
from pystack.core.counters import Counters

LEAST_INTERVAL_S: Final = 0.05
MOST_INTERVAL_S: Final = 3600.0
USUAL_INTERVAL_S: Final = 1.0


def answer(request: Request, utc_now: Callable[[], float], counters: Counters) -> Response:
    """Answer a request for something below `/ws/`. Raises HttpError."""
    match request.path:
        case "/ws/echo":
            return web_socket(request, echo, counters=counters)
        case "/ws/time":
            interval_s = _interval_s(request.query)

            async def tell(socket: WebSocket) -> None:
                await tell_time(socket, interval_s, utc_now)

            return web_socket(request, tell, counters=counters)
        case "/ws/":
            response = Response.html(page())
            response.headers = [("Cache-Control", "no-store"), ("Content-Security-Policy", POLICY)]
            return response
    raise HttpError(404, "Try /ws/echo or /ws/time, with a browser /ws/.")


async def echo(socket: WebSocket) -> None:
    """Send back what comes, as it comes: a fragment need not wait for the next."""
    while parts := await socket.receive():
        await socket.send(*parts)


async def tell_time(socket: WebSocket, interval_s: float, utc_now: Callable[[], float]) -> None:
    """Send the time at once and at each interval; incoming messages are refused."""
    began_at, number = trio.current_time(), 0
    while socket.is_open:
        await socket.send(Part(time_text(utc_now())))
        # The next that is not past: a peer that takes them slowly is sent less.
        number = max(number + 1, int((trio.current_time() - began_at) / interval_s))
        if await socket.receive(until=began_at + number * interval_s):
            socket.close(CloseReason.UNSUPPORTED_DATA, "this tells the time, and takes nothing")


def time_text(utc_s: float) -> str:
    """Return the time as RFC 3339 has it, in milliseconds: `1970-01-01T00:00:00.000Z`."""
    # Milliseconds are rounded, not cut: a second that is 0.9999999 is one.
    time = datetime.fromtimestamp(round(utc_s, 3), UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _interval_s(query: str) -> float:
    try:
        every = parse_qs(query, keep_blank_values=True, max_num_fields=100).get("every", [])
        interval_s = float(every[-1]) if every else USUAL_INTERVAL_S
    except ValueError:
        interval_s = 0.0
    if not LEAST_INTERVAL_S <= interval_s <= MOST_INTERVAL_S:
        raise HttpError(400, f"?every= takes {LEAST_INTERVAL_S:g} to {MOST_INTERVAL_S:g} seconds.")
    return interval_s
