"""Every built-in service, and whatever a stranger may do to it: all in virtual time.

A service says nothing wrong into the log, serves others meanwhile, ends each connection within its
time-outs, and holds no more than so much memory. The attacks (`attacks.py`) are one list for all;
the services are those of `BUILT_IN`, so that no new one escapes.
"""

import gc
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Final

import attacks
import pytest
import service_clients
import service_place
import trio
from attacks import Attack, Target

import pystack
from pystack.apps import reflection
from pystack.apps.options import AppName, ServiceOptions
from pystack.apps.service import BUILT_IN, Placement, place_services
from pystack.apps.serving import start

# Where nothing happens there is a time-out of ten minutes at most; and then there is the end.
OVER_S: Final = 1300.0
OTHERS_S: Final = 60.0  # others are served within
MAX_HELD_BYTES: Final = 48 << 20  # in queues of TCP, whatever is asked
# Unasked it sends as much as TCP queues, to each of a thousand: the host's own limit is the bound.
SENDS_UNASKED: Final = frozenset({"chargen"})
MAX_KEPT_BLOCKS: Final = 20_000  # of Python's memory, when all is over
MAX_WARNINGS: Final = 5
MAX_EXCESS_BPS: Final = 8 * reflection.REFILL_BYTES_PER_S  # by which answers may be longer
RECORDS: Final = (service_clients.RECORD, *service_clients.TEXT_RECORDS)


def placed(name: str, root: Path) -> Placement:
    options = ServiceOptions(
        root=root,
        writable=True,
        host_name="server",
        mail_for=("*",),
        records=RECORDS,
        asgi=AppName(service_clients.APP, Path(service_clients.__file__).parent),
    )
    (placement,) = place_services([name], options)
    return placement


def names(*, udp: bool) -> Iterator[str]:
    """Return the services that have such a side."""
    for name in BUILT_IN:
        service = placed(name, Path(__file__).parent)
        if (service.udp_port if udp else service.tcp_port) is not None:
            yield name


# Who has another client by UDP
UDP_CLIENTS: Final = {
    **service_clients.CLIENTS,
    "chargen": (service_clients.chargen_udp,),
    "daytime": (service_clients.daytime_udp,),
    "echo": (service_clients.echo_udp,),
    "time": (service_clients.time_udp,),
}
TCP_NAMES: Final = tuple(names(udp=False))
UDP_NAMES: Final = tuple(names(udp=True))


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """Leave out what was there before whenever garbage is collected: that took a fifth of all."""
    gc.freeze()
    yield
    gc.unfreeze()


def test_every_service_has_a_session_and_a_client() -> None:
    assert set(TCP_NAMES) == set(attacks.SESSIONS)
    assert set(UDP_NAMES) == set(attacks.DATAGRAMS)
    assert {*TCP_NAMES, *UDP_NAMES} <= set(service_clients.CLIENTS)


async def world(name: str, root: Path, attack: Attack, *, inside_tls: bool) -> None:
    """Attack, and let an honest client be served meanwhile and afterwards."""
    rng = Random(f"{name}/{attack.__name__}")
    file = rng.randbytes(4000)
    (root / service_clients.FILE).write_bytes(file)
    async with pystack.Network(seed=1) as net:
        attacker, client, server = (net.host(each) for each in ("attacker", "client", "server"))
        lan = net.switch("lan")
        link = net.link(attacker, lan, delay="1ms")
        for host in (client, server):
            net.link(host, lan, delay="1ms")
        placement = placed(name, root)
        await start(server, [placement])
        place = service_place.Place(client, server, root, rng, file)
        await serves(name, place)
        await trio.sleep(100)  # whatever that leaves behind is gone
        gc.collect()
        blocks, tasks = sys.getallocatedblocks(), trio.lowlevel.current_statistics().tasks_living
        began = trio.current_time()
        held: list[int] = []
        async with trio.open_nursery() as nursery:
            assert placement.tcp_port is not None
            session = attacks.SESSIONS["http" if inside_tls else name]
            where = attacker, server.address, placement.tcp_port, session
            target = Target(*where, rng, nursery, link, inside_tls)
            nursery.start_soon(watch, server, held)
            nursery.start_soon(attack, target)
            for at in (0.5, 3, 30, 400):
                await trio.sleep_until(began + at)
                await serves(name, place)
            await trio.sleep_until(began + OVER_S)
            nursery.cancel_scope.cancel()
        # What the attacker holds is still open; the server has ended it all.
        assert not server.tcp.sockets, f"left: {list(server.tcp.sockets.values())[:3]}"
        most = server.tcp.limits.memory_bytes[-1] if name in SENDS_UNASKED else MAX_HELD_BYTES
        assert max(held) <= most
        assert trio.lowlevel.current_statistics().tasks_living <= tasks
        target.kept.clear()
        attacker.power_off()
        await serves(name, place)
        await trio.sleep(100)
        held.clear()
        gc.collect()
        assert sys.getallocatedblocks() - blocks < MAX_KEPT_BLOCKS


async def serves(
    name: str,
    place: service_place.Place,
    over: Mapping[str, tuple[service_clients.Client, ...]] = service_clients.CLIENTS,
) -> None:
    """Be served as an honest client is."""
    with trio.fail_after(OTHERS_S):
        while True:
            try:
                await over[name][0](place)
                return
            except pystack.Iperf3Error:  # it measures for one at a time, and says so
                await trio.sleep(2)


async def watch(server: pystack.Host, held: list[int]) -> None:
    """Look again and again at how much the server holds for its connections."""
    began = trio.current_time()
    while True:
        held.append(server.tcp.shared.memory.used_bytes)
        await trio.sleep(0.05 if trio.current_time() < began + 40 else 5)


@pytest.mark.parametrize("name", UDP_NAMES)
def test_a_service_bears_any_datagram(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "pystack")
    rng = Random(name)
    file = rng.randbytes(4000)
    (tmp_path / service_clients.FILE).write_bytes(file)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            attacker, server = net.host("attacker"), net.host("server")
            net.link(attacker, server, delay="1ms")
            placement = placed(name, tmp_path)
            await start(server, [placement])
            place = service_place.Place(attacker, server, tmp_path, rng, file)
            await serves(name, place, over=UDP_CLIENTS)
            await trio.sleep(100)
            gc.collect()
            blocks = sys.getallocatedblocks()
            tasks = trio.lowlevel.current_statistics().tasks_living
            began = trio.current_time()
            sent, received = await shoot(place, placement.udp_port, rng, name)
            took_s = trio.current_time() - began
            assert received <= sent + reflection.BURST_BYTES + took_s * MAX_EXCESS_BPS / 8
            await serves(name, place, over=UDP_CLIENTS)
            await trio.sleep(100)
            gc.collect()
            assert trio.lowlevel.current_statistics().tasks_living <= tasks
            assert sys.getallocatedblocks() - blocks < MAX_KEPT_BLOCKS

    pystack.run(main, seed=1)
    assert not caplog.records, [each.getMessage() for each in caplog.records][:3]


async def shoot(
    place: service_place.Place, port: int | None, rng: Random, name: str
) -> tuple[int, int]:
    """Send it all, from ports of all kinds, and return how much has gone and come, in bytes."""
    assert port is not None
    sent = received = 0
    sockets = [await place.client.open_udp_socket(each) for each in (0, 0, 0, 53, 1023, 7)]
    for text in attacks.datagrams(name, rng):
        socket = rng.choice(sockets)
        await socket.send_to(text, (place.address, port))
        sent += len(text)
        await trio.sleep(0.01)
        for each in sockets:
            while (answer := each.receive_from_nowait()) is not None:
                received += len(answer[0])
    deadline = trio.current_time() + 300
    for each in sockets:
        with trio.CancelScope(deadline=deadline):
            while True:
                received += len((await each.receive_from())[0])
        each.close()
    return sent, received


CASES: Final = [
    *((name, attack, False) for name in TCP_NAMES for attack in attacks.ATTACKS),
    *(
        (name, attack, True)
        for name in sorted(attacks.WITH_TLS & {*TCP_NAMES})
        for attack in attacks.ATTACKS
    ),
]


@pytest.mark.parametrize(
    ("name", "attack", "inside_tls"),
    CASES,
    ids=[f"{name}-{attack.__name__}{'-tls' * tls}" for name, attack, tls in CASES],
)
def test_a_service_bears_what_strangers_do(
    name: str,
    attack: Attack,
    inside_tls: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "pystack")

    async def main() -> None:
        await world(name, tmp_path, attack, inside_tls=inside_tls)

    pystack.run(main, seed=1)
    log = [(each.getMessage(), each.exc_info) for each in caplog.records]
    wrong = [each for each in caplog.records if each.levelno >= logging.ERROR or each.exc_info]
    assert not wrong, log[:3]
    assert len(log) <= MAX_WARNINGS, log[:10]
