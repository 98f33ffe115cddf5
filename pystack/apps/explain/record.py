"""Recording: the laboratory is built, the client does its errand, and all of it is written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import trio

from pystack import TcpConfig
from pystack.apps.explain.doing import Errand, run
from pystack.apps.explain.laboratory import Laboratory, Line, build
from pystack.apps.explain.places import links_of, order_of, title_of
from pystack.apps.explain.serving import TLS_SCHEMES, keys_file, serve
from pystack.apps.explain.site import PAGE_BYTES
from pystack.apps.explain.target import Target, over, read_target
from pystack.apps.quiet import quiet_services
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.core.tcp_events import TcpStateChanged
from pystack.observe.observer import Event
from pystack.observe.recording import Recorder, Recording
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.driver.virtual import run as run_in_virtual_time
from pystack.runtime.host import Host
from pystack.runtime.names.zones import Version
from pystack.runtime.network import Network

SEED: Final = 1  # without another one, every run is the same
# For so long after the client is done the world runs on: until all connections have ended, of which
# TIME-WAIT takes the longest (twice 30 s).
_AFTERMATH_S: Final = 200.0
_VERSIONS: Final[Mapping[Version | None, Literal["4", "6", "both"]]] = {
    4: "4",
    6: "6",
    None: "both",
}
PROTOCOLS: Final = ("http/1.1", "h2", "tcp", "udp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that can be said of a run in the small laboratory. Raises ConfigError, ClientError."""

    url: str
    line: Line = field(default_factory=Line)
    version: Version | None = 4  # of IP; None: both are there
    protocol: str | None = None  # of PROTOCOLS; None: what is usual
    repeat: int = 1
    size_bytes: int = PAGE_BYTES  # of what is served
    post_bytes: int | None = None  # None: nothing is posted
    seed: int = SEED
    tcp: TcpConfig = field(default_factory=TcpConfig)

    @property
    def target(self) -> Target:
        """Return what is to be done. Raises ConfigError, ClientError."""
        target = read_target(self.url)
        if self.protocol in ("tcp", "udp"):
            target = over(target, self.protocol)
        elif self.protocol is not None:
            if self.protocol not in PROTOCOLS:
                hint = suggest(self.protocol, PROTOCOLS)
                raise ConfigError(f"there is no protocol {self.protocol!r}{hint}")
            if target.scheme not in ("http", "https"):
                raise ConfigError(f"{self.protocol} is for http and https, not {target.scheme}")
        return target


def record(url: str, line: Mapping[str, Any] | None = None, **words: Any) -> Recording:  # noqa: ANN401
    """Return what happens when a URL is fetched over a line with these words of tc-netem(8).

    The other words are those of `Asked`. Raises ConfigError, ClientError.
    """
    return record_asked(Asked(url=url, line=Line(words=line or {}), **words))


def record_asked(asked: Asked, recorder: Recorder | None = None) -> Recording:
    """Run it in virtual time, from the look-up of the name to the end of TIME-WAIT."""
    target = asked.target
    recorder = Recorder() if recorder is None else recorder
    with quiet_services(), _folder(target) as folder:
        recording = run_in_virtual_time(_run, asked, target, folder, recorder, seed=asked.seed)
        if target.scheme in TLS_SCHEMES and folder is not None:
            recording.secrets = keys_file(folder).read_text("ascii")
        return recording


@contextmanager
def _folder(target: Target) -> Iterator[Path | None]:
    """Have a directory for files where some are needed."""
    if target.scheme != "ftp" and target.scheme not in TLS_SCHEMES:
        yield None
        return
    with TemporaryDirectory(prefix="pystack-") as name:
        yield Path(name)


async def _run(asked: Asked, target: Target, folder: Path | None, recorder: Recorder) -> Recording:
    version = target.version or asked.version
    async with Network(seed=asked.seed, ip=_VERSIONS[version]) as net:
        laboratory = build(net, target, asked.line, version=version, tcp=asked.tcp)
        await laboratory.resolver
        await serve(laboratory.server, target, asked.size_bytes, folder)
        net.observe(recorder)
        ends = _Ends(net)
        began_at = net.now()
        errand = Errand(
            target=target,
            version=version,
            http={"http/1.1": "1.1", "h2": "2"}.get(asked.protocol or ""),
            repeat=asked.repeat,
            post_bytes=asked.post_bytes,
            folder=folder,
        )
        outcome = await laboratory.client.run(run, laboratory.client, errand)
        await ends.wait()
        return _recording(recorder, laboratory, target, began_at, outcome)


class _Ends:
    """An observer that lets a task wait until no connection is left."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._waiter = Waiter(net.driver)
        net.observe(self)

    def on_event(self, event: Event) -> None:
        """Look again when a connection has ended."""
        if isinstance(event, TcpStateChanged) and event.new == "CLOSED":
            self._waiter.wake()

    async def wait(self) -> None:
        """Let the world run on until all have ended, but not for ever."""
        with trio.move_on_after(_AFTERMATH_S):
            while any(host.tcp.time_waits.records or [*host.tcp] for host in self._hosts()):
                await self._waiter.wait()

    def _hosts(self) -> Iterator[Host]:
        yield from self._net.hosts.values()


def _recording(
    recorder: Recorder, laboratory: Laboratory, target: Target, began_at: float, outcome: str
) -> Recording:
    """Return what was recorded, with who is who."""
    net, client, items = laboratory.net, laboratory.client.name, recorder.items()
    server = laboratory.resolver if target.scheme == "dns" else laboratory.server
    return Recording(
        items=items,
        names=net.topology.names_by_address(),
        order=order_of(net, client, server.name),
        began_at=began_at,
        left_out=recorder.left_out,
        title=title_of(target.text, items),
        outcome=outcome,
        client=client,
        server=server.name,
        links=links_of(net),
    )
