"""Each test twice: one that is not the same in both runs fails, and the difference is named."""

import re
from collections.abc import Callable

import pytest

Run = Callable[..., tuple[pytest.RunResult, dict[str, int]]]
BESIDE = pytest.mark.parametrize(
    "beside", [(), ("-p", "pytest_trio.plugin")], ids=["alone", "trio"]
)


@BESIDE
def test_a_test_that_is_not_the_same_twice_fails_and_says_where(
    run: Run, beside: tuple[str, ...]
) -> None:
    result, outcomes = run(
        """
import uuid

async def test_same(net):
    client, server = two_hosts(net, delay="20ms", loss="5%")
    await server.start(trio.serve_tcp, echo, 7)
    assert await client.run(ask, b"hello") == b"hello"

async def test_drawn(net):
    client, server = two_hosts(net, delay="20ms")
    await server.start(trio.serve_tcp, echo, 7)
    await client.run(ask, str(uuid.uuid4()).encode())

@pytest.mark.pystack
async def test_without_a_network():
    pass

async def test_fails(net):
    client, server = two_hosts(net, delay="20ms")
    await client.ping("server")
    assert 0

def test_other():
    pass
""",
        "--pystack-twice",
        *beside,
    )
    assert outcomes == {"passed": 3, "failed": 2}
    text = result.stdout.str()
    found = re.search(r"the first run and the second run part at event \d+, at (0\.\d+) s", text)
    assert found is not None
    assert 0.05 < float(found[1]) < 0.2
    assert re.search(r"by .* in ask \(test_\w+\.py:\d+\)", text)
    assert "Data, data: 36 bytes: " in text
    assert "there is a UUID in it" in text
    result.stdout.fnmatch_lines(["again: pytest *::test_drawn --pystack-seed=0 --pystack-twice"])


def test_a_test_that_ends_otherwise_fails(run: Run) -> None:
    result, outcomes = run(
        """
runs = []

async def test_net(net):
    client, server = two_hosts(net, delay="20ms")
    await client.ping("server")
    runs.append(net)
    assert len(runs) != 2
""",
        "--pystack-twice",
    )
    assert outcomes == {"failed": 1}
    result.stdout.fnmatch_lines(
        [
            "*the first run and the second run end differently, after * equal events",
            "the first run:",
            "*nothing more happens; the test passed",
            "the second run:",
            "*nothing more happens; the test failed: *",
        ]
    )


def test_each_of_several_seeds_runs_twice(run: Run) -> None:
    result, outcomes = run(
        """
runs = []

async def test_net(net):
    runs.append(net.seed)
    print("RUN", net.seed)
    client, server = two_hosts(net, delay="20ms")
    await client.ping("server")
""",
        *("--pystack-twice", "--pystack-seeds=3", "--pystack-jobs=1", "-s"),
    )
    assert outcomes == {"passed": 3}
    assert re.findall(r"RUN (\d)", result.stdout.str()) == ["0", "0", "1", "1", "2", "2"]


def test_hypothesis_draws_the_same_in_both_runs(run: Run) -> None:
    _, outcomes = run(
        """
from hypothesis import HealthCheck, given, settings, strategies as st

@settings(database=None, max_examples=5, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.integers(0, 10**9))
async def test_ping(net, number):
    client, _ = two_hosts(net, delay=number / 10**9)
    await client.ping("server")
""",
        "--pystack-twice",
    )
    assert outcomes == {"passed": 1}
