"""A real command in a network namespace, and what it did to a network of ours."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import trio

from pystack.apps.explain.places import recorder_of, recording_of
from pystack.apps.hosting import serve
from pystack.apps.quiet import quiet_services
from pystack.core.errors import ConfigError
from pystack.observe.captures.pcap import is_classic
from pystack.observe.explain.own_accord import is_of_own_accord
from pystack.observe.passage import Passage
from pystack.observe.reading import read
from pystack.observe.recording import Recording
from pystack.runtime.driver.driver import wall_clock_offset_s
from pystack.runtime.driver.exception_groups import unwrapped
from pystack.runtime.lab.attach import Namespace
from pystack.runtime.network import Network

if TYPE_CHECKING:
    from pystack.observe.recording import Item
    from pystack.runtime.host import Host

CLIENT: Final = "client"
SERVER: Final = "server"
SERVICES: Final = ("http", "https", "echo", "smtp", "dns")
_CLIENT_AT: Final = ("10.77.0.1/24", "fd00:77::1/64")
_SERVER_AT: Final = ("10.77.0.2/24", "fd00:77::2/64")
_TAIL_S: Final = 2.0  # what the last connections get to end, once the command has
_LOOK_S: Final = 0.02
_END_S: Final = 2.0  # what a command gets that was interrupted, until it is ended


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int  # as a shell has it: 128 and more where a signal ended it
    recording: Recording
    is_silent: bool  # it has sent nothing
    was_interrupted: bool


def record_command(
    command: Sequence[str],
    words: Mapping[str, Any],
    services: Sequence[str],
    *,
    seed: int | None = None,
    pcap: str | None = None,
) -> Done:
    """Run a command beside a server of ours, over a link with these words of tc-netem(8).

    `pcap`: where to capture it; None: nowhere. Raises ConfigError, DeviceError.
    """

    with TemporaryDirectory(prefix="pystack-") as folder:
        keys = Path(folder, "keys.log")

        async def main() -> Done:
            async with Network(seed=seed) as net:
                namespace, server = _built(net, words)
                await serve(server, *(services or SERVICES), keylog=keys)
                if pcap is not None:
                    net.capture(pcap, secrets=not is_classic(pcap))
                return await record_in(net, namespace, command)

        try:
            with quiet_services():
                done = trio.run(main)
        except BaseExceptionGroup as group:
            error = unwrapped(group)
        else:
            if keys.exists():
                done.recording.secrets = keys.read_text("ascii")
            return done
    raise error


async def record_in(net: Network, namespace: Namespace, command: Sequence[str]) -> Done:
    """Run a command in a namespace of a network. Raises ConfigError, DeviceError."""
    await namespace.up()
    recorder = recorder_of(net)
    began_at = net.now()
    status, was_interrupted = await _run(namespace, command)
    await _tail(net)
    client = namespace.name
    sent = _sent_by(client, recorder.items())
    recording = recording_of(
        net,
        recorder,
        client,
        _peer_of(net, sent),
        began_at=began_at,
        title=shlex.join(command),
        outcome=f"exit status {status}",
        wall_clock_offset_s=wall_clock_offset_s(net.driver),
        unknown=[
            f"What happened inside of {client}, a real Linux: its program, its sockets, its "
            "timers. Its frames are known, and all that they meet."
        ],
    )
    return Done(status, recording, not sent, was_interrupted)


def _built(net: Network, words: Mapping[str, Any]) -> tuple[Namespace, Host]:
    namespace = net.namespace(CLIENT, address=_CLIENT_AT[0], address6=_CLIENT_AT[1])
    server = net.host(SERVER, address=_SERVER_AT[0], address6=_SERVER_AT[1])
    net.link(namespace, server, **words)
    return namespace, server


async def _run(namespace: Namespace, command: Sequence[str]) -> tuple[int, bool]:
    """Return the exit status, and whether somebody wanted it to end."""
    was_interrupted = False
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        try:
            process = await namespace.open_process(command)
        except OSError as error:
            raise ConfigError(f"--tap: {error.strerror}") from None
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal was_interrupted
                await anext(aiter(signals))
                was_interrupted = True
                # A terminal has told it, too. Who does not listen is ended.
                with trio.move_on_after(_END_S):
                    await process.wait()
                    return
                process.terminate()
                with trio.move_on_after(_END_S):
                    await process.wait()
                    return
                process.kill()

            nursery.start_soon(watch)
            status = await process.wait()
            nursery.cancel_scope.cancel()
    return (status if status >= 0 else 128 - status), was_interrupted


async def _tail(net: Network) -> None:
    """Let the last connections end, all but TIME-WAIT."""
    with trio.move_on_after(_TAIL_S):
        while True:
            await trio.sleep(_LOOK_S)  # what its kernel has sent last arrives
            if not any([*host.tcp] for host in net.hosts.values()):
                return


def _sent_by(client: str, items: Iterable[Item]) -> list[Passage]:
    """Return the frames of a program on the client, and not those of its kernel alone."""
    sent = [it for it in items if isinstance(it, Passage) and it.sender == client]
    return [passage for passage in sent if not is_of_own_accord(passage.frame)]


def _peer_of(net: Network, sent: Iterable[Passage]) -> str:
    """Return the node that the first packet was for; "": it is none of the network's."""
    names = net.topology.names_by_address()
    found = (names.get(read(passage.frame.data).ends[1][0], "") for passage in sent)
    return next(filter(None, found), "")
