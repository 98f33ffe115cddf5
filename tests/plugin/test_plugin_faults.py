"""Schedules of faults that Hypothesis draws, in tests with a network: found, and shrunk to one."""

import re
from collections.abc import Callable

import hypothesis
import pytest
from doc_blocks import of_language
from hypothesis import strategies as st

import pystack
import pystack.testing
from pystack.core.extras import how_to_get
from pystack.runtime.faults import LinkDown, PowerCut
from pystack.testing import Faults, faults

Run = Callable[..., tuple[pytest.RunResult, dict[str, int]]]

NAMES = {name: getattr(pystack.testing, name) for name in pystack.testing.__all__}
HEAD = """
from hypothesis import HealthCheck, Phase, given, settings
from pystack.testing import faults

settings.register_profile(
    "here", database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],  # to explain takes most of the time
)
settings.load_profile("here")

async def slow_service(stream):
    async for data in stream:
        await trio.sleep(2)
        await stream.send_all(data)
"""


def falsifying(result: pytest.RunResult) -> str:
    found = re.findall(r"schedule=(Faults\(\[.*\]\))", result.stdout.str())
    assert found
    return str(found[-1])


def test_a_client_that_breaks_if_the_link_is_down_at_the_answer(run: Run) -> None:
    result, outcomes = run(
        HEAD
        + """
async def client_with_a_bug():
    "It knows that the network fails, but not that it does while an answer is awaited."
    with trio.move_on_after(60) as trying:
        try:
            stream = await trio.open_tcp_stream("server", 7)
            await stream.send_all(b"question")
        except OSError:
            return
    if trying.cancelled_caught:
        return
    await trio.sleep(1.5)
    with trio.fail_after(1):
        await stream.receive_some()

# Without delay and rate: one from the very beginning is a smallest example too
@settings(max_examples=2000)
@given(schedule=faults(links=["client-server"], within_s=10, kinds=["down", "loss"]))
async def test_it(net, schedule):
    client, server = two_hosts(net, delay="10ms")
    await server.start(trio.serve_tcp, slow_service, 7)
    net.apply(schedule)
    await trio.sleep(3)
    await client.run(client_with_a_bug)
""",
        "--pystack-pcap=never",
    )
    assert outcomes == {"failed": 1}
    # The question is there at 3.05, and the answer on its way from 5.05 on.
    (fault,) = eval(falsifying(result), NAMES)
    # Which one depends on the numbers in the modules that are loaded: Hypothesis tries those too.
    assert isinstance(fault, LinkDown)
    assert fault.at_s <= 5.06 < fault.at_s + fault.for_s


def test_a_fault_of_one_kind_is_told_from_the_others(run: Run) -> None:
    result, outcomes = run(
        HEAD
        + """
@given(schedule=faults(links=["client-server"], nodes=["client", "server"], within_s=20))
async def test_it(net, schedule):
    "A client that takes a restart for an answer."
    client, server = two_hosts(net, delay="10ms")
    serve = lambda host: host.start_soon(trio.serve_tcp, echo, 7)
    serve(server)
    await trio.sleep(0)
    stream = await client.open_tcp_stream("server", 7)
    net.apply(schedule, restart=serve)
    for _ in range(40):
        await trio.sleep(0.5)
        try:
            await stream.send_all(b"ping")
            with trio.move_on_after(20):
                await stream.receive_some()
        except trio.BrokenResourceError as error:
            assert not isinstance(error.__cause__, ConnectionResetError)
            return
""",
        "--pystack-pcap=never",
    )
    assert outcomes == {"failed": 1}
    (fault,) = eval(falsifying(result), NAMES)
    # A reset is what a firewall says too; the simplest of the two is found.
    assert type(fault).__name__ in ("Parted", "PowerCut")
    assert fault.at_s == int(fault.at_s)


def test_it_passes_where_there_is_nothing_to_find(run: Run) -> None:
    _, outcomes = run(
        HEAD
        + """
@settings(max_examples=20)
@given(data=__import__("hypothesis").strategies.data())
async def test_it(net, data):
    client, server = two_hosts(net, delay="10ms")
    await server.start(trio.serve_tcp, echo, 7)
    schedule = data.draw(faults(net, within_s=5, kinds=["down", "delay", "loss", "rate"]))
    net.apply(schedule)
    with trio.fail_after(600):
        while True:
            with trio.move_on_after(10):
                assert await client.run(ask, b"word") == b"word"
                return
"""
    )
    assert outcomes == {"passed": 1}


def test_the_condition_that_failed_is_in_the_report(run: Run) -> None:
    result, outcomes = run(
        """
async def test_it(net):
    client, server = two_hosts(net, delay="10ms")
    net.always(lambda: server.counters["icmp_echoes"] < 2, "the server is pinged once")
    await client.ping("server")
    await client.ping("server")
    await trio.sleep(1)
"""
    )
    assert outcomes == {"failed": 1}
    result.stdout.fnmatch_lines(
        [
            "E *ConditionError: 'the server is pinged once' does not hold any more, at 0.*",
            "E *ICMP* echo request*",
            "*ConditionError: 'the server is pinged once' does not hold any more*",
        ]
    )


# The strategy itself


@hypothesis.settings(max_examples=60, database=None, derandomize=True)
@hypothesis.given(
    st.data(), st.floats(0.01, 1000), st.integers(0, 5), st.lists(st.sampled_from("abcdef"))
)
def test_all_have_begun_and_ended_within_the_time(
    data: st.DataObject, within_s: float, most: int, names: list[str]
) -> None:
    schedule = data.draw(faults(links=["a-b"], nodes=names, within_s=within_s, most=most))
    assert len(schedule) <= most
    for fault in schedule:
        assert 0 <= fault.at_s < within_s
        assert fault.at_s + fault.for_s <= within_s + 0.0015
    assert eval(repr(schedule), NAMES) == schedule


@pytest.mark.parametrize("instant", [0.3, 4.5, 7.25])
def test_it_shrinks_to_one_fault_and_round_numbers(instant: float) -> None:
    def bites(schedule: Faults) -> bool:
        return any(
            isinstance(fault, PowerCut) and fault.at_s <= instant < fault.at_s + fault.for_s
            for fault in schedule
        )

    strategy = faults(links=["a-b", "b-c"], nodes=["a", "b", "c"], within_s=20, most=4)
    found = hypothesis.find(
        strategy, bites, settings=hypothesis.settings(database=None, derandomize=True)
    )
    (fault,) = found
    assert (fault.at_s, fault.for_s) in ((0, 1), (0, 5), (0, 10))


def test_the_least_is_no_fault_at_all() -> None:
    strategy = faults(links=["a-b"], within_s=20)
    assert hypothesis.find(strategy, lambda schedule: True) == Faults()
    assert hypothesis.find(strategy, bool) == Faults([LinkDown("a-b", at_s=0, for_s=1)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"within_s": 10}, "nothing for faults to happen to"),
        ({"within_s": 0, "links": ["a-b"]}, "within_s is 0"),
        ({"within_s": "10s", "links": ["a-b"]}, "within_s is '10s'"),
        ({"within_s": 10, "links": "a-b"}, "links is a list of them"),
        ({"within_s": 10, "links": [7]}, "7 in links has no name"),
        ({"within_s": 10, "links": ["a-b"], "kinds": "down"}, "kinds is a list"),
        ({"within_s": 10, "links": ["a-b"], "kinds": ["dwn"]}, "did you mean 'down'"),
        ({"within_s": 10, "links": ["a-b"], "kinds": ["power"]}, "1 or more nodes: name them"),
        ({"within_s": 10, "nodes": ["a"], "kinds": ["partition"]}, "2 or more nodes"),
        ({"within_s": 10, "nodes": ["a"], "kinds": ["loss"]}, "happen to links"),
        ({"within_s": 10, "nodes": ["a"], "most": -1}, "most is -1"),
    ],
)
def test_bad_input_is_refused(words: dict[str, object], message: str) -> None:
    with pytest.raises(pystack.ConfigError, match=message):
        faults(**words)  # type: ignore[arg-type]


def test_without_hypothesis_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hypothesis.strategies", None)
    how = re.escape(how_to_get("hypothesis"))
    with pytest.raises(pystack.ConfigError, match=f"needs hypothesis: {how}"):
        faults(links=["a-b"], within_s=10)


def test_the_example_of_the_docs_fails_as_it_says(run: Run) -> None:
    (block,) = (block for block in of_language("python") if block.file == "test_answers.py")
    result, outcomes = run(HEAD + block.text, "--pystack-pcap=never")
    assert outcomes == {"failed": 1}
    (said,) = (line for line in block.page.read_text().splitlines() if line.startswith("schedule="))
    assert said in result.stdout.str()
