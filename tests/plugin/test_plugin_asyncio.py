"""Tests of asyncio, run by pytest-asyncio or by AnyIO's plug-in, in virtual time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pytest

pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")

Run = Callable[..., tuple[pytest.RunResult, dict[str, int]]]

ASYNCIO: Final = (
    "-p",
    "pytest_asyncio.plugin",
    "-o",
    "asyncio_default_fixture_loop_scope=function",
)
# By which plug-in, and how a file says that its tests and fixtures are for it
STRICT: Final = (*ASYNCIO, "--asyncio-mode=strict")
AUTO: Final = (*ASYNCIO, "--asyncio-mode=auto")
ANYIO: Final = ("-p", "anyio.pytest_plugin")
SAID: Final = {
    STRICT: """
import pytest_asyncio
pytestmark = pytest.mark.asyncio
fixture = pytest_asyncio.fixture
""",
    AUTO: "fixture = pytest.fixture",
    ANYIO: """
pytestmark = pytest.mark.anyio
fixture = pytest.fixture
@pytest.fixture
def anyio_backend():
    return "asyncio"
""",
}

TALK: Final = """
import asyncio, pytest

async def shout(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()

async def serve():
    server = await asyncio.start_server(shout, port=7)
    await server.serve_forever()

async def ask(word):
    reader, writer = await asyncio.open_connection("server", 7)
    writer.write(word + b"\\n")
    try:
        return await reader.readline()
    finally:
        writer.close()

%s

@fixture
async def hosts(net):
    client, server = net.host("client"), net.host("server")
    net.link(client, server, delay="10ms")
    await server.start_asyncio(serve)
    yield client, server
    await asyncio.sleep(10)
    assert net.driver.now() >= 10
"""

by_each_plugin = pytest.mark.parametrize("words", SAID, ids=["strict", "auto", "anyio"])


@by_each_plugin
def test_a_test_of_asyncio_and_its_fixtures_run_in_virtual_time(
    run: Run, words: tuple[str, ...]
) -> None:
    _, outcomes = run(
        """
async def test_talk(hosts, net):
    client, _ = hosts
    assert await client.run_asyncio(ask, b"hello") == b"HELLO\\n"
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600.06 == net.driver.now()

async def test_again(hosts):
    assert asyncio.get_running_loop().time() == 0

@pytest.mark.pystack(seed=5)
async def test_without_a_network(pystack_seed):
    await asyncio.sleep(3600)
    assert pystack_seed == 5

async def test_that_is_none_of_ours():
    await asyncio.sleep(0.001)
    assert type(asyncio.get_running_loop()).__module__.startswith("asyncio")
""",
        *words,
        source_before=TALK % SAID[words],
    )
    assert outcomes == {"passed": 4}


@by_each_plugin
def test_a_failure_tells_of_the_world_as_for_trio(run: Run, words: tuple[str, ...]) -> None:
    result, outcomes = run(
        """
async def test_fails(hosts):
    client, _ = hosts
    assert await client.run_asyncio(ask, b"hello") == b"bye"

async def test_waits(hosts):
    await asyncio.Event().wait()

@pytest.mark.pystack(timeout_s=30, seed=3)
async def test_takes_long(net):
    await asyncio.sleep(100)

async def test_has_a_program_that_fails(net):
    async def fail():
        await asyncio.sleep(1)
        raise ZeroDivisionError
    await net.host("a").start_asyncio(fail)
    await asyncio.sleep(100)
""",
        *words,
        source_before=TALK % SAID[words],
    )
    assert outcomes == {"failed": 4}
    result.stdout.fnmatch_lines(
        [
            "seed: 0",
            "again: pytest *test_fails* --pystack-seed=0",
            "pcap: *.pcapng",
            "ended: at 0.060000 s of virtual time",
            "*|    server.7 > client.*: Flags [[]P.*",
            "*DeadlockError: nothing can ever happen again; waiting for ever: *",
            "*VirtualTimeoutError: the run did not end within 30 s*",
            "again: pytest *test_takes_long* --pystack-seed=3",
            "ended: at 30.000000 s of virtual time",
            "*ZeroDivisionError*",
            "ended: at 1.000000 s of virtual time",
        ]
    )
    text = result.stdout.str()
    assert re.search(r"for ever: .*serve in serve \(.*\), in Server.serve_forever", text)
    assert re.search(r"for ever: .* in test_waits \(.*\.py:\d+\), in Event.wait", text)
    assert "Keeper" not in text


def test_a_loop_of_a_wider_scope_is_refused(run: Run) -> None:
    result, outcomes = run(
        """
@pytest.mark.asyncio(loop_scope="module")
async def test_before():
    pass

@pytest.mark.asyncio(loop_scope="module")
async def test_with_a_network(net):
    pass
""",
        *STRICT,
        source_before="import pytest",
    )
    assert outcomes == {"passed": 1, "errors": 1}
    result.stdout.fnmatch_lines(["*needs an event loop of its own*(loop_scope='module')"])


def test_each_example_of_hypothesis_has_a_network_of_its_own(run: Run) -> None:
    _, outcomes = run(
        """
from hypothesis import given, settings, strategies as st
seen = []

@pytest.mark.asyncio
@settings(max_examples=4, database=None)
@given(count=st.integers(1, 3))
async def test_hosts(net, count):
    seen.append(net)
    for number in range(count):
        net.host(f"h{number}")
    assert len(net.hosts) == count
    await asyncio.sleep(1)

def test_all():
    assert len(set(map(id, seen))) == len(seen) > 1
""",
        *STRICT,
        source_before="import asyncio, pytest",
    )
    assert outcomes == {"passed": 2}
