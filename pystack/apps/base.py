"""What a service is: the base class of those that are built in and of plug-ins'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import trio

if TYPE_CHECKING:
    from pystack.runtime.host import Host

DATAGRAMS_IN_A_ROW: Final = 32  # more would keep others waiting for a millisecond


class SendingSocket(Protocol):
    """A bound UDP socket that sends what answers nothing."""

    def send_to_nowait(self, data: bytes, address: tuple[str, int]) -> None:
        """Send one datagram. Raises OSError."""
        ...

    def asked_at(self, peer: tuple[str, int]) -> str | None:
        """Return the address of ours that a peer wrote to; None: the one that he is sent from."""
        ...

    def send_many_to_nowait(self, datagrams: Sequence[bytes], address: tuple[str, int]) -> None:
        """Send all of them, for less than each by itself costs; or none, and raise OSError."""
        ...


class Service:
    """Answers on a TCP port, a UDP port, or both. One object serves all connections.

    A subclass needs its name, and a port with the method for it; everything else has a default.
    """

    @property
    def name(self) -> str:
        """What `--serve` takes."""
        raise NotImplementedError

    @property
    def scheme(self) -> str:
        """How URLs of it begin, where browsers have any: http, https, ftp."""
        return self.name

    # where it is served

    def use_host(self, host: Host) -> None:
        """Take the host that it is served on; called once, before anything is served.

        From here on files may be written: the process is who it is to be. Raises ConfigError.
        """

    def use_socket(self, socket: SendingSocket) -> None:
        """Take the socket of its UDP side, to send by itself; called once, before any datagram."""

    async def live(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run beside the serving; the ports are opened when it has said that it is `started`."""
        task_status.started()

    # TCP

    @property
    def tcp_port(self) -> int | None:
        """The usual port; None: there is no TCP side."""
        return None

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection. The caller closes the stream.

        May raise `trio.BrokenResourceError`: a peer that goes away is nothing special.
        """
        raise NotImplementedError

    # UDP

    @property
    def udp_port(self) -> int | None:
        """The usual port; None: there is no UDP side."""
        return None

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return the answer to one datagram, None for no answer. Must not block."""
        return None

    def shorten(self, answer: bytes) -> bytes | None:
        """Return a short answer that sends its reader to TCP; None: there is none.

        It is asked for instead of those that an address may have no more of, see
        `reflection.py`.
        """
        return None

    @property
    def answers_anything(self) -> bool:
        """Tell whether it answers whatever comes by UDP, and so could do so for ever.

        Then it is not asked about datagrams that seem to be from another such service.
        """
        return False

    @property
    def datagrams_in_a_row(self) -> int:
        """How many it answers before others run; fewer, if one takes more than some 30 us."""
        return DATAGRAMS_IN_A_ROW
