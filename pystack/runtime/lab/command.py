"""Running a command whose network is ours, from its start to the end of all that was for it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.errors import DeviceError
from pystack.runtime.lab.attach import Namespace
from pystack.runtime.lab.foreground import TAKEN, Foreground
from pystack.runtime.lab.lab import LabOptions, ServeFn, run_lab
from pystack.runtime.lab.taken_signals import taking

if TYPE_CHECKING:
    from pystack.runtime.device.privileges import Account
    from pystack.runtime.network import Network
    from pystack.topology.spec import LabSpec

_TAIL_S: Final = 2.0  # what the last connections get to end, once the command has
_LOOK_S: Final = 0.005

Prepare = Callable[["Network", Namespace], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command and its place."""

    words: Sequence[str]
    node: str  # a namespace of the lab
    files: int  # how many it may open: what the caller was allowed
    account: Account | None  # who it is to be; None: who we are
    prepare: Prepare  # what is done in the network before it begins
    on_begin: Callable[[], object]  # called when it does
    on_end: Callable[[], object]  # and when it has ended, in whatever way


def run_command(
    command: Command,
    spec: LabSpec,
    options: LabOptions,
    serve: ServeFn,
    on_line: Callable[[str], None],
) -> int:
    """Run a command in a lab; return its exit status, or -n of the signal n.

    Raises ConfigError, DeviceError, what `run_lab` raises. In a process that has one thread only
    as yet.
    """
    try:
        directory = os.getcwd()
    except OSError:
        raise DeviceError("the directory that this was started in is gone: cd elsewhere") from None
    status = 1

    def namespace_of(net: Network) -> Namespace:
        namespace = net.attached[command.node]
        assert isinstance(namespace, Namespace)
        return namespace

    with taking(TAKEN) as signals:
        front = Foreground(signals, command.files, command.account)

        async def prepare(net: Network) -> None:
            await command.prepare(net, namespace_of(net))

        async def guest(net: Network) -> None:
            nonlocal status
            holder = await namespace_of(net).up_holder()
            command.on_begin()
            front.start(holder, command.words, directory, net)
            status = await front.wait()
            command.on_end()
            await _tail(net)

        try:
            run_lab(
                spec,
                replace(options, prepare=prepare, guest=guest, watch=front.watch),
                serve,
                on_line,
            )
        finally:
            front.reap()
            command.on_end()
    return status if front.interrupted is None or front.has_ended else -front.interrupted


async def _tail(net: Network) -> None:
    """Let what the command has said last arrive, as the kernel would after its end."""
    with trio.move_on_after(_TAIL_S):
        while True:
            await trio.sleep(_LOOK_S)
            is_quiet = all(link.a_to_b.is_idle() and link.b_to_a.is_idle() for link in net.links)
            if is_quiet and not any([*host.tcp] for host in net.hosts.values()):
                return
