"""The same small programs on asyncio's own event loop, over the machine's loopback, and on ours.

What their protocols are told, in which order, and with which errors, is compared.
"""

from __future__ import annotations

import asyncio
from typing import Final

import asyncio_calls as calls
import asyncio_streams as streams
import pytest
from asyncio_streams import Log, Program

import pystack

PROGRAMS: Final[list[Program]] = [
    streams.talks_and_closes,
    streams.sends_an_end_of_file,
    streams.aborts,
    streams.closes_with_data_unread,
    streams.pauses_where_nobody_reads,
    streams.writes_after_the_end,
    streams.is_refused,
    streams.times_out,
    streams.serves_streams,
    streams.speaks_tls,
    streams.meets_an_unknown_authority,
    streams.begins_tls_later,
    calls.sends_datagrams,
    calls.uses_sockets,
    calls.sends_a_file,
    calls.buffers_itself,
    calls.orders_callbacks,
    calls.handles_exceptions,
    calls.refuses_nonsense,
    calls.binds_twice,
    calls.keeps_context,
]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_sees_what_it_sees_on_the_loop_of_cpython(program: Program) -> None:
    theirs: Log = []
    asyncio.run(program(theirs))  # type: ignore[arg-type]

    async def main() -> Log:
        ours: Log = []
        async with pystack.Network(seed=1) as net:
            await net.host("a").run_asyncio(program, ours)  # type: ignore[arg-type]
        return ours

    assert by_whom(pystack.run(main)) == by_whom(theirs)
    assert by_whom(pystack.run_asyncio(main)) == by_whom(theirs)


def by_whom(log: Log) -> dict[object, Log]:
    """Sort what was told by whom it was told: which end hears first is a matter of the network."""
    sorted_log: dict[object, Log] = {"client": [], "server": [], "program": []}
    for entry in log:
        whose = entry[0] if isinstance(entry, tuple) else "program"
        sorted_log[whose if whose in ("client", "server") else "program"].append(entry)
    return sorted_log
