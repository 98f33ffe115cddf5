"""A client of the live page's feed, in virtual time: raw, so that it can be slow or hostile."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, RejectConnection, TextMessage
from wsproto.events import Request as WsRequest

import pystack


class RefusedError(Exception):
    """The handshake was refused; with its status."""


class LiveClient:
    """One who looks."""

    def __init__(self, host: pystack.Host, address: str, port: int = 80) -> None:
        self._host = host
        self._address = address
        self._port = port
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._text = ""
        self._messages: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.acknowledges = True
        self.ticks: list[dict[str, Any]] = []
        self.skipped = 0
        self._id = 0

    async def connect(self, name: str | None = None, headers: dict[str, str] | None = None) -> None:
        """Shake hands. `name`: what Host says."""
        self.stream = await self._host.open_tcp_stream(self._address, self._port)
        extra = [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
        request = WsRequest(name or self._address, "/live/feed", extra_headers=extra)
        await self.stream.send_all(self._ws.send(request))
        while True:
            self._ws.receive_data(bytes(await self.stream.receive_some()) or None)
            for event in self._ws.events():
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection):
                    raise RefusedError(event.status_code)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stream.aclose()

    async def send(self, value: object) -> None:
        """Send a message; text as it is."""
        text = value if isinstance(value, str) else json.dumps(value)
        await self.stream.send_all(self._ws.send(Message(data=text)))

    async def next(self) -> dict[str, Any] | None:
        """Return the next message; None: it has ended."""
        while not self._messages and self.closed is None:
            data = bytes(await self.stream.receive_some())
            self._ws.receive_data(data or None)
            for event in self._ws.events():
                if isinstance(event, TextMessage):
                    self._text += event.data
                    if event.message_finished:
                        self._messages.append(json.loads(self._text))
                        self._text = ""
                elif isinstance(event, CloseConnection):
                    self.closed = int(event.code), event.reason or ""
        if not self._messages:
            return None
        message = self._messages.pop(0)
        if "tick" in message:
            self.ticks.append(message)
            if self.acknowledges:
                await self.send({"seen": message["tick"]})
        self.skipped += message.get("skipped", 0)
        return message

    async def listen(self, seconds: float) -> None:
        """Take what comes for so long."""
        with trio.move_on_after(seconds):
            while await self.next() is not None:
                pass

    async def ask(self, **question: object) -> Any:  # noqa: ANN401 - JSON
        """Return the answer to a question; an error is a `LookupError`."""
        self._id += 1
        await self.send({**question, "id": self._id})
        while True:
            message = await self.next()
            assert message is not None, self.closed
            if message.get("id") == self._id:
                if "error" in message:
                    raise LookupError(message["error"])
                return message["answer"]

    @property
    def items(self) -> list[dict[str, Any]]:
        """Return all items of the ticks so far."""
        return [item for tick in self.ticks for item in tick["items"]]
