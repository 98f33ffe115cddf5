"""What is always to hold, and what is to come: looked at after every event of the world."""

import asyncio
import re

import pytest
import trio

import pystack
from pystack.testing import ConditionError, Faults, LinkDown


def pair(net: pystack.Network) -> tuple[pystack.Host, pystack.Host]:
    client, server = net.host("client"), net.host("server")
    net.link(client, server, delay="10ms")
    return client, server


def test_always_fails_at_the_very_event_and_names_words_instant_and_what_happened() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            client, server = pair(net)
            net.always(lambda: server.counters["icmp_echoes"] < 2, "the server is asked once")
            await client.ping("server")
            await client.ping("server")
            await trio.sleep(5)

    with pytest.raises(ConditionError) as failed:
        pystack.run(main)
    assert isinstance(failed.value, AssertionError)
    text = str(failed.value)
    # ARP takes 20 ms, the first ping 20, and the second arrives 10 later
    assert text.startswith("'the server is asked once' does not hold any more, at 0.050000 s; ")
    assert re.search(r"0\.040000 .*ICMP echo request", text)


def test_it_is_looked_at_where_only_a_task_has_changed_something() -> None:
    state = {"leaders": 1}

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.always(lambda: state["leaders"] == 1, "one leader")
            await trio.sleep(2)
            state["leaders"] = 2
            await trio.lowlevel.checkpoint()  # time stands still, so nothing has happened
            await trio.sleep(1)
            pytest.fail("it went on")

    with pytest.raises(ConditionError, match=r"^'one leader' does not hold any more, at 2\.0"):
        pystack.run(main)


def test_what_does_not_hold_at_once_is_refused_where_it_is_said() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(ConditionError, match="'never' does not hold any more, at 0"):
                net.always(lambda: False, "never")
            with pytest.raises(ConditionError, match="returned None"):
                net.always(lambda: None, "nothing")
            await trio.sleep(1)

    pystack.run(main)


def test_a_change_just_before_the_end_is_seen() -> None:
    state = [True]

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.always(lambda: state[0], "it stays")
            await trio.sleep(1)
            state[0] = False

    with pytest.raises(ConditionError, match="'it stays' does not hold any more, at 1"):
        pystack.run(main)


def test_eventually_is_met_or_fails_at_its_deadline() -> None:
    async def main(within_s: float) -> float | None:
        async with pystack.Network(seed=1, ip="4") as net:
            client, server = pair(net)
            asked = net.eventually(
                lambda: server.counters["icmp_echoes"] >= 3, "three pings", within_s=within_s
            )
            for _ in range(3):
                await client.ping("server")
            await trio.sleep(5)
            return asked.met_at

    assert pystack.run(main, 1.0) == pytest.approx(0.07)
    assert pystack.run(main, 0.0701) == pytest.approx(0.07)
    with pytest.raises(ConditionError, match=r"^'three pings' has not come true in time, at 0\.06"):
        pystack.run(main, 0.06)


def test_eventually_without_a_deadline_fails_at_the_end_of_the_network() -> None:
    async def main(*, meets: bool, breaks: bool = False) -> None:
        async with pystack.Network(seed=1) as net:
            done: list[int] = []
            net.eventually(lambda: done, "it is done")
            await trio.sleep(3)
            if breaks:
                raise KeyError("another thing")
            if meets:
                done.append(1)

    async def met() -> None:
        await main(meets=True)

    async def unmet() -> None:
        await main(meets=False)

    async def broken() -> None:
        await main(meets=False, breaks=True)

    pystack.run(met)
    with pytest.raises(ConditionError, match="'it is done' has not come true before the end, at 3"):
        pystack.run(unmet)
    with pytest.raises(KeyError, match="another thing"):
        pystack.run(broken)


def test_a_predicate_that_raises_is_told_with_its_words() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            things: list[int] = [1]
            net.always(lambda: things[0], "there is a thing")
            net.after(2, things.clear)
            await trio.sleep(5)

    with pytest.raises(IndexError) as raised:
        pystack.run(main)
    assert raised.value.__notes__ == ["pystack: in the condition 'there is a thing', at 2.000000 s"]


def test_they_can_be_taken_back() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            state = [True]
            with net.always(lambda: state[0], "in the block"):
                await trio.sleep(1)
            one = net.always(lambda: state[0], "until taken back")
            net.eventually(lambda: False, "never", within_s=2).cancel()
            one.cancel()
            one.cancel()
            state[0] = False
            await trio.sleep(5)
            assert not net.driver.checks
            with (
                pytest.raises(ConditionError, match="before the end"),
                net.eventually(lambda: state[0], "by the end of the block"),
            ):
                await trio.sleep(1)

    pystack.run(main)


def test_the_program_may_clean_up_after_the_failure() -> None:
    seen: list[str] = []

    async def program() -> None:
        try:
            await trio.sleep_forever()
        finally:
            seen.append("cleaned")

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            host.start_soon(program)
            net.always(lambda: net.now() < 1, "before one")
            await trio.sleep(3)

    with pytest.raises(ConditionError):
        pystack.run(main)
    assert seen == ["cleaned"]


def test_in_real_time_too() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            state = [True]
            net.always(lambda: state[0], "in real time")
            net.after("10ms", state.clear)
            net.after("20ms", lambda: None)
            await trio.sleep(10)

    with pytest.raises(BaseException) as failed:  # noqa: PT011  # a group, from the driver's task
        trio.run(main)
    error = failed.value
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, IndexError)
    assert "'in real time'" in error.__notes__[0]


async def nothing() -> bool:
    return True


@pytest.mark.parametrize(
    ("predicate", "words", "within_s", "message"),
    [
        (nothing, "w", 1, "'w' is an async function"),
        (3, "w", 1, "a function to call, not 3"),
        (lambda: True, "", 1, "said in words"),
        (lambda: True, None, 1, "said in words"),
        (lambda: False, "w", -1, "-1 is not a time"),
        (lambda: False, "w", "soon", "'soon' is not a time"),
    ],
)
def test_bad_input_is_refused(
    predicate: object, words: object, within_s: object, message: str
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(pystack.ConfigError, match=message):
                net.eventually(predicate, words, within_s=within_s)  # type: ignore[arg-type]

    pystack.run(main)


def test_looking_changes_nothing_of_the_run() -> None:
    async def main(*, looks: bool) -> list[float]:
        async with pystack.Network(seed=3) as net:
            client, _ = net.host("client"), net.host("server")
            net.link("client", "server", delay="10ms 5ms", loss="20%")
            if looks:
                net.always(lambda: True, "true")
                net.eventually(lambda: False, "false", within_s=1e6).cancel()
            times: list[float] = []
            for _ in range(20):
                with trio.move_on_after(1):
                    times.append(await client.ping("server"))
            return times

    async def with_looks() -> list[float]:
        return await main(looks=True)

    async def without() -> list[float]:
        return await main(looks=False)

    assert pystack.run(with_looks) == pystack.run(without)


def test_in_asyncio_too() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            pair(net)
            net.apply(Faults([LinkDown("client-server", at_s=1, for_s=1)]))
            link = net.links[0]
            net.eventually(lambda: link.a_to_b.is_down, "the link is cut", within_s=1.5)
            net.always(lambda: not link.a_to_b.is_down or net.now() >= 1, "not before it is")
            await asyncio.sleep(1.5)
            net.always(lambda: link.a_to_b.is_down, "it stays cut")
            await asyncio.sleep(5)

    with pytest.raises(ConditionError, match=r"^'it stays cut' does not hold any more, at 2\.0"):
        pystack.run_asyncio(main)
