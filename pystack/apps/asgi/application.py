"""The application itself: found by `module:app`, and kept from what it can't do on Trio."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias

from hypercorn.app_wrappers import ASGIWrapper

from pystack.apps.options import AppName
from pystack.apps.troubles import PeerError
from pystack.core.errors import ConfigError

_log: Final = logging.getLogger("pystack.apps.asgi")
_NAME: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
# What asyncio, and libraries for it, say where its loop is not running; and Trio, when it is handed
# one of its futures.
_ASYNCIO: Final = re.compile(
    "no running event loop|no current event loop|unrecognized yield message"
    "|some other framework like asyncio|[Tt]rio got unexpected"
)

# What ASGI calls an application: scopes and messages are dictionaries of whatever they hold.
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

NEEDS_ASYNCIO: Final = "needs asyncio, and this server runs on Trio"


class AsyncioNeededError(ConfigError):
    """The application says at its start that it can't run on Trio."""


def check_name(name: AppName) -> tuple[str, str]:
    """Return module and attribute, without importing anything. Raises ConfigError."""
    text = name.text
    module, colon, attribute = text.partition(":")
    if not colon or not _NAME.fullmatch(module) or not _NAME.fullmatch(attribute):
        raise ConfigError(f"an ASGI application is MODULE:APP, as in main:app, not {text!r}")
    _look_there_too(name.folder)
    if find_spec(module.partition(".")[0]) is None:
        raise ConfigError(f"there is no module {module!r}, in {_words(name.folder)} or installed")
    return module, attribute


def load(app: AppName) -> Application:
    """Import the application. Raises ConfigError; what the module itself raises is in the log."""
    name, path = check_name(app)
    try:
        found: object = import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and _is_part(error.name, name):
            raise ConfigError(f"there is no module {error.name!r}") from None
        _log.exception("the module %r failed when it was imported", name)
        words = f"{type(error).__name__}: {error}"
        raise ConfigError(f"the module {name!r} can't be imported: {words}") from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"there is no {path!r} in the module {name!r}")
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError(f"{app.text!r} is no ASGI application: it is a {type(found).__name__}")
    return found


def wrapped(app: Application, name: str) -> ASGIWrapper:
    """Return it as hypercorn has it; `name`: what the log calls it."""
    on_trio: Any = _OnTrio(app, name)
    return ASGIWrapper(on_trio)


class _OnTrio:
    """An application, with one sentence instead of a traceback each time it asks for asyncio."""

    def __init__(self, app: Application, name: str) -> None:
        self._app = app
        self._name = name
        self._has_told = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Run it. Raises what it raises, AsyncioNeededError for the lifespan."""
        has_begun = False

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except Exception as error:
            if not asks_for_asyncio(error):
                raise
            if scope["type"] == "lifespan":
                raise AsyncioNeededError(f"{self._name} {NEEDS_ASYNCIO}") from None
            if not self._has_told:
                self._has_told = True
                _log.error("%s %s: its requests are answered with 500", self._name, NEEDS_ASYNCIO)
            if has_begun or scope["type"] != "http":
                raise PeerError(NEEDS_ASYNCIO) from None  # told already
            await _refuse(send)


def asks_for_asyncio(error: BaseException) -> bool:
    """Tell whether it failed because asyncio is not running."""
    return any(
        isinstance(each, RuntimeError | TypeError | LookupError | OSError)
        and _ASYNCIO.search(str(each)) is not None
        for each in _with_causes(error)
    )


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            todo += each.exceptions


async def _refuse(send: Send) -> None:
    body = f"500 Internal Server Error\nThe application {NEEDS_ASYNCIO}.\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _look_there_too(folder: Path) -> None:
    there = str(folder.resolve())
    if there not in sys.path:
        sys.path.insert(0, there)


def _words(folder: Path) -> str:
    return "the current directory" if folder == Path() else str(folder)


def _is_part(missing: str | None, name: str) -> bool:
    """Whether the module that is missing is the one asked for, or a package that it is in."""
    return missing is not None and (name == missing or name.startswith(f"{missing}."))
