"""HTTP/1.1 and HTTP/2 over a host's streams: httpcore speaks them, curl's manner is ours.

httpcore is the lower half of httpx. It takes a network of our own, so that each step has its
instant and each connection can be told of, and it gives bodies as they came, which httpx decodes.
"""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterable, Iterable
from contextlib import suppress
from typing import Any, Final

import httpcore
import trio

from pystack import __version__
from pystack.apps.clients.connecting import client_context, close_both_ways, connect, start_tls
from pystack.apps.clients.decoding import ACCEPTED, Decoder
from pystack.apps.clients.desk import Source
from pystack.apps.clients.job import GetOptions, Job
from pystack.apps.clients.trouble import ClientError, Status, receive, why
from pystack.apps.clients.url import Url
from pystack.apps.tls_stream import TlsStream
from pystack.runtime.streams import TcpStream

Body = bytes | Source | None

USER_AGENT: Final = f"pystack/{__version__}"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD: Final = frozenset({307, 308})
_COUNTED: Final = re.compile(r"received (\d+) bytes, expected (\d+)")
_DEAD: Final = frozenset({Status.NO_REPLY, Status.SEND_FAILED, Status.RECEIVE_FAILED})
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_PRIOR_KNOWLEDGE: Final = "2-prior-knowledge"


class HttpClient:
    """Connections of one command: what can be used again is."""

    def __init__(self, options: GetOptions) -> None:
        """Raises ClientError for authorities that cannot be read."""
        self._options = options
        self._network = _Network(options)
        self._pool = httpcore.AsyncConnectionPool(
            # It is our network that begins TLS, with a context of its own.
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            http1=options.http != _PRIOR_KNOWLEDGE,
            http2=options.http != "1.1",
            network_backend=self._network,
            keepalive_expiry=None,
        )

    async def run(self, job: Job) -> None:
        """Do one transfer, along its redirections. Raises ClientError."""
        options, transfer, url = self._options, job.transfer, job.url
        body: Body = options.data if job.source is None else job.source
        method = _method(options, body)
        while True:
            transfer.begin_request(job.now())
            transfer.method, transfer.url_effective, transfer.scheme = method, url.text, url.scheme
            self._network.job = job
            location = await self._exchange(job, _Request(job, url, method, body, self._network))
            self._network.trouble = None
            if location is None:
                return
            if transfer.num_redirects >= options.max_redirects:
                text = f"Maximum ({options.max_redirects}) redirects followed"
                raise ClientError(Status.TOO_MANY_REDIRECTS, text)
            transfer.num_redirects += 1
            transfer.redirect_s = job.now() - transfer.began_at
            job.talk.note(f"Issue another request to this URL: {location!r}")
            url = _redirected(location)
            if transfer.http_code not in _KEEP_METHOD and method not in ("GET", "HEAD"):
                body = None
                method = options.method or "GET"
            elif isinstance(body, Source):
                raise ClientError(Status.SEND_FAILED, "an upload cannot be sent a second time")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _exchange(self, job: Job, request: _Request) -> str | None:
        """Send a request and take its response; return where to go on, None: nowhere.

        A server may close a connection that was kept just when the next request is under way: then
        once more, on another one, as curl does. Unlike curl's, a POST is not (RFC 9110 section
        9.2.2): nobody knows what the server has done.
        """
        transfer, network = job.transfer, self._network
        while True:
            before = transfer.num_connects, transfer.size_upload
            network.has_heard = False
            try:
                return await self._exchange_once(job, request)
            except ClientError as error:
                is_dead = error.status in _DEAD and transfer.num_connects == before[0]
                if not is_dead or network.has_heard or not request.may_be_repeated:
                    raise
            transfer.size_upload = before[1]
            job.talk.note("Connection died, retrying a fresh connect")

    async def _exchange_once(self, job: Job, request: _Request) -> str | None:
        transfer, connects = job.transfer, job.transfer.num_connects
        try:
            try:
                response = await self._pool.handle_async_request(request.build())
            except ValueError as error:  # of a status that is no number
                raise ClientError(Status.WEIRD_REPLY, f"Weird server reply: {error}") from None
            try:
                if transfer.num_connects == connects:
                    job.talk.note(f"Re-used existing connection with host {request.url.host}")
                    stream = response.extensions["network_stream"]
                    assert isinstance(stream, httpcore.AsyncNetworkStream)
                    ends = map(stream.get_extra_info, ("client_addr", "server_addr"))
                    transfer.connected(*ends)
                head = _Head(response)
                head.note(job)
                location = self._location(job, head, request.url)
                await self._take_body(job, response, head, is_shown=location is None)
                job.tell("done", f"{head.status}, {transfer.size_download:,} bytes")
            finally:
                with trio.CancelScope(shield=True):
                    await response.aclose()
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _explained(error, has_heard=self._network.has_heard) from None
        number = max(transfer.num_connects - 1, 0)
        job.talk.note(f"Connection #{number} to host {request.url.host} left intact")
        return location

    def _location(self, job: Job, head: _Head, url: Url) -> str | None:
        """Return where a redirection leads, if it is to be followed."""
        job.transfer.redirect_url = ""
        locations = job.transfer.headers.get("location", ())
        if head.status not in _REDIRECTS or not locations:
            return None
        if self._options.follow:
            return url.joined(locations[0])
        with suppress(ClientError):  # it leads nowhere
            job.transfer.redirect_url = url.joined(locations[0])
        return None

    async def _take_body(
        self, job: Job, response: httpcore.Response, head: _Head, *, is_shown: bool
    ) -> None:
        options = self._options
        if options.fail and head.status >= 400:
            text = f"The requested URL returned error: {head.status}"
            raise ClientError(Status.HTTP_ERROR, text)
        if options.include or options.head:
            await job.sink.write(head.whole)
        encoding = ", ".join(job.transfer.headers.get("content-encoding", ())).lower()
        decoder = Decoder(encoding if options.compressed and is_shown and not options.head else "")
        stream = response.stream
        assert isinstance(stream, AsyncIterable)
        trouble: ClientError | None = None  # None: all is well so far
        async for chunk in stream:
            if not is_shown or trouble is not None:
                continue
            job.transfer.size_download += len(chunk)
            try:
                for part in decoder.feed(chunk):
                    await job.sink.write(part)
            except ClientError as error:
                # It comes out of the next read: httpcore's generators do not end when they are
                # merely left.
                trouble = self._network.trouble = error
        if trouble is not None:
            raise trouble
        if job.transfer.size_download:
            decoder.finish()


def _method(options: GetOptions, body: Body) -> str:
    if options.method is not None:
        return options.method
    if options.head:
        return "HEAD"
    if isinstance(body, Source):
        return "PUT"
    return "GET" if body is None else "POST"


def _redirected(location: str) -> Url:
    url = Url.parse(location)
    if url.scheme not in ("http", "https"):
        text = f"Protocol {url.scheme!r} not supported in a redirection"
        raise ClientError(Status.UNSUPPORTED_PROTOCOL, text)
    return url


class _Request:
    """One request: its header, and what curl would show of it."""

    def __init__(self, job: Job, url: Url, method: str, body: Body, network: _Network) -> None:
        self.url = url
        self._job, self._method, self._body, self._network = job, method, body, network
        self._headers = _header_of(job, url, body)

    @property
    def may_be_repeated(self) -> bool:
        """Tell whether twice is as good as once, and we still have what it sends."""
        return self._method in _IDEMPOTENT and not isinstance(self._body, Source)

    def build(self) -> httpcore.Request:
        """Return it for httpcore."""
        host, url = self.url.host.encode(), self.url
        scheme, target = url.scheme.encode(), url.target.encode()
        return httpcore.Request(
            method=self._method,
            url=httpcore.URL(scheme=scheme, host=host, port=url.port, target=target),
            headers=[(name.encode("latin-1"), value.encode()) for name, value in self._headers],
            content=self._content(),
            extensions={"trace": self._trace},
        )

    def _content(self) -> Any:  # noqa: ANN401 - httpcore takes bytes, or what yields them
        if isinstance(self._body, bytes):
            self._job.transfer.size_upload += len(self._body)
            return self._body
        return None if self._body is None else _Upload(self._body, self._job)

    async def _trace(self, event: str, _info: object) -> None:
        """Note the instants: httpcore tells what it is about to do, and what it has done."""
        job = self._job
        if event.endswith(".send_request_headers.started"):
            job.transfer.mark("pretransfer", job.now())
            version = "HTTP/2" if event.startswith("http2") else "HTTP/1.1"
            lines = [f"{self._method} {self.url.target} {version}"]
            lines += [f"{name}: {value}" for name, value in self._headers]
            job.transfer.size_request += sum(len(line.encode()) + 2 for line in lines) + 2
            job.talk.sent([*lines, ""])
            self._network.announced = lines[0]
        elif event == "http11.receive_response_headers.started":
            self._network.is_awaiting = True
        elif event == "http2.receive_response_headers.complete":
            job.transfer.mark("starttransfer", job.now())
            job.tell("first_byte")


class _Upload:
    """The body of a request, a piece at a time.

    No generator: httpcore leaves off in the middle where the server does not want the rest.
    """

    def __init__(self, source: Source, job: Job) -> None:
        self._source, self._job = source, job

    def __aiter__(self) -> _Upload:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._source.chunk()
        if not chunk:
            raise StopAsyncIteration
        self._job.transfer.size_upload += len(chunk)
        return chunk


def _header_of(job: Job, url: Url, body: Body) -> list[tuple[str, str]]:
    """Return the header fields, those of -H instead of ours."""
    options = job.options
    fields = {"Host": url.authority}
    # What logs in at one host is not told to another.
    if job.user is not None and (url.host, url.port) == (job.url.host, job.url.port):
        token = b64encode(":".join(job.user).encode()).decode()
        fields["Authorization"] = f"Basic {token}"
    fields["User-Agent"] = options.user_agent or USER_AGENT
    fields["Accept"] = "*/*"
    if options.range_text is not None:
        fields["Range"] = f"bytes={options.range_text}"
    if options.compressed:
        fields["Accept-Encoding"] = ACCEPTED
    if isinstance(body, bytes):
        fields["Content-Length"] = str(len(body))
        fields["Content-Type"] = options.data_type
    elif isinstance(body, Source):
        if body.size_bytes is None:
            fields["Transfer-Encoding"] = "chunked"
        else:
            fields["Content-Length"] = str(body.size_bytes)
    more: list[tuple[str, str]] = []
    for line in options.headers:
        name, colon, value = line.partition(":")
        name = name.strip() if colon else name.strip().removesuffix(";")
        fields = {known: text for known, text in fields.items() if known.lower() != name.lower()}
        if value.strip() or not colon:  # "Name:" takes it away, "Name;" has it empty
            more.append((name, value.strip()))
    # Host first (RFC 9110 section 7.2), as h11 sends it, whoever has said it.
    return sorted([*fields.items(), *more], key=lambda item: item[0].lower() != "host")


class _Head:
    """The head of a response."""

    def __init__(self, response: httpcore.Response) -> None:
        self.status = response.status
        self._fields = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers
        ]
        # httpcore has h2 look at none of it.
        whole = "".join(name + value for name, value in self._fields)
        if not 100 <= self.status <= 999 or any(letter in whole for letter in "\r\n\0"):
            raise ClientError(Status.WEIRD_REPLY, "Weird server reply: that is not a head")
        version = response.extensions.get("http_version", b"HTTP/1.1")
        reason = response.extensions.get("reason_phrase", b"")
        assert isinstance(version, bytes)
        assert isinstance(reason, bytes)
        self._version = version.decode("latin-1")
        first = f"{self._version} {self.status} {reason.decode('latin-1')}"
        self._lines = [first, *(f"{name}: {value}" for name, value in self._fields), ""]

    @property
    def whole(self) -> bytes:
        """Return it as it is shown with -i and -I."""
        return "".join(f"{line}\r\n" for line in self._lines).encode("latin-1")

    def note(self, job: Job) -> None:
        """Put what it says into the transfer, and show it."""
        transfer = job.transfer
        transfer.http_code = self.status
        version = self._version.removeprefix("HTTP/")
        transfer.http_version = version.removesuffix(".0")
        transfer.size_header += len(self.whole)
        transfer.headers = {}
        for name, value in self._fields:
            transfer.headers.setdefault(name.lower(), []).append(value)
        transfer.content_type = ", ".join(transfer.headers.get("content-type", ()))
        job.talk.got(self._lines)


class _Network(httpcore.AsyncNetworkBackend):
    """What httpcore connects with: the streams of the host that the job is on."""

    def __init__(self, options: GetOptions) -> None:
        """Raises ClientError for authorities that cannot be read."""
        self.job: Job | None = None  # None: none was begun
        self._options = options
        # None: not needed yet. To read the system's authorities takes 20 ms.
        self._context: ssl.SSLContext | None = None
        if options.cacert is not None or options.trusted:
            self._context = client_context(options)
        self.is_awaiting = False  # a response: its first byte is to be noted
        self.has_heard = False  # anything from the server, since the request was begun
        self.trouble: ClientError | None = None  # what ends the next read; None: nothing
        self.announced = ""  # the request line of what is written next; "": no request begins

    def context(self) -> ssl.SSLContext:
        """Return whom to trust. Raises ClientError."""
        if self._context is None:
            self._context = client_context(self._options)
        return self._context

    def first_byte_came(self) -> None:
        """Note it."""
        self.is_awaiting = False
        if self.job is not None:
            self.job.transfer.mark("starttransfer", self.job.now())
            self.job.tell("first_byte")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect, at the job's instants. Raises ClientError."""
        assert self.job is not None
        return _Stream(self.job, await connect(self.job, host, port), self)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await trio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """A connection, with TLS or without."""

    def __init__(
        self, job: Job, tcp: TcpStream, network: _Network, tls: TlsStream | None = None
    ) -> None:
        self._job, self._network = job, network
        self._tcp, self._tls = tcp, tls
        self._stream: trio.abc.Stream = tcp if tls is None else tls
        self._ends = tcp.local_address, tcp.remote_address

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what came; empty at its end."""
        trouble, self._network.trouble = self._network.trouble, None
        if trouble is not None:
            raise trouble
        data = await receive(self._stream, max_bytes)
        if data:
            self._network.has_heard = True
            if self._network.is_awaiting:
                self._network.first_byte_came()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send it all."""
        if self._network.announced:
            self._begin_request()
        try:
            await self._stream.send_all(buffer)
        except trio.BrokenResourceError as error:
            # A server may have said why before it hung up: httpcore looks.
            raise httpcore.WriteError(f"Send failure: {why(error)}") from None

    async def aclose(self) -> None:
        """Close it."""
        self._job.tell("close", "", self._ends)
        if self._tls is not None and self._job.options.graceful:
            await close_both_ways(self._tls)
        await self._stream.aclose()

    def _begin_request(self) -> None:
        """Tell of a request that goes out by this connection."""
        line, self._network.announced = self._network.announced, ""
        job = self._network.job
        if job is not None:
            job.ends = self._ends
            job.tell("request", line)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Shake hands. Raises ClientError."""
        alpn = ("http/1.1",) if self._job.options.http == "1.1" else ("h2", "http/1.1")
        name = server_hostname or self._job.url.host
        tls = await start_tls(
            self._job, self._tcp, name, alpn=alpn, context=self._network.context()
        )
        return _Stream(self._job, self._tcp, self._network, tls)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's
        """Return what is asked for: what TLS agreed on, whether the server has gone, both ends."""
        match info:
            case "is_readable":
                return self._tcp.info().state.name != "ESTABLISHED"
            case "ssl_object":
                return None if self._tls is None else self._tls.ssl_object
            case "client_addr":
                return self._tcp.local_address
            case "server_addr":
                return self._tcp.remote_address
        return None


def _explained(error: Exception, *, has_heard: bool) -> ClientError:
    """Return curl's word for what httpcore met with."""
    text = str(error)
    if "without sending a response" in text or (text == "Server disconnected" and not has_heard):
        return ClientError(Status.NO_REPLY, "Empty reply from server")
    if "without sending complete message body" in text:
        found = _COUNTED.search(text)
        left = "outstanding read data"
        if found is not None:
            left = f"{int(found[2]) - int(found[1])} bytes"
        verb = "to read" if found is not None else ""
        sentence = f"transfer closed with {left} remaining {verb}".rstrip()
        return ClientError(Status.PARTIAL_FILE, sentence)
    if "illegal status line" in text:
        return ClientError(Status.UNSUPPORTED_PROTOCOL, "Received HTTP/0.9 when not allowed")
    if isinstance(error, httpcore.LocalProtocolError) and has_heard:  # so httpcore calls it
        return ClientError(Status.HTTP2_FRAMING, f"Error in the HTTP2 framing layer: {text}")
    if isinstance(error, httpcore.LocalProtocolError):
        return ClientError(Status.USAGE, f"no such request can be sent: {text}")
    if "error_code" in text or "StreamReset" in text:
        return ClientError(Status.HTTP2_ERROR, f"HTTP/2 stream was not closed cleanly: {text}")
    return ClientError(Status.WEIRD_REPLY, f"Weird server reply: {text}")
