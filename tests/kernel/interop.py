"""A host of ours and the kernel, in one process on one TAP: both ends of a connection at hand.

The whole run is inside of the test's namespace, so that a socket of Python's own is the kernel's,
and one of the host is ours. Time is real; everything is small and bounded.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import trio
from netns import NetworkNamespace

from pystack import Host, TcpStream
from pystack.runtime.device.tap_config import TapHostConfig
from pystack.runtime.device.tap_host import tap_host
from pystack.tcp.config import TcpLimits

OURS: Final = "10.77.0.2"
KERNEL: Final = "10.77.0.1"
PORT: Final = 7000
TIMEOUT_S: Final = 120.0  # a busy machine loses no more, but each repair takes it longer


def pattern(size: int, salt: int) -> bytes:
    """Return bytes that are not the same anywhere near."""
    return b"".join((salt + at * at).to_bytes(8, "big") for at in range(size // 8 + 1))[:size]


Ends = tuple[TcpStream, trio.SocketStream]
Opened = Callable[[Host], AbstractAsyncContextManager[Ends]]
UPLOAD: Final = pattern(1_000_000, 1)  # from us to the kernel
DOWNLOAD: Final = pattern(1_000_000, 2)


@dataclass(slots=True)
class KernelInfo:
    """One connection as `ss -tinmo` on the kernel's side shows it."""

    words: frozenset[str]  # "ts", "sack", "ecn", ...
    values: Mapping[str, str]  # "mss": "1448", ...

    def number(self, name: str) -> int:
        """Return a value, 0 where it is not shown (as ss does with a zero)."""
        return int(self.values.get(name, "0"))

    @property
    def shifts(self) -> tuple[int, int] | None:
        """Return the kernel's (send, receive) window shifts; None: no scaling."""
        found = self.values.get("wscale")
        if found is None:
            return None
        send, receive = found.split(",")
        return int(send), int(receive)


def run_with_kernel(
    netns: NetworkNamespace,
    program: Callable[[Host], Awaitable[None]],
    *,
    sysctls: Mapping[str, int | str] | None = None,
    settings: Mapping[str, Any] | None = None,  # of our TcpConfig
    limits: TcpLimits | None = None,
    words: Mapping[str, object] | None = None,  # netem's, on the way in both directions
    offload: bool = True,
) -> None:
    """Run a program beside a host of ours on tap0."""
    for name, value in (sysctls or {}).items():
        netns.run(["tee", f"/proc/sys/net/ipv4/{name}"], data=str(value).encode())

    async def main() -> None:
        config = TapHostConfig("tap0", seed=11, offload=offload, words=words)
        with trio.fail_after(TIMEOUT_S):
            async with tap_host(config) as host:
                host.tcp.config = replace(host.tcp.config, **(settings or {}))
                host.tcp.limits = limits or TcpLimits()
                try:
                    await program(host)
                except Exception as error:  # out of here it would come as a group
                    failures.append(error)
                counters.update(host.counters)

    failures: list[Exception] = []
    counters: dict[str, int] = {}
    with netns.entered():
        trio.run(main)
    for failure in failures:
        raise failure
    assert "tcp_bad_checksum" not in counters
    # Nor has the kernel found anything wrong with what we sent; a SYN-ACK that comes again, when
    # its ACK was lost or found no place, counts as an error there (RFC 5961's challenge).
    counts = kernel_counts(netns, "snmp", "Tcp:")
    challenges = kernel_counts(netns, "netstat", "TcpExt:")["TCPSYNChallenge"]
    assert (counts["InErrs"], counts["InCsumErrors"]) == (challenges, 0)


def kernel_counts(netns: NetworkNamespace, file: str, title: str) -> dict[str, int]:
    """Read one table of counters in /proc/net: a line of names, a line of numbers."""
    lines = netns.run(["cat", f"/proc/net/{file}"]).stdout.decode().splitlines()
    names, numbers = (line.split()[1:] for line in lines if line.startswith(title))
    return {name: int(number) for name, number in zip(names, numbers, strict=True)}


@asynccontextmanager
async def opened_by_kernel(host: Host) -> AsyncIterator[Ends]:
    """Let the kernel connect to us; give our end and its."""
    (listener,) = await host.open_tcp_listeners(PORT)
    async with listener:
        theirs = await trio.open_tcp_stream(OURS, PORT)
        ours = await listener.accept()
    async with ours, theirs:
        yield ours, theirs


@asynccontextmanager
async def opened_by_us(host: Host) -> AsyncIterator[Ends]:
    """Connect to the kernel; give our end and its."""
    (listener,) = await trio.open_tcp_listeners(PORT, host=KERNEL)
    async with listener:
        ours = await host.open_tcp_stream(KERNEL, PORT)
        theirs = await listener.accept()
    async with ours, theirs:
        yield ours, theirs


async def transfer(
    ours: TcpStream, theirs: trio.SocketStream, *, bytes_each: int = 400_000
) -> None:
    """Send both ways at once, and see that all of it arrives; both streams stay open."""
    upload, download = UPLOAD[:bytes_each], DOWNLOAD[:bytes_each]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.send_all, upload)
        nursery.start_soon(theirs.send_all, download)
        nursery.start_soon(_receive, theirs, upload)
        nursery.start_soon(_receive, ours, download)
    # The last ACK is delayed, and nobody tells of it.
    while ours.info().flight_size_bytes:  # noqa: ASYNC110
        await trio.sleep(0.005)


async def _receive(stream: trio.abc.ReceiveStream, expected: bytes) -> None:
    received = bytearray()
    while len(received) < len(expected):
        data = await stream.receive_some()
        assert data, f"the end after {len(received)} of {len(expected)} bytes"
        received += data
    assert received == expected


async def close_both(ours: TcpStream, theirs: trio.SocketStream) -> None:
    """End both directions in good order, and see each end of data."""
    await ours.send_eof()
    assert await theirs.receive_some() == b""
    await theirs.aclose()
    assert await ours.receive_some() == b""
    await ours.aclose()


def kernel_info(netns: NetworkNamespace) -> KernelInfo:
    """Ask ss about the one connection there is."""
    text = netns.run(["ss", "-tinmoH", "dst", OURS]).stdout.decode()
    words = text.split()
    assert words.count("ESTAB") == 1, text
    values = dict(word.split(":", 1) for word in words if re.match(r"[a-z_]+:[\d.,/]+$", word))
    return KernelInfo(frozenset(words), values)
