"""From a name to a connection, and to TLS on it: the steps that curl shows, at their instants."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - `getaddrinfo` asks for it when it may be too late
import errno
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

import trio

from pystack.apps.clients.job import GetOptions, Job
from pystack.apps.clients.trouble import ClientError, Status
from pystack.apps.tls_stream import HandshakeTimeoutError, TlsError, TlsStream, tls_client
from pystack.core.addresses import host_port
from pystack.runtime.names.resolver import FAMILIES, text_of
from pystack.runtime.streams import TcpStream

_Names = tuple[tuple[tuple[str, str], ...], ...]  # of a subject, as `getpeercert` has it

# Where a name has several addresses, none but the last may take all of the time that there is.
_SHARE: Final = 0.5
_GOODBYE_S: Final = 2.0
_CIPHERS: Final = (
    "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
)


async def look_up(job: Job, name: str, *, is_first: bool = True) -> list[str]:
    """Return the addresses of a name, best first. Raises ClientError."""
    family = FAMILIES[job.options.version]
    try:
        found = await trio.socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise ClientError(Status.UNKNOWN_HOST, f"Could not resolve host: {name}") from None
    if is_first:
        job.transfer.mark("namelookup", job.now())
    return list(dict.fromkeys(text_of(entry[4]) for entry in found))


async def connect(job: Job, name: str, port: int, *, is_first: bool = True) -> TcpStream:
    """Connect to a name, to one of its addresses after the other. Raises ClientError.

    `is_first`: the transfer's instants are of this connection, and not of one that came before.
    """
    began_at, options = job.now(), job.options
    with trio.move_on_after(options.connect_timeout_s):
        addresses = await look_up(job, name, is_first=is_first)
        stream = await _connect_to_any(job, name, port, addresses)
        job.transfer.num_connects += 1
        ends = stream.local_address, stream.remote_address
        job.tell("connected", "", ends)
        if is_first:
            job.ends = ends
            job.transfer.mark("connect", job.now())
            job.transfer.connected(stream.local_address, stream.remote_address)
        address = stream.remote_address[0]
        number = job.transfer.num_connects - 1
        job.talk.note(f"Connected to {name} ({address}) port {port} (#{number})")
        return stream
    raise _timed_out(name, port, job.now() - began_at)


async def _connect_to_any(job: Job, name: str, port: int, addresses: Sequence[str]) -> TcpStream:
    began_at, error = job.now(), OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    left_s = job.options.connect_timeout_s
    for address in addresses:
        shown = host_port(address, port)
        job.talk.note(f"  Trying {shown}...")
        job.host.milestone("connect", shown)
        share_s = left_s if address == addresses[-1] else left_s * _SHARE
        with trio.move_on_after(share_s):
            try:
                return await job.host.open_tcp_stream(address, port)
            except OSError as failed:
                error = failed
            text = os.strerror(error.errno) if error.errno else str(error)
            job.talk.note(f"connect to {address} port {port} failed: {text}")
            job.host.milestone("connect_failed", f"{shown}:{port}: {text}")
        left_s = job.options.connect_timeout_s - (job.now() - began_at)
    took_ms = round(1000 * (job.now() - began_at))
    if isinstance(error, TimeoutError):
        raise _timed_out(name, port, job.now() - began_at)
    text = f"Failed to connect to {name} port {port} after {took_ms} ms: Couldn't connect to server"
    raise ClientError(Status.CANNOT_CONNECT, text)


async def start_tls(
    job: Job,
    stream: TcpStream,
    name: str,
    *,
    alpn: Sequence[str] = (),
    context: ssl.SSLContext | None = None,
    is_first: bool = True,
) -> TlsStream:
    """Shake hands; the other end has to be `name`. Raises ClientError; then nothing is left."""
    context = client_context(job.options) if context is None else context
    if alpn:
        context.set_alpn_protocols(list(alpn))
        job.talk.note(f"ALPN: offers {','.join(alpn)}")
    timeout_s = job.options.connect_timeout_s
    ends = stream.local_address, stream.remote_address
    job.tell("tls_begin", f"{name} ALPN {' '.join(alpn)}" if alpn else name, ends)
    try:
        tls = await tls_client(stream, context, name, timeout_s=timeout_s)
    except BaseException as error:
        stream.abort()
        if isinstance(error, TlsError | trio.BrokenResourceError):
            failed = _tls_failed(error, name, timeout_s)
            job.tell("tls_failed", str(failed), ends)
            raise failed from None
        raise
    job.tell("tls_done", _agreed(tls.ssl_object), ends)
    if is_first:
        job.transfer.mark("appconnect", job.now())
    _tell_tls(job, tls.ssl_object, asked_alpn=bool(alpn))
    return tls


async def close_both_ways(tls: TlsStream) -> None:
    """Say that no more comes, and wait for the other side to say so, but not for long.

    Who closes at once answers that word with a reset.
    """
    with trio.move_on_after(_GOODBYE_S), suppress(trio.BrokenResourceError):
        await tls.send_eof()
        while await tls.receive_some():
            pass


def client_context(options: GetOptions) -> ssl.SSLContext:
    """Return whom to trust, and how. Raises ClientError."""
    try:
        context = ssl.create_default_context(
            cafile=None if options.cacert is None else str(options.cacert)
        )
        for path in options.trusted:
            context.load_verify_locations(str(path))
        # As Python has them where no distribution has changed that: a hello is the same everywhere.
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
    except (OSError, ssl.SSLError) as error:
        what = options.cacert or options.trusted
        raise ClientError(
            Status.BAD_CA_FILE, f"error setting certificate file: {what}: {error.strerror}"
        ) from None
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _agreed(tls: ssl.SSLObject) -> str:
    """Return what a handshake has agreed on: "TLSv1.3 TLS_AES_256_GCM_SHA384 ALPN h2"."""
    cipher, _, _ = tls.cipher() or ("?", "", 0)
    alpn = tls.selected_alpn_protocol()
    words = [tls.version() or "?", cipher, *(("ALPN", alpn) if alpn else ())]
    return " ".join([*words, *(("resumed",) if tls.session_reused else ())])


def _tell_tls(job: Job, tls: ssl.SSLObject, *, asked_alpn: bool) -> None:
    version, (cipher, _, _) = tls.version(), tls.cipher() or ("?", "", 0)
    job.talk.note(f"SSL connection using {version} / {cipher}")
    agreed = tls.selected_alpn_protocol()
    if agreed is not None:
        job.talk.note(f"ALPN: server accepted {agreed}")
    elif asked_alpn:
        job.talk.note("ALPN: server did not agree on a protocol. Uses default.")
    certificate = tls.getpeercert() or {}
    if not certificate:
        job.talk.note(" SSL certificate is not verified, continuing anyway.")
        return
    job.talk.note("Server certificate:")
    for key in ("subject", "issuer"):
        parts = cast("_Names", certificate.get(key, ()))
        names = [f"{kind}={value}" for part in parts for kind, value in part]
        job.talk.note(f" {key}: {'; '.join(names)}")
    job.talk.note(f" start date: {certificate.get('notBefore', '')}")
    job.talk.note(f" expire date: {certificate.get('notAfter', '')}")
    job.talk.note(" SSL certificate verify ok.")


def _tls_failed(
    error: TlsError | trio.BrokenResourceError, name: str, timeout_s: float
) -> ClientError:
    if isinstance(error, HandshakeTimeoutError):
        took_ms = round(1000 * timeout_s)
        text = f"SSL connection timeout after {took_ms} milliseconds"
        return ClientError(Status.TIMED_OUT, text)
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        if "ostname mismatch" in cause.verify_message or "IP address mismatch" in (
            cause.verify_message
        ):
            text = f"SSL: no alternative certificate subject name matches target host name '{name}'"
            return ClientError(Status.BAD_CERTIFICATE, text)
        text = f"SSL certificate problem: {cause.verify_message}"
        return ClientError(Status.BAD_CERTIFICATE, text)
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or "it failed").lower().replace("_", " ")
        return ClientError(Status.TLS_FAILED, f"SSL connect error: {reason}")
    return ClientError(Status.TLS_FAILED, "SSL connect error: the server ended the connection")


def _timed_out(name: str, port: int, took_s: float) -> ClientError:
    after = f"after {round(1000 * took_s)} ms: Timeout was reached"
    return ClientError(Status.TIMED_OUT, f"Failed to connect to {name} port {port} {after}")
