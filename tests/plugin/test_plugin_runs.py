"""The plug-in runs async tests in virtual time, beside pytest-trio, AnyIO's plug-in and without."""

from collections.abc import Callable

import pytest
from hypothesis import settings

Words = tuple[str, ...]
Run = Callable[..., tuple[pytest.RunResult, dict[str, int]]]

# Each inner run has the plug-ins that it names, and no others that happen to be installed.
TRIO = ("-p", "pytest_trio.plugin")
ANYIO = ("-p", "anyio.pytest_plugin")
BESIDE = pytest.mark.parametrize(
    "beside",
    [(), TRIO, (*TRIO, "-o", "trio_mode=true"), ANYIO, (*TRIO, *ANYIO)],
    ids=["alone", "trio", "trio_mode", "anyio", "both"],
)


@BESIDE
def test_an_async_test_runs_in_virtual_time_with_a_network(run: Run, beside: Words) -> None:
    _, outcomes = run(
        """
async def test_hours_pass(net):
    client, server = two_hosts(net, delay="40ms", loss="3%")
    await server.start(trio.serve_tcp, echo, 7)
    await trio.sleep(7200)
    assert trio.current_time() == 7200
    assert await client.run(ask, b"hello") == b"hello"
    assert net.seal

@pytest.mark.pystack(seed=9, subnet="192.168.7.0/24", seal=False)
async def test_words(net, pystack_seed):
    client, server = two_hosts(net)
    assert (net.seed, pystack_seed, net.seal) == (9, 9, False)
    assert server.address == "192.168.7.2"

@pytest.mark.pystack
class TestMarked:
    async def test_without_a_network(self):
        await trio.sleep(3600)
        assert trio.current_time() == 3600

    @pytest.mark.parametrize("number", [1, 2])
    async def test_with_parameters(self, net, number):
        assert number in (1, 2)

def test_others_are_left_alone():
    pass
""",
        *beside,
    )
    assert outcomes == {"passed": 6}


@BESIDE
def test_the_errors_of_a_test_are_its_own(run: Run, beside: Words) -> None:
    result, outcomes = run(
        """
async def test_skips(net):
    pytest.skip("because")

@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
async def test_expected(net):
    1 / 0

async def test_fails(net):
    client, server = two_hosts(net)
    await server.start(trio.serve_tcp, echo, 7)
    assert await client.run(ask, b"hello") == b"hullo"

async def test_program_fails(net):
    client, _ = two_hosts(net)
    async def broken():
        raise KeyError("nothing there")
    client.start_soon(broken)
    await trio.sleep(1)

async def test_two_errors(net):
    async def broken(error):
        raise error
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broken, ValueError("one"))
        nursery.start_soon(broken, ValueError("two"))
""",
        *beside,
    )
    assert outcomes == {"skipped": 1, "xfailed": 1, "failed": 3}
    result.stdout.fnmatch_lines_random(
        [
            "*test_fails - AssertionError: assert b'hello' == b'hullo'*",
            "*test_program_fails - KeyError: 'nothing there'*",
            "*test_two_errors - ExceptionGroup: *(2 sub-exceptions)*",
        ]
    )


@BESIDE
def test_a_network_is_closed_after_a_failure_and_the_next_one_is_new(
    run: Run, beside: Words
) -> None:
    _, outcomes = run(
        """
ended = []

async def test_one(net):
    client, _ = two_hosts(net)
    async def stay():
        try:
            await trio.sleep_forever()
        finally:
            ended.append("task")
    client.start_soon(stay)
    await trio.sleep(1)
    assert 0

async def test_two(net):
    assert ended == ["task"]
    assert trio.current_time() == 0
    assert net.hosts == {}
""",
        *beside,
    )
    assert outcomes == {"passed": 1, "failed": 1}


@BESIDE
def test_a_deadlock_and_a_time_out_say_who_waits(run: Run, beside: Words) -> None:
    result, outcomes = run(
        """
async def test_dead(net):
    await trio.sleep_forever()

@pytest.mark.pystack(timeout_s=5)
async def test_late(net):
    client, _ = two_hosts(net)
    async def busy():
        while True:
            await trio.sleep(1)
    client.start_soon(busy)
    await trio.sleep_forever()
""",
        *beside,
    )
    assert outcomes == {"failed": 2}
    result.stdout.fnmatch_lines_random(
        [
            "E *DeadlockError: nothing can ever happen again; *test_dead (*:*",
            "E *the run did not end within 5 s of virtual time; these wait: *client: *busy (*:*",
        ]
    )
    # What pystack itself does there is nobody's concern.
    result.stdout.no_fnmatch_line("*def _watch*")
    result.stdout.no_fnmatch_line("*def run(self*")


@pytest.mark.parametrize("mode", [(), ("-o", "trio_mode=true")], ids=["strict", "auto"])
def test_async_fixtures_of_pytest_trio_are_in_the_same_network(run: Run, mode: Words) -> None:
    _, outcomes = run(
        """
@pytest.fixture
async def server(net):
    host = net.host("server")
    await host.start(trio.serve_tcp, echo, 7)
    yield host
    await trio.sleep(1)
    assert net.hosts["server"] is host

@pytest.fixture
def client(net, server):
    client = net.host("client")
    net.link(client, server, delay="5ms")
    return client

async def test_talk(net, client, nursery):
    nursery.start_soon(trio.sleep, 1)
    assert await client.run(ask, b"hello") == b"hello"

@pytest.mark.trio
async def test_marked_too(client):
    assert await client.ping("server") < 0.1
""",
        *TRIO,
        *mode,
    )
    assert outcomes == {"passed": 2}


def test_what_cannot_be_is_told_in_a_sentence(run: Run) -> None:
    source = """
@pytest.fixture
async def server(net):
    yield net.host("server")

async def test_fixture(server):
    pass

def test_sync(net):
    pass
"""
    result, outcomes = run(source)
    assert outcomes == {"errors": 2}
    result.stdout.fnmatch_lines(
        [
            "the async fixture 'server' of a test in virtual time needs pytest-trio *",
            "net needs an async test: write `async def test_sync`",
        ]
    )
    result, outcomes = run("async def test_clock(net, autojump_clock): pass", *TRIO)
    assert outcomes == {"failed": 1}
    result.stdout.fnmatch_lines(["*has its own clock: leave out the fixture*MockClock*"])


def test_a_test_of_anyio_runs_on_both_backends(run: Run) -> None:
    _, outcomes = run(
        """
import anyio
pytestmark = pytest.mark.anyio

async def ask_by_anyio():
    async with await anyio.connect_tcp("server", 7) as stream:
        await stream.send(b"hello")
        return await stream.receive()

async def test_talk(net, anyio_backend):
    client, server = two_hosts(net, delay="5ms")
    await server.start(trio.serve_tcp, echo, 7)
    run = client.run if anyio_backend == "trio" else client.run_asyncio
    assert await run(ask_by_anyio) == b"hello"
    await anyio.sleep(3600)
""",
        *ANYIO,
    )
    assert outcomes == {"passed": 2}


@BESIDE
def test_each_example_of_hypothesis_has_a_network_of_its_own(run: Run, beside: Words) -> None:
    _, outcomes = run(
        """
from hypothesis import HealthCheck, given, settings, strategies as st
settings.register_profile("here", database=None, derandomize=True, max_examples=5,
                          suppress_health_check=list(HealthCheck))
settings.load_profile("here")

@given(st.integers(0, 100))
async def test_ping(net, delay_ms):
    assert trio.current_time() == 0
    client, _ = two_hosts(net, delay=delay_ms / 1000)
    assert await client.ping("server") == pytest.approx(4 * delay_ms / 1000)  # ARP, echo
""",
        *beside,
        "--pystack-seeds=2",
    )
    assert outcomes == {"passed": 2}


def test_profiles_of_hypothesis_are_the_inner_runs_own(run: Run) -> None:
    examples = settings().max_examples
    _, outcomes = run(
        """
from hypothesis import settings
settings.register_profile("few", max_examples=1)
settings.load_profile("few")

def test_few():
    assert settings().max_examples == 1
"""
    )
    assert outcomes == {"passed": 1}
    assert settings().max_examples == examples > 1


def test_a_fixture_net_of_the_projects_own_is_left_alone(run: Run) -> None:
    _, outcomes = run(
        """
@pytest.fixture
def net():
    return "mine"

def test_sync(net):
    assert net == "mine"

@pytest.mark.trio
async def test_async(net):
    assert net == "mine"
    assert trio.current_time() != 0
""",
        *TRIO,
    )
    assert outcomes == {"passed": 2}


def test_the_plugin_costs_a_run_without_networks_nothing(run: Run) -> None:
    _, outcomes = run(
        """
import sys
def test_imports():
    assert not [name for name in sys.modules if name.startswith(("trio", "pystack."))
                and name not in ("pystack.testing", "pystack.testing.plugin")]
""",
        source_before="",
        in_process=False,
    )
    assert outcomes == {"passed": 1}
