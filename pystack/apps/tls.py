"""Who a server is to those who come with TLS: its certificate, and the handshakes.

The certificate is the user's, or one is made: then each host of a run has one, signed by an
authority that lives as long as the run, and whose certificate is written where the user says. The
keys of both stay in memory.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import ssl
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from pystack.apps.options import ServiceOptions, TlsOptions
from pystack.apps.tls_stream import (
    HANDSHAKE_S,
    ClearTextError,
    HandshakeTimeoutError,
    TlsError,
    TlsInfo,
    TlsStream,
    in_words,
    tls_client,
)
from pystack.apps.world import of_this_run
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.idna import to_ascii
from pystack.core.opening import flag, open_unfollowed
from pystack.runtime.key_log import key_log

if TYPE_CHECKING:
    import trustme

    from pystack.runtime.host import Host

__all__ = ["ClearTextError", "TlsError", "TlsInfo", "TlsServer", "TlsStream", "tls_client"]

# RFC 1123 section 2.1, with a star for all names of one more label
_NAME: Final = re.compile(r"(?:\*\.)?(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_log: Final = logging.getLogger("pystack.apps")


class TlsServer:
    """What a service needs to take TLS connections: one object for all of them."""

    def __init__(self, options: ServiceOptions, *, alpn: Sequence[str] = ()) -> None:
        """Read the certificate, or find out whether one could be made. Raises ConfigError.

        `alpn`: the protocols that are spoken inside, the best first.
        """
        self._tls = options.tls
        self._alpn = tuple(alpn)
        self._counters = Counters()
        self._names = _names(options)
        self._context: ssl.SSLContext | None = None  # None: `use_host` has to make the certificate
        self._is_ready = False
        self._title = f"{options.host_name} {' '.join(options.addresses)}"
        self._place = next(iter(options.addresses), options.host_name)
        if self._tls.certificate is not None:
            self._context = _context()
            _load(self._context, self._tls)
        else:
            need("trustme", "TLS without a certificate of your own")

    @property
    def advice(self) -> str | None:
        """Return how to trust what was made here, in one line; None: that is the user's affair."""
        if self._tls.certificate is not None:
            return None
        place = f"[{self._place}]" if ":" in self._place else self._place
        if self._tls.ca is None:
            return "the certificate is signed by an authority of this run; --ca FILE writes it"
        return f"trust it with: curl --cacert {self._tls.ca} https://{place}/"

    def use_host(self, host: Host) -> None:
        """Get ready to be asked; the process is who it is to be. Raises ConfigError."""
        self._counters = host.counters
        self._prepare()

    async def accept(
        self,
        stream: trio.abc.HalfCloseableStream,
        *,
        received: bytes = b"",
        timeout_s: float = HANDSHAKE_S,
        tickets: bool = True,
    ) -> TlsStream:
        """Begin TLS as the server. `received`: what has been read already beyond STARTTLS.

        There must be nothing of it: what came in clear may be somebody else's on the way, and is
        not to be taken for what came by TLS. Raises TlsError, BrokenResourceError, and
        ClearTextError, with what was received, where the other end does not speak TLS at all. The
        stream stays the caller's to close then.

        `tickets`: give the client what it can resume the session with. In TLS 1.3 that comes after
        the handshake; a client that only sends, and closes without having read it, resets the
        connection, and what it has sent last is lost.
        """
        counters = self._counters
        if received:
            counters.add("tls_clear_text_injected")
            raise TlsError("something came in clear after the command that begins TLS")
        self._prepare()
        assert self._context is not None
        key_log().note(self._context, self._tls.keylog)
        usual = self._context.num_tickets
        self._context.num_tickets = usual if tickets else 0  # each connection takes it at its start
        tls = TlsStream(stream, self._context, server_side=True, counters=counters)
        self._context.num_tickets = usual
        try:
            await tls.do_handshake(timeout_s)
        except ClearTextError:
            counters.add("tls_clear_text")
            raise
        except HandshakeTimeoutError:
            counters.add("tls_handshakes_timed_out")
            raise
        except TlsError:
            counters.add("tls_handshakes_failed")
            raise
        counters.add("tls_handshakes")
        if tls.tls.is_resumed:
            counters.add("tls_sessions_resumed")
        return tls

    def _prepare(self) -> None:
        if self._is_ready:
            return
        if self._context is None:
            self._context = _context()
            made = of_this_run(_made, _Made)
            leaf = made.certificate(self._title, self._names, self._tls.ca)
            _load_pem(self._context, leaf)
        if self._alpn:
            self._context.set_alpn_protocols(list(self._alpn))
        if self._tls.keylog is not None:
            _log_keys(self._context, self._tls.keylog)
        self._is_ready = True


def optional_tls(options: ServiceOptions) -> TlsServer | None:
    """Return what starts TLS on a clear-text connection at the client's request. ConfigError.

    None: a library is missing, and nobody has said a word of TLS.
    """
    if options.tls == TlsOptions() and find_spec("trustme") is None:
        return None
    return TlsServer(options)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Compression gives secrets away by its size (CRIME); to negotiate anew costs the server alone.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


class _Made:
    """The authorities and certificates that were made in one Trio run."""

    def __init__(self) -> None:
        self._authorities: dict[Path | None, trustme.CA] = {}  # by where they are written
        self._leaves: dict[tuple[str, tuple[str, ...], Path | None], bytes] = {}

    def certificate(self, host: str, names: tuple[str, ...], ca: Path | None) -> bytes:
        """Return key, certificate and chain of a host in PEM, the same for all its services."""
        key = (host, names, ca)
        if key not in self._leaves:
            leaf = self._authority(ca).issue_cert(*names)
            self._leaves[key] = leaf.private_key_and_cert_chain_pem.bytes()
        return self._leaves[key]

    def _authority(self, path: Path | None) -> trustme.CA:
        if path not in self._authorities:
            import trustme

            authority = trustme.CA(organization_name="pystack")
            if path is not None:
                with _ours("ca", path, os.O_TRUNC, 0o666) as descriptor:
                    os.write(descriptor, authority.cert_pem.bytes())
            self._authorities[path] = authority
        return self._authorities[path]


_made: Final[trio.lowlevel.RunVar[_Made]] = trio.lowlevel.RunVar("pystack.apps.tls")


def _names(options: ServiceOptions) -> tuple[str, ...]:
    """Return for whom the certificate is made, or check that nobody asks for one."""
    tls = options.tls
    if tls.certificate is not None:
        for word, value in (("ca", tls.ca), ("names", tls.names)):
            if value:
                raise ConfigError(f"{word} is for a certificate that is made here; one was given")
        return ()
    if tls.key is not None:
        raise ConfigError(f"key {tls.key} is given without its certificate")
    names = [*options.addresses, options.host_name, *tls.names]
    if "localhost" not in names:
        names.append("localhost")
    return tuple(dict.fromkeys(_identity(name) for name in names))


def _identity(name: str) -> str:
    """Return a name or an address as a certificate has it."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        star, dot, rest = name.rpartition("*.")
        ascii_name = star + dot + to_ascii(rest.rstrip(".")).lower()
    except ValueError:
        ascii_name = ""
    if len(ascii_name) > 253 or not _NAME.fullmatch(ascii_name):
        raise ConfigError(f"no certificate can be made for {name!r}: that is not a host's name")
    return ascii_name


def _load(context: ssl.SSLContext, tls: TlsOptions) -> None:
    """Load the certificate that was given. Raises ConfigError."""
    certificate = tls.certificate
    assert certificate is not None
    key = certificate if tls.key is None else tls.key
    for path, mark, what in (
        (certificate, b"-----BEGIN CERTIFICATE-----", "certificate"),
        (key, b"PRIVATE KEY-----", "private key"),
    ):
        try:
            text = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{what} {path} cannot be read: {error.strerror}") from error
        if mark not in text:
            raise ConfigError(f"there is no {what} in PEM in {path}")

    def on_password() -> str:
        raise ConfigError(f"the private key in {key} is encrypted; decrypt it first")

    try:
        context.load_cert_chain(certificate, key, on_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"certificate {certificate} and key {key} cannot be used: {in_words(error)}"
        ) from error


def _load_pem(context: ssl.SSLContext, pem: bytes) -> None:
    """Load a key and its certificates, which OpenSSL takes from files alone."""
    with _file_in_memory(pem) as path:
        context.load_cert_chain(path)


@contextmanager
def _file_in_memory(data: bytes) -> Iterator[str]:
    """Give a path to `data`: of nothing on a disk where that is possible, else for us alone."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pystack", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            path = f"/proc/self/fd/{descriptor}"
            if os.access(path, os.R_OK):
                yield path
                return
        finally:
            os.close(descriptor)
    with tempfile.NamedTemporaryFile(prefix="pystack-") as file:  # mode 0600
        file.write(data)
        file.flush()
        yield file.name


def _log_keys(context: ssl.SSLContext, path: Path) -> None:
    """Write the secrets of every connection to a file that is the user's alone to read."""
    with _ours("keylog", path, os.O_APPEND, 0o600) as descriptor:
        again = f"/proc/self/fd/{descriptor}"  # the very file that was looked at
        context.keylog_filename = again if os.path.exists(again) else str(path)


@contextmanager
def _ours(what: str, path: Path, flags: int, mode: int) -> Iterator[int]:
    """Open a file to be written that is nobody else's: they would read the secrets, or say whom we
    trust. Raises ConfigError, also for what fails while it is open.
    """
    try:
        flags |= os.O_WRONLY | os.O_CREAT | flag("O_CLOEXEC")
        descriptor = open_unfollowed(str(path), flags & ~os.O_TRUNC, mode)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
                    raise ConfigError(f"{what} {path} belongs to another user")
                if flags & os.O_TRUNC:
                    os.ftruncate(descriptor, 0)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be written: {error.strerror}") from error
