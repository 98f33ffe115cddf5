"""Every service on lines that lose, repeat, mix up, delay and damage: whole, or a clean error.

200 lines, each with its seed, and on each a client of every kind. Nothing that is wrong may come,
nothing may hang, the log has no error of a service's own, and in the end the server has no
connection left. For a night: PYSTACK_SEEDS=5000, and PYSTACK_FIRST_SEED to go on where one ended.
"""

import logging
import os
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

import pytest
import service_clients
import trio
from service_clients import CLIENTS, Client
from service_place import CLEAN, Place

import pystack
from pystack.apps.service import BUILT_IN

SEEDS: Final = int(os.environ.get("PYSTACK_SEEDS", "200"))
FIRST_SEED: Final = int(os.environ.get("PYSTACK_FIRST_SEED", "0"))
PARTS: Final = 10
PATIENCE_S: Final = 3000.0  # of a client, in virtual time; no service's own is longer
AFTERWARDS_S: Final = 1000.0  # then nothing may be left of a connection
FILE_BYTES: Final = 4000
ASGI_PORT: Final = 8000  # for 80 is that of http

LINES: Final[list[dict[str, object]]] = [
    {"loss": "5%"},
    {"loss": "20%"},
    {"loss": "gemodel 5% 40%"},
    {"duplicate": "30%"},
    {"reorder": "30%"},
    {"jitter": "15ms", "reorder_by_jitter": True},
    {"corrupt": "5%"},
    {"rate": "200kbit", "limit": 5},
    {"loss": "5%", "duplicate": "5%", "reorder": "10%", "corrupt": "2%", "jitter": "5ms"},
    {"loss": "15%", "duplicate": "15%", "reorder": "20%", "corrupt": "5%", "jitter": "10ms"},
]
MILD: Final = (0, 3, 4, 5, 7, 8)  # of those lines: everything gets through


def everybody() -> list[Client]:
    return [client for name in BUILT_IN for client in CLIENTS[name]]


async def on_line(seed: int, root: Path, outcomes: Counter[str]) -> None:
    """Let all clients do what they do on the line of this seed."""
    rng = Random(seed)
    line = LINES[seed % len(LINES)]
    file = rng.randbytes(FILE_BYTES)
    (root / service_clients.FILE).write_bytes(file)
    async with pystack.Network(seed=seed) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, **{"delay": "20ms", **line})  # type: ignore[arg-type]
        await pystack.serve(
            server,
            *(f"asgi:{ASGI_PORT}" if name == "asgi" else name for name in BUILT_IN),
            root=root,
            writable=True,
            app=service_clients.APP,
            mail_for=["*"],
            records=[service_clients.RECORD, *service_clients.TEXT_RECORDS],
        )
        place = Place(client, server, root, rng, file, ASGI_PORT)

        async def run(one: Client) -> None:
            where = f"{one.__name__}, seed {seed}, {line}"
            outcome = "whole"
            with trio.move_on_after(PATIENCE_S) as scope:
                try:
                    await one(place)
                except CLEAN as error:
                    outcome = f"clean: {type(error).__name__} {str(error)[:60]}"
                except Exception as error:
                    error.add_note(where)
                    raise
            if scope.cancelled_caught:
                # The server has given up long ago and its reset was lost, or it never heard that
                # the connection is there: a client that only reads would not notice for ever.
                assert not server.tcp.sockets, f"it hangs: {where}"
                outcome = "clean: nobody there"
            outcomes[f"{one.__name__} {outcome}"] += 1
            is_mild = seed % len(LINES) in MILD
            assert outcome == "whole" or not is_mild, f"{where}: {outcome}"

        async with trio.open_nursery() as nursery:
            for one in everybody():
                nursery.start_soon(run, one)
        await trio.sleep(AFTERWARDS_S)
        left = list(server.tcp.sockets.values())
        assert not left, f"connections are left: {left}, seed {seed}, {line}"


@pytest.mark.parametrize("part", range(PARTS))
def test_every_transfer_is_whole_or_ends_with_a_clean_error(
    part: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: Counter[str] = Counter()
    caplog.set_level(logging.WARNING, "pystack")
    for seed in range(FIRST_SEED + part, FIRST_SEED + SEEDS, PARTS):
        root = tmp_path / str(seed)
        root.mkdir()
        pystack.run(on_line, seed, root, outcomes, seed=seed)
        wrong = [each for each in caplog.records if each.levelno >= logging.ERROR or each.exc_info]
        assert not wrong, f"seed {seed}: {wrong[0].getMessage()} {wrong[0].exc_info}"
    print(*sorted(outcomes.items()), sep="\n")
    for one in everybody():
        assert outcomes[f"{one.__name__} whole"] >= 0.5 * SEEDS / PARTS, one.__name__


def test_every_service_has_a_client() -> None:
    assert set(BUILT_IN) == set(CLIENTS)
