"""Running a command whose network is ours, from its start to the end of all that was for it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

import trio

from pystack.runtime.lab.attach import Namespace
from pystack.runtime.lab.foreground import TAKEN, Foreground
from pystack.runtime.lab.lab import LabOptions, ServeFn, run_lab
from pystack.runtime.lab.taken_signals import taking
from pystack.runtime.network import Network
from pystack.topology.spec import LabSpec

_TAIL_S: Final = 2.0  # what the last connections get to end, once the command has
_LOOK_S: Final = 0.005

Prepare = Callable[[Network], Awaitable[object]]


def run_command(
    spec: LabSpec,
    options: LabOptions,
    node: str,
    command: Sequence[str],
    *,
    serve: ServeFn,
    prepare: Prepare,
    on_line: Callable[[str], None],
) -> int:
    """Run a command in a namespace of a lab; return its exit status, or -n of the signal n.

    `prepare` is done in the network before it begins. Raises ConfigError, DeviceError, what
    `run_lab` raises. In a process that has one thread only as yet.
    """
    status = 1
    with taking(TAKEN) as signals:
        front = Foreground(signals)

        async def guest(net: Network) -> None:
            nonlocal status
            namespace = net.attached[node]
            assert isinstance(namespace, Namespace)
            await prepare(net)
            front.start(await namespace.up_holder(), command, os.getcwd())
            status = await front.wait()
            await _tail(net)

        try:
            run_lab(spec, replace(options, guest=guest, watch=front.watch), serve, on_line)
        finally:
            front.reap()
    return status if front.interrupted is None else -front.interrupted


async def _tail(net: Network) -> None:
    """Let what the command has said last arrive, as the kernel would after its end."""
    with trio.move_on_after(_TAIL_S):
        while True:
            await trio.sleep(_LOOK_S)
            if not any([*host.tcp] for host in net.hosts.values()):
                return
