"""One URL after the other, each by its own protocol: what `pystack get` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from pystack.apps.clients.desk import Sink, Source, Talk
from pystack.apps.clients.job import GetOptions, Job
from pystack.apps.clients.transfer import Transfer
from pystack.apps.clients.trouble import ClientError, Status
from pystack.apps.clients.url import Url
from pystack.core.extras import need
from pystack.runtime.host import Host

if TYPE_CHECKING:
    from pystack.apps.clients.http import HttpClient


class Getter:
    """Gets URLs from a host. Connections that can be used again are, until `aclose`.

    To be used by a program on the host: names are looked up there.
    """

    def __init__(
        self,
        host: Host,
        options: GetOptions | None = None,
        say: Callable[[str], object] | None = None,
    ) -> None:
        """`say` gets the lines of `-v`; None: nobody wants them."""
        self._host = host
        self._options = GetOptions() if options is None else options
        self._talk = Talk(host, say)
        self._http: HttpClient | None = None  # None: nothing went by HTTP yet
        self._count = 0

    async def get(self, text: str, sink: Sink, source: Source | None = None) -> Transfer:
        """Do one transfer; what went wrong is in its `exit_status` and `error`."""
        transfer = Transfer(text, self._host.now(), self._count)
        self._count += 1
        transfer.filename = sink.name
        limit_s = self._options.max_time_s
        try:
            with trio.move_on_after(float("inf") if limit_s is None else limit_s) as scope:
                url = Url.parse(text)
                transfer.scheme, transfer.url_effective = url.scheme, url.text
                transfer.begin_request(self._host.now())
                await self._run(
                    Job(self._host, url, self._options, transfer, self._talk, sink, source)
                )
                sink.close()
            if scope.cancelled_caught:
                raise _too_slow(transfer, self._host.now())
        except ClientError as error:
            transfer.exit_status, transfer.error = int(error.status), str(error)
            self._talk.note(str(error))
        transfer.ended_at = self._host.now()
        return transfer

    async def aclose(self) -> None:
        """Close what is still open."""
        if self._http is not None:
            await self._http.aclose()

    async def _run(self, job: Job) -> None:
        load(job.url.scheme)
        match job.url.scheme:
            case "http" | "https":
                from pystack.apps.clients.http import HttpClient

                if self._http is None:
                    self._http = HttpClient(self._options)
                await self._http.run(job)
            case "ws" | "wss":
                from pystack.apps.clients import websocket

                await websocket.run(job)
            case "ftp" | "ftps":
                from pystack.apps.clients import ftp

                await ftp.run(job)
            case _:
                from pystack.apps.clients import smtp

                await smtp.run(job)


def load(scheme: str) -> None:
    """Import the library that speaks a protocol. Raises ConfigError where it is missing.

    It is done anyway when it is needed; but after giving up root the process may not be able to
    read Python's own files any more.
    """
    if scheme in ("http", "https"):
        need("httpcore", "a client of HTTP")
        import pystack.apps.clients.http
    elif scheme in ("ws", "wss"):
        need("wsproto", "a client of WebSocket")
        import pystack.apps.clients.websocket
    elif scheme in ("ftp", "ftps"):
        import pystack.apps.clients.ftp
    else:
        import pystack.apps.clients.smtp  # noqa: F401


def _too_slow(transfer: Transfer, now: float) -> ClientError:
    took_ms = round(1000 * (now - transfer.began_at))
    got = f"{transfer.size_download} bytes received"
    return ClientError(
        Status.TIMED_OUT, f"Operation timed out after {took_ms} milliseconds with {got}"
    )
