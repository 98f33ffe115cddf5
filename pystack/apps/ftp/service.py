"""FTP as a service of a host."""

from __future__ import annotations

from typing import Final

import trio

from pystack.apps.base import Service
from pystack.apps.ftp.commands import COMMANDS
from pystack.apps.ftp.session import Session, Site
from pystack.apps.options import ServiceOptions
from pystack.apps.tls import optional_tls
from pystack.apps.tree import Tree
from pystack.runtime.host import Host


class FtpService(Service):
    """The files below a directory, by FTP."""

    name: Final = "ftp"
    tcp_port: Final = 21

    def __init__(self, options: ServiceOptions) -> None:
        """Raises ConfigError: there is no directory, a certificate that is of no use."""
        self._tree = Tree(options.needed_root(self.name), dotfiles=options.dotfiles)
        self._options = options
        self._tls = optional_tls(options)
        self._site: Site | None = None  # None: no host yet

    def use_host(self, host: Host) -> None:
        """Take the host that data connections are opened on."""
        if self._tls is not None:
            self._tls.use_host(host)
        self._site = Site(
            tree=self._tree,
            writable=self._options.writable,
            accounts=dict(self._options.accounts),
            host=host,
            host_name=self._options.host_name,
            counters=host.counters,
            tls=self._tls,
            commands=COMMANDS,
        )

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one session."""
        assert self._site is not None
        await Session(self._site, stream).run()
