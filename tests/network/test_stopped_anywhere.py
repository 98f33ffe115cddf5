"""A service that is stopped before any step of its tasks ends, is silent, and leaves nothing."""

import gc
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

import pytest
import service_clients
import trio
from service_place import CLEAN, Place

import pystack
from pystack.apps import serving
from pystack.apps.options import AppName, ServiceOptions
from pystack.apps.service import place_services

CLIENTS: Final = {
    "http": (service_clients.http, service_clients.http_upload, service_clients.websocket),
    "https": (service_clients.https, service_clients.http2),
    "asgi": (service_clients.asgi,),
    "smtp": (service_clients.smtp, service_clients.smtp_tls),
    "dns": (service_clients.dns_tcp,),
    "iperf3": (service_clients.iperf3,),
}
CASES: Final = [(name, client) for name, clients in CLIENTS.items() for client in clients]
TRIES: Final = 25  # steps at which each is stopped; with all of them it takes minutes


class Step(trio.abc.Instrument):
    """Cancels a scope before the Nth step of the tasks below a nursery."""

    def __init__(self, scope: trio.CancelScope, number: int) -> None:
        self.scope = scope
        self.number = number
        self.taken = 0
        self.top: trio.lowlevel.Task | None = None  # None: it has not begun

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if any(each is self.top for each in _ancestors(task)):
            self.taken += 1
            if self.taken == self.number:
                self.scope.cancel()


def _ancestors(task: trio.lowlevel.Task | None) -> Iterator[trio.lowlevel.Task]:
    while task is not None:
        yield task
        task = None if task.parent_nursery is None else task.parent_nursery.parent_task


def stop_at(name: str, client: service_clients.Client, root: Path, number: int) -> int:
    """Stop the server at that step of it; return how many it has taken."""
    taken = []
    rng = Random(name)
    file = rng.randbytes(40_000)
    (root / service_clients.FILE).write_bytes(file)

    async def main() -> None:
        async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
            here, server = net.host("client"), net.host("server")
            net.link(here, server, delay="1ms")
            app = AppName(service_clients.APP) if name == "asgi" else None
            options = ServiceOptions(
                root=root,
                writable=True,
                host_name="server",
                mail_for=("*",),
                records=(service_clients.RECORD,),
                asgi=app,
            )
            (placement,) = place_services([name], options)
            scope = trio.CancelScope()
            step = Step(scope, number)

            async def serve_it(*, task_status: trio.TaskStatus[None]) -> None:
                step.top = trio.lowlevel.current_task()
                with scope:
                    await serving.serve_placed(server, placement, task_status=task_status)

            await nursery.start(serve_it)
            trio.lowlevel.add_instrument(step)
            place = Place(here, server, root, rng, file)
            # What the client makes of half an answer is not looked at here.
            with suppress(*CLEAN, AssertionError), trio.move_on_after(200):
                await client(place)
            trio.lowlevel.remove_instrument(step)
            taken.append(step.taken)
            scope.cancel()
            await trio.sleep(1000)
            assert not server.tcp.sockets
            nursery.cancel_scope.cancel()

    pystack.run(main, seed=1)
    return taken[0]


@pytest.mark.parametrize(
    ("name", "client"), CASES, ids=[f"{name}-{client.__name__}" for name, client in CASES]
)
def test_a_service_can_be_stopped_at_any_step(
    name: str, client: service_clients.Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "pystack")
    steps = stop_at(name, client, tmp_path, 0)
    assert steps > 5
    first = 1 + Random(name).randrange(max(1, steps // TRIES))
    for number in range(first, steps + 1, max(1, steps // TRIES)):
        stop_at(name, client, tmp_path, number)
    gc.collect()  # what was left halfway says so then
    log = [each.getMessage() for each in caplog.records if "certificate" not in each.getMessage()]
    assert not log, log[:3]
