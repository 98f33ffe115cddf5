"""The control socket: calls in lines of JSON, over a Unix socket that is this user's alone.

    {"id": 1, "call": "ss", "arguments": {"port": 80}}      ->  {"id": 1, "result": {...}}
    {"id": 2, "call": "sss"}                                ->  {"id": 2, "error": "there is ..."}
    {"id": 3, "call": "watch", "arguments": {"calls": {"ss": {}}, "per_s": 4}}
        ->  {"id": 3, "update": {"ss": {...}}, "missed": 0}, until the client says something else

It has a thread and a Trio run of its own, so that a client, whatever it does, holds nobody up, and
that time which stands still in the world goes on here. Calls are made in the world's thread, one
after the other, for a fifth of its time at most. What clients can make us keep is bounded: so many
of them, a line of so many bytes each, and one answer.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from pystack.runtime.control.calls import WATCH, WATCHED, check_watched
from pystack.runtime.control.errors import ControlError
from pystack.runtime.control.places import Place, bind, default_path
from pystack.runtime.device.privileges import as_who_called_sudo
from pystack.runtime.driver.virtual import VirtualDriver

if TYPE_CHECKING:
    from pystack.runtime.control.control import Control
    from pystack.runtime.control.table import Json

MOST_CLIENTS: Final = 64
MOST_LINE_BYTES: Final = 64 << 10
MOST_ANSWER_BYTES: Final = 4 << 20
STALLED_S: Final = 30.0  # that a client may take to read one answer
SHARE: Final = 0.2  # of the world's time, that calls may take all together
_GRACE_S: Final = 1.5  # for answers that are under way at the end
_END_S: Final = 3.0
_REFUSAL_S: Final = 1.0
_MOST_ID: Final = 64
_READ_BYTES: Final = 16 << 10
_PEER: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid

_log: Final = logging.getLogger("pystack.control")


@contextmanager
def offered(control: Control, name: str, path: str | Path | None = None) -> Iterator[Path]:
    """Offer a control's calls on a socket for the length of the block; yields its path.

    `name`: what is controlled, for the name of the socket; `path`: where it goes instead. In the
    thread of the world's Trio run. Raises ConfigError, DeviceError.
    """
    with as_who_called_sudo():  # who is to open it, where root stays root
        place = bind(default_path(name) if path is None else Path(path))
    server = _Server(control, place)
    driver = control.world.driver
    if isinstance(driver, VirtualDriver):
        driver.attend(attended=True)
    thread = threading.Thread(target=server.run, name="control", daemon=True)
    try:
        thread.start()
        server.started.wait()
        yield place.path
    finally:
        server.stop()
        thread.join(_END_S)
        place.remove()
        if isinstance(driver, VirtualDriver):
            driver.attend(attended=False)
            driver.resume()


@dataclass(slots=True, eq=False)
class _Client:
    """Somebody who is connected."""

    stream: trio.SocketStream
    heard_at: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    busy: bool = False  # something that was asked for is under way
    watching: bool = False
    buffer: bytearray = field(default_factory=bytearray)


class _Server:
    """All of it, in its own thread but for `stop` and the calls themselves."""

    def __init__(self, control: Control, place: Place) -> None:
        self.started = threading.Event()
        self.counters = control.counters
        self._control = control
        self._place = place
        self._owners = (0, os.geteuid(), place.owner)
        self._clients: dict[_Client, None] = {}
        driver = control.world.driver
        self._post: Callable[[Callable[[], object]], object] = (
            driver.post
            if isinstance(driver, VirtualDriver)
            else trio.lowlevel.current_trio_token().run_sync_soon
        )
        self._token: trio.lowlevel.TrioToken | None = None  # None: it does not run yet
        self._free_at = -math.inf  # when the next call may be made
        self._scope = trio.CancelScope()
        self._is_ending = False

    def run(self) -> None:
        """Serve until `stop`."""
        try:
            trio.run(self._serve)
        except Exception:
            _log.exception("control has failed, and is not there any more")
        finally:
            self.started.set()

    def stop(self) -> None:
        """End it, from the world's thread, when what is under way has been answered."""
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._end)

    def _end(self) -> None:
        self._is_ending = True
        self._scope.deadline = trio.current_time() + _GRACE_S
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if self._is_ending and not any(client.busy for client in self._clients):
            self._scope.cancel()

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._one_by_one = trio.Lock()
        self._made_before = trio.Event()  # the call before is over, also if its client has gone
        self._made_before.set()
        self._place.socket.setblocking(False)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._place.socket))
        with self._scope:
            async with trio.open_nursery() as nursery:
                self.started.set()
                while True:
                    stream = await _accepted(listener)
                    if self._is_stranger(stream):
                        self.counters.add("control_stranger")
                        nursery.start_soon(_refuse, stream, "this is another user's pystack")
                        continue
                    if len(self._clients) >= MOST_CLIENTS and not self._made_room():
                        self.counters.add("control_full")
                        nursery.start_soon(_refuse, stream, "too many are connected already")
                        continue
                    client = _Client(stream, trio.current_time())
                    self._clients[client] = None
                    self.counters.add("control_clients")
                    nursery.start_soon(self._attend, client)

    def _is_stranger(self, stream: trio.SocketStream) -> bool:
        """Tell whether it is neither this user nor root: should the file's mode ever fail us."""
        if not hasattr(socket, "SO_PEERCRED"):
            return False
        peer = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        assert isinstance(peer, bytes)
        return _PEER.unpack(peer)[1] not in self._owners

    def _made_room(self) -> bool:
        """Let the client go that has been silent for longest; False: all of them are busy."""
        idle = [client for client in self._clients if not (client.busy or client.watching)]
        if not idle:
            return False
        least = min(idle, key=lambda client: client.heard_at)
        self.counters.add("control_made_room")
        del self._clients[least]
        least.scope.cancel()
        return True

    async def _attend(self, client: _Client) -> None:
        try:
            with client.scope:
                while (line := await self._line(client)) is not None:
                    client.busy, client.heard_at = True, trio.current_time()
                    await self._answer(client, line)
                    client.busy = False
                    self._look_whether_over()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):  # from a nursery as well
            self.counters.add("control_broken")
        except* Exception:  # of this client alone: others are still to be answered
            self.counters.add("control_failed")
            _log.exception("a client of control could not be answered")
        finally:
            self._clients.pop(client, None)
            self._look_whether_over()
            await trio.aclose_forcefully(client.stream)

    async def _line(self, client: _Client) -> bytes | None:
        """Return the next line; None where there is none, or one too long."""
        buffer, looked = client.buffer, 0
        while (end := buffer.find(b"\n", looked)) < 0:
            looked = len(buffer)
            if looked > MOST_LINE_BYTES:
                self.counters.add("control_line_too_long")
                await self._say(
                    client, {"error": f"a line has at most {MOST_LINE_BYTES} bytes; goodbye"}
                )
                return None
            data = await client.stream.receive_some(_READ_BYTES)
            if not data:
                return None
            buffer += data
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        return line

    async def _answer(self, client: _Client, line: bytes) -> None:
        number: Json = None
        try:
            asked = _read(line)
            number = _number(asked)
            name, arguments = asked.get("call"), asked.get("arguments")
            if name == WATCH:
                await self._watch(client, number, arguments)
                return
            answer = await self._made(name, arguments)
        except ControlError as error:
            self.counters.add("control_wrong_calls")
            await self._say(client, {"id": number, "error": str(error)})
        else:
            await self._say(client, {"id": number, "result": answer})

    async def _made(self, name: object, arguments: object) -> Json:
        """Have a call made in the world's thread. Raises ControlError."""
        answers: list[Json] = []
        errors: list[ControlError] = []
        token = trio.lowlevel.current_trio_token()

        def over(took_s: float) -> None:
            self._free_at = trio.current_time() + took_s * (1 / SHARE - 1)
            done.set()

        def call() -> None:
            began_at = time.perf_counter()
            try:
                answers.append(self._control.call(name, arguments))  # type: ignore[arg-type]
            except ControlError as error:
                errors.append(error)
            except Exception as error:
                _log.exception("the call %r has failed", name)
                errors.append(ControlError(f"{name} has failed: {type(error).__name__}"))
            took_s = time.perf_counter() - began_at
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(over, took_s)

        async with self._one_by_one:
            # Before, not after: who goes away in the middle has others wait all the same.
            await self._made_before.wait()
            await trio.sleep_until(self._free_at)
            self.counters.add("control_calls")
            try:
                self._post(call)
            except trio.RunFinishedError:
                raise ControlError("what was controlled has ended") from None
            done = self._made_before = trio.Event()
            await done.wait()
        if errors:
            raise errors[0]
        return answers[0]

    async def _watch(self, client: _Client, number: Json, arguments: object) -> None:
        """Make the same calls over and over, until the client says something, or goes."""
        given = WATCHED.checked(arguments if isinstance(arguments, Mapping) else {})
        calls: Mapping[str, object] = given["calls"]
        check_watched(calls)
        every_s = 1 / given.get("per_s", 4)
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                client.buffer += await client.stream.receive_some(_READ_BYTES)
                nursery.cancel_scope.cancel()

            if not client.buffer:
                nursery.start_soon(listen)
            missed, last, due = 0, "", trio.current_time()
            client.busy, client.watching = False, True
            while True:
                try:
                    update = {name: await self._made(name, calls[name]) for name in calls}
                except ControlError as error:
                    await self._say(client, {"id": number, "error": str(error)})
                    break
                told = json.dumps(update, allow_nan=False)
                if told != last:  # nothing is said where nothing has changed
                    await self._say(client, {"id": number, "update": update, "missed": missed})
                    last = told
                if client.buffer:  # it had said something else already
                    break
                now = trio.current_time()
                late = max(int((now - due) / every_s), 0)
                missed += late
                due += every_s * (late + 1)
                await trio.sleep_until(due)
            nursery.cancel_scope.cancel()
        client.watching = False

    async def _say(self, client: _Client, message: Mapping[str, Json]) -> None:
        line = _packed(message)
        if len(line) > MOST_ANSWER_BYTES:
            sentence = f"the answer has {len(line)} bytes: ask for less (host=, limit=)"
            line = _packed({"id": message.get("id"), "error": sentence})
        await self._send(client, line)

    async def _send(self, client: _Client, line: bytes) -> None:
        """Send a line; a client that does not read it is let go."""
        with trio.move_on_after(STALLED_S) as patience:
            await client.stream.send_all(line)
        if patience.cancelled_caught:
            self.counters.add("control_stalled")
            raise trio.BrokenResourceError("the client does not read")


async def _accepted(listener: trio.SocketListener) -> trio.SocketStream:
    while True:
        try:
            return await listener.accept()
        except OSError:  # no more files, a client that has gone already
            await trio.sleep(0.1)


async def _refuse(stream: trio.SocketStream, sentence: str) -> None:
    with trio.move_on_after(_REFUSAL_S):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_all(_packed({"error": sentence}))
    await trio.aclose_forcefully(stream)


def _read(line: bytes) -> Mapping[str, object]:
    """Return what a line asks for. Raises ControlError."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        raise ControlError('a call is a line of JSON, like {"id": 1, "call": "ss"}') from None
    if not isinstance(asked, dict):
        raise ControlError('a call is an object, like {"id": 1, "call": "ss"}')
    return asked


def _number(asked: Mapping[str, object]) -> str | int | None:
    number = asked.get("id")
    if not isinstance(number, str | int | None) or len(str(number)) > _MOST_ID:
        raise ControlError("the id of a call is a whole number or a short text")
    return number


def _packed(message: Mapping[str, Json]) -> bytes:
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
