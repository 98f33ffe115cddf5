"""SMTP as a service of a host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import trio

from pystack.apps.base import Service
from pystack.apps.limits import DEFAULT_SMTP_LIMITS, SmtpLimits
from pystack.apps.options import ServiceOptions
from pystack.apps.smtp.delivery import MaildirStore, MemoryStore
from pystack.apps.smtp.maildir import NAME, Maildir
from pystack.apps.smtp.message import Message
from pystack.apps.smtp.server import Room, Server, StartTls
from pystack.apps.smtp.session import ANYBODY, Policy
from pystack.apps.smtp.syntax import (
    SyntaxTroubleError,
    canonical_literal,
    literal_of,
)
from pystack.apps.tls import TlsServer, optional_tls
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.runtime.host import Host


class SmtpService(Service):
    """Takes mail for the host and sends none on.

    With `root` messages go into the Maildir there; else the last ones stay in `messages`.
    """

    name: Final = "smtp"
    tcp_port: Final = 25

    def __init__(self, options: ServiceOptions, limits: SmtpLimits = DEFAULT_SMTP_LIMITS) -> None:
        """Raises ConfigError."""
        self._memory = MemoryStore(limits.kept_bytes, limits.kept_messages)
        # None: messages stay in memory
        self._maildir = None if options.root is None else Maildir(options.root, options.host_name)
        policy = Policy(
            host_name=options.host_name,
            domains=frozenset([options.host_name.lower(), *map(_domain, options.mail_for)])
            | _literals(options.addresses),
            size_bytes=limits.size_bytes,
            max_recipients=limits.recipients,
            max_errors=limits.errors,
        )
        tls = optional_tls(options)
        self._tls = tls  # None: there is no STARTTLS
        self._server = Server(
            policy=policy,
            limits=limits,
            store=self._memory if self._maildir is None else MaildirStore(self._maildir),
            utc_now=options.utc_now,
            counters=Counters(),
            room=Room(limits.held_bytes),
            start_tls=None if tls is None else _starter(tls),
        )

    @property
    def messages(self) -> list[Message]:
        """Those that are in memory, in the order of their coming; they may be taken out.

        Within `SmtpLimits.kept_bytes` and `kept_messages`: the oldest are forgotten.
        """
        return self._memory.messages

    def use_host(self, host: Host) -> None:
        """Take mail for its addresses too, and see that there is a Maildir. Raises ConfigError."""
        server = self._server
        server.counters = host.counters
        if self._tls is not None:
            self._tls.use_host(host)
        domains = server.policy.domains | _literals(host.addresses)
        server.policy = replace(server.policy, domains=domains)
        if self._maildir is not None:
            try:
                self._maildir.prepare()
            except OSError as error:
                raise ConfigError(f"there can be no {NAME}: {error}") from error

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection."""
        await self._server.serve(stream)


def _starter(tls: TlsServer) -> StartTls:
    async def start(
        stream: trio.abc.HalfCloseableStream, received: bytes
    ) -> trio.abc.HalfCloseableStream:
        return await tls.accept(stream, received=received)

    return start


def _literals(addresses: Iterable[str]) -> frozenset[str]:
    return frozenset(map(literal_of, addresses))


def _domain(text: str) -> str:
    """Return a domain whose mail is taken as addresses are compared with it. Raises ConfigError."""
    try:
        if text.startswith("["):
            return canonical_literal(text)
        # Not the same as in HELO: a domain may have other letters than ASCII's.
        if text == ANYBODY or (text and not set(text) & set("@<>[] *") and text.isprintable()):
            return text.lower()
    except SyntaxTroubleError:
        pass
    raise ConfigError(f"{text!r} is not a domain whose mail could be accepted; '*' is any")
