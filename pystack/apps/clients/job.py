"""One transfer to be done: what is asked for, with all that it needs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pystack.apps.clients.desk import Sink, Source, Talk
from pystack.apps.clients.transfer import Transfer
from pystack.apps.clients.url import Url
from pystack.core.errors import ConfigError
from pystack.runtime.host import Host
from pystack.runtime.names.zones import Version

# 'Name: value', 'Name:' or 'Name;', of a name that is a token (RFC 9110 section 5.6.2)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(?::[^\r\n\0]*|;[ \t]*)")


Ends = tuple[tuple[str, int], tuple[str, int]]  # addresses and ports: ours, the other's


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOptions:
    """curl(1)'s options, for all URLs of a command. Raises ConfigError for what cannot be."""

    method: str | None = None  # -X
    head: bool = False  # -I
    include: bool = False  # -i: the response's head goes where its body goes
    headers: tuple[str, ...] = ()  # -H, as they were said
    data: bytes | None = None  # -d; None: nothing is posted
    data_type: str = "application/x-www-form-urlencoded"
    user: str | None = None  # -u, "name:password"
    user_agent: str | None = None  # -A
    follow: bool = False  # -L
    max_redirects: int = 50
    fail: bool = False  # -f
    range_text: str | None = None  # -r
    compressed: bool = False
    http: str | None = None  # "1.1", "2", "2-prior-knowledge"; None: what TLS agrees on
    insecure: bool = False  # -k
    cacert: Path | None = None
    require_tls: bool = False  # --ssl-reqd, of FTP and SMTP
    trusted: tuple[Path, ...] = ()  # the world's own authorities, besides
    version: Version | None = None  # -4, -6
    connect_timeout_s: float = 300.0
    max_time_s: float | None = None
    graceful: bool = False  # the end of TLS is waited for from the other side too, as curl 8.10
    mail_from: str = ""
    mail_rcpt: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what does not go together."""
        if self.head and self.data is not None:
            raise ConfigError("-I asks for the head of a page, and -d posts something: say one")
        for line in self.headers:
            if not _HEADER.fullmatch(line):
                raise ConfigError(f"-H {line!r} is no header: it is 'Name: value'")
        if self.max_redirects < 0:
            raise ConfigError(f"--max-redirs {self.max_redirects}: a number is not below 0")
        for name, seconds in (
            ("--connect-timeout", self.connect_timeout_s),
            ("--max-time", self.max_time_s),
        ):
            if seconds is not None and not seconds > 0:
                raise ConfigError(f"{name} {seconds:g}: it must be longer than 0")


@dataclass(slots=True)
class Job:
    """One URL, and what comes of it."""

    host: Host
    url: Url
    options: GetOptions
    transfer: Transfer
    talk: Talk
    sink: Sink
    source: Source | None = None  # None: nothing is uploaded, and nothing said
    user: tuple[str, str] | None = field(init=False)  # None: nobody in particular
    ends: Ends | None = None  # of the connection that is in use; None: there is none yet

    def __post_init__(self) -> None:
        """Find out which user is to log in."""
        said = self.options.user
        if said is not None:
            name, _, password = said.partition(":")
            self.user = (name, password)
        elif self.url.user is not None:
            self.user = (self.url.user, self.url.password or "")
        else:
            self.user = None

    def now(self) -> float:
        """Return the world's time."""
        return self.host.now()

    def tell(self, what: str, detail: str = "", ends: Ends | None = None) -> None:
        """Tell whoever looks on that it has got somewhere: see `Milestone`.

        `ends`: of the connection that it is about; None: the one in use.
        """
        local, remote = ends or self.ends or (None, None)
        self.host.milestone(what, detail, local, remote)
