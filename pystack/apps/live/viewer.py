"""One who looks: what is told, and what is asked, over one WebSocket.

Messages are JSON. From here: `hello` first, then ticks, and an `answer` (or an `error`) to each
question, by its id. A viewer says with `seen` how far it has come; whoever does not keep up is sent
no more than `WINDOW_TICKS` ahead, then the newest, and is told how many were skipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import trio
from wsproto.frame_protocol import CloseReason

from pystack import __version__
from pystack.apps.limits import WebSocketLimits
from pystack.apps.live import questions
from pystack.apps.live.gate import MOST_WRONG, is_right
from pystack.apps.websocket.connection import Part, WebSocket
from pystack.core.errors import ConfigError

if TYPE_CHECKING:
    from pystack.apps.live.feed import Feed

LIMITS: Final = WebSocketLimits(message_bytes=16 * 1024)
WINDOW_TICKS: Final = 10
QUESTIONS_A_SECOND: Final = 40
READ_ONLY: Final = "Start with --control to change links, power and time from here."
NO_TOKEN: Final = "Open the address that the ready line says: its token is what is missing."

Values = dict[str, object]


class Viewer:
    """One of those who look at a feed."""

    def __init__(self, feed: Feed, ends: tuple[tuple[str, int], tuple[str, int]] | None) -> None:
        """`ends`: of the connection it comes by, ours first; None: it is not one of ours."""
        self._feed = feed
        self._ends = ends
        self._sent = 0  # the number of the tick that was sent last
        self._seen = 0
        self._wrong = 0  # tokens
        self._may_change = False
        self._text = ""  # of a message that is not whole yet
        self._second = (0.0, 0)  # questions of late: since when, how many

    async def talk(self, socket: WebSocket) -> None:
        """Tell and answer, until it goes."""
        feed = self._feed
        if feed.is_full:
            socket.close(CloseReason.TRY_AGAIN_LATER, "too many are looking")
            return
        feed.enter()
        try:
            await socket.send(_part(self._hello()))
            await self._tell_past(socket)
            while socket.is_open:
                await self._tell(socket)
                for part in await socket.receive(until=feed.next_at):
                    await self._hear(socket, part)
        finally:
            feed.leave()

    def _hello(self) -> Values:
        feed, world = self._feed, self._feed.world
        return {
            "hello": __version__,
            "title": world.title,
            "network": world.is_network,
            "hosts": [
                {"name": host.name, "addresses": list(host.addresses)} for host in world.hosts
            ],
            "names": world.names(),
            "now": world.now(),
            "offset": world.wall_clock_offset_s,
            "interval": feed.interval_s,
            "you": None if self._ends is None else [list(end) for end in self._ends],
            "changes": self._why_not(),
        }

    def _why_not(self) -> str:
        """Return why this viewer can change nothing; "": it can."""
        if self._feed.token is None:
            return READ_ONLY
        return "" if self._may_change else NO_TOKEN

    async def _tell_past(self, socket: WebSocket) -> None:
        """Send what was told before, tick by tick: for a slow viewer no more than one waits."""
        until = self._feed.due().number
        while self._sent < until and (tick := self._feed.oldest_after(self._sent)) is not None:
            self._sent = self._seen = tick.number
            await socket.send(Part(tick.text))

    async def _tell(self, socket: WebSocket) -> None:
        tick = self._feed.due()
        if tick.number == self._sent or self._sent - self._seen >= WINDOW_TICKS:
            return
        missed = self._feed.after(self._sent)
        if len(missed) <= WINDOW_TICKS and len(missed) == tick.number - self._sent:
            self._sent = tick.number
            await socket.send(*(Part(each.text) for each in missed))
            return
        skipped, self._sent = tick.number - self._sent - 1, tick.number
        await socket.send(_part({"skipped": skipped}), Part(tick.text))

    async def _hear(self, socket: WebSocket, part: Part) -> None:
        if not isinstance(part.data, str):
            socket.close(CloseReason.UNSUPPORTED_DATA, "messages here are text")
            return
        self._text += part.data
        if len(self._text) > LIMITS.message_bytes:
            socket.close(CloseReason.MESSAGE_TOO_BIG, "questions are short")
            return
        if not part.is_last:
            return
        text, self._text = self._text, ""
        try:
            asked = json.loads(text)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            socket.close(CloseReason.INVALID_FRAME_PAYLOAD_DATA, "messages here are JSON objects")
            return
        seen = asked.get("seen")
        if isinstance(seen, int):
            self._seen = max(self._seen, min(seen, self._sent))
        elif not self._has_patience():
            socket.close(CloseReason.POLICY_VIOLATION, "too many questions")
        else:
            await socket.send(_part(self._answer(socket, asked)))

    def _has_patience(self) -> bool:
        now = trio.current_time()
        since, count = self._second
        self._second = (since, count + 1) if now - since < 1.0 else (now, 1)
        return self._second[1] <= QUESTIONS_A_SECOND

    def _answer(self, socket: WebSocket, asked: Mapping[str, object]) -> Values:
        number = asked.get("id")
        number = number if isinstance(number, int) else 0
        try:
            return {"id": number, "answer": self._ask(socket, asked)}
        except ConfigError as error:
            return {"id": number, "error": str(error)}

    def _ask(self, socket: WebSocket, asked: Mapping[str, object]) -> object:
        if "token" in asked:
            return self._unlock(socket, asked["token"])
        name = asked.get("ask")
        if name == "call":
            return self._call(asked)
        return questions.answer(self._feed, name, asked)

    def _unlock(self, socket: WebSocket, token: object) -> str:
        ours = self._feed.token
        if ours is not None:
            self._may_change = is_right(token, ours)
            if not self._may_change:
                self._wrong += 1
                if self._wrong >= MOST_WRONG:
                    socket.close(CloseReason.POLICY_VIOLATION, "that is not the token")
                raise ConfigError("that is not the token of this run")
        return self._why_not()

    def _call(self, asked: Mapping[str, object]) -> object:
        """Change something, or ask what only `control` knows."""
        control, why_not = self._feed.control, self._why_not()
        if why_not:
            raise ConfigError(why_not)
        name, arguments = asked.get("name"), asked.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise ConfigError("a call has a name, and its arguments in a table")
        return control.call(name, arguments)


def _part(value: Values) -> Part:
    return Part(json.dumps(value, separators=(",", ":")))
