"""Recording: the laboratory is built, the client does its errand, and all of it is written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal

import trio

from pystack.apps.explain.asked import Asked
from pystack.apps.explain.doing import Errand, run
from pystack.apps.explain.laboratory import Line, build
from pystack.apps.explain.places import recorder_of, recording_of, title_of
from pystack.apps.explain.serving import TLS_SCHEMES, keys_file, serve
from pystack.apps.quiet import quiet_services
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.core.tcp_events import TcpStateChanged
from pystack.observe.observer import Event
from pystack.observe.recording import Recording
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.driver.virtual import run as run_in_virtual_time
from pystack.runtime.network import Network

if TYPE_CHECKING:
    from pystack.apps.explain.target import Target
    from pystack.runtime.host import Host
    from pystack.runtime.names.zones import Version

# For so long after the client is done the world runs on: until all connections have ended, of which
# TIME-WAIT takes the longest (twice 30 s).
_AFTERMATH_S: Final = 200.0
# Said at the head of each story: the URL looks like one of the Internet.
SETTING: Final = "In the laboratory, in virtual time; nothing left this machine."
_Versions = Literal["4", "6", "both"]
_VERSIONS: Final[Mapping[Version | None, _Versions]] = {4: "4", 6: "6", None: "both"}


def record(url: str, line: Mapping[str, Any] | None = None, **words: Any) -> Recording:  # noqa: ANN401
    """Return what happens when a URL is fetched over a line with these words of tc-netem(8).

    The other words are those of `Asked`, and `preset` and `mtu_bytes` of the line. ConfigError.
    """
    of_line = {word: words.pop(word) for word in ("preset", "mtu_bytes") if word in words}
    return record_asked(Asked(url=url, line=Line(words=line or {}, **of_line), **words))


def record_asked(asked: Asked) -> Recording:
    """Run it in virtual time, from the look-up of the name to the end of TIME-WAIT. ConfigError."""
    target = asked.target
    with quiet_services(), _folder(target) as folder:
        recording = run_in_virtual_time(_in_laboratory, asked, target, folder, seed=asked.seed)
        if target.scheme in TLS_SCHEMES and folder is not None:
            recording.secrets = keys_file(folder).read_text("ascii")
        return recording


async def record_on(net: Network, client: str, asked: Asked) -> Recording:
    """Do the errand on a host of a network that is there, with all that it has. ConfigError."""
    target = asked.target
    _check_there(net, client, target)
    errand = _errand(asked, target, asked.version, None)
    return await _done(net, net.hosts[client], errand, _server_of(net, target))


@contextmanager
def _folder(target: Target) -> Iterator[Path | None]:
    """Have a directory for files where some are needed."""
    if target.scheme != "ftp" and target.scheme not in TLS_SCHEMES:
        yield None
        return
    with TemporaryDirectory(prefix="pystack-") as name:
        yield Path(name)


async def _in_laboratory(asked: Asked, target: Target, folder: Path | None) -> Recording:
    version = target.version or asked.version
    async with Network(seed=asked.seed, ip=_VERSIONS[version]) as net:
        laboratory = build(net, target, asked.line, version=version, tcp=asked.tcp)
        await laboratory.resolver
        await serve(laboratory.server, target, asked.size_bytes, folder)
        if asked.pcap is not None:
            from pystack.observe.captures.pcap import is_classic  # with both writers of captures

            net.capture(asked.pcap, secrets=not is_classic(asked.pcap))
        errand = _errand(asked, target, version, folder)
        wanted = laboratory.resolver if target.scheme == "dns" else laboratory.server
        recording = await _done(net, laboratory.client, errand, wanted.name)
        recording.setting = SETTING
        return recording


def _errand(asked: Asked, target: Target, version: Version | None, folder: Path | None) -> Errand:
    return Errand(
        target=target,
        version=version,
        http={"http/1.1": "1.1", "h2": "2"}.get(asked.protocol or ""),
        repeat=asked.repeat,
        post_bytes=asked.post_bytes,
        insecure=asked.insecure,
        folder=folder,
    )


async def _done(net: Network, client: Host, errand: Errand, server: str) -> Recording:
    """Do the errand, and return what was seen of it until all connections had ended."""
    recorder = recorder_of(net)
    ends = _Ends(net)
    began_at = net.now()
    outcome = await client.run(run, client, errand)
    await ends.wait()
    title = title_of(errand.target.text, recorder.items())
    return recording_of(
        net, recorder, client.name, server, began_at=began_at, title=title, outcome=outcome
    )


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


def _check_there(net: Network, client: str, target: Target) -> None:
    """Raise ConfigError where the network has nobody that could be meant."""
    wanted = target.server if target.scheme == "dns" else target.host
    asks = net.hosts[client].dns is not None and target.scheme != "dns"
    if not asks and net.topology.address_of(wanted) is None and not net.has_node(wanted):
        hint = suggest(wanted, net.hosts)
        raise ConfigError(f"{target.text}: the lab has no host {wanted!r}{hint}")


def _server_of(net: Network, target: Target) -> str:
    """Return the node that something is wanted of; "": it is not known yet."""
    wanted = target.server if target.scheme == "dns" else target.host
    return wanted if net.has_node(wanted) else net.topology.names_by_address().get(wanted, "")
