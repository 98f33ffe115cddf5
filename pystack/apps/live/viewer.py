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
from pystack.runtime.control.calls import CALLS

if TYPE_CHECKING:
    from pystack.apps.live.feed import Feed
    from pystack.core.counters import Counters

LIMITS: Final = WebSocketLimits(message_bytes=16 * 1024)
WINDOW_TICKS: Final = 10
PAST_BYTES: Final = 128 << 10  # of ticks of the past, how much is sent ahead
QUESTIONS_A_SECOND: Final = 40
READ_ONLY: Final = "Start with --control to change links, power and time from here."
NO_TOKEN: Final = "Open the address that the ready line says: its token is what is missing."

Values = dict[str, object]


class Viewer:
    """One of those who look at a feed."""

    def __init__(
        self, feed: Feed, ends: tuple[tuple[str, int], tuple[str, int]] | None, counters: Counters
    ) -> None:
        """`ends`: of the connection it comes by, ours first; None: it is not one of ours."""
        self._feed = feed
        self._counters = counters
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
            self._counters.add("live_full")
            socket.close(CloseReason.TRY_AGAIN_LATER, "too many are looking")
            return
        feed.enter()
        try:
            await socket.send(_part(self._hello()))
            now = feed.due().number
            oldest = feed.oldest_after(0)
            self._sent = self._seen = now if oldest is None else oldest.number - 1
            while socket.is_open:
                if self._sent < now:
                    feed.due()
                    await self._tell_past(socket, now)
                else:
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

    async def _tell_past(self, socket: WebSocket, until: int) -> None:
        """Send some of what was told before, as far ahead of the viewer as may be.

        For a slow one little waits: a ping's answer, and what it asks, come behind that.
        """
        while self._sent < until and (tick := self._feed.oldest_after(self._sent)) is not None:
            if self._sent - self._seen >= max(WINDOW_TICKS, PAST_BYTES // len(tick.text)):
                return
            self._sent = tick.number
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
            self._counters.add("live_impatient")
            socket.close(CloseReason.POLICY_VIOLATION, "too many questions")
        else:
            if asked.get("ask") in questions.DEAR:
                await self._feed.free()
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
                self._counters.add("live_wrong_tokens")
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
        if name in CALLS and CALLS[name].files:
            raise ConfigError("no page writes files of this machine: use pystack ctl")
        own_driver = self._feed.world.of.driver
        if name == "pause" and self._ends is not None and control.world.driver is own_driver:
            raise ConfigError("this page would stand still with it: use pystack ctl")
        return control.call(name, arguments)


def _part(value: Values) -> Part:
    return Part(json.dumps(value, separators=(",", ":")))
