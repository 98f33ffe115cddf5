"""One clock: the network's, its hosts' and Trio's, in virtual time and in real time."""

from collections.abc import Callable

import pytest
import trio

import pystack
from pystack.core.errors import ConfigError

RUNS = {"virtual": pystack.run, "real": trio.run}


async def clocks_agree() -> None:
    await trio.sleep(0.01)  # it is not opened at 0
    async with pystack.Network(seed=1) as net:
        host = net.host("a")
        assert net.opened_at > 0
        for _ in range(3):
            before = trio.current_time()
            times = net.now(), host.now()
            after = trio.current_time()
            assert before <= times[0] <= times[1] <= after
            await trio.sleep(0.01)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_the_network_its_hosts_and_trio_have_one_clock(run: Callable[..., object]) -> None:
    run(clocks_agree)


def test_in_virtual_time_they_are_equal() -> None:
    async def main() -> None:
        await trio.sleep(3)
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            assert net.now() == host.now() == trio.current_time() == net.opened_at == 3.0
            await trio.sleep(1.5)
            assert net.now() == host.now() == trio.current_time() == 4.5

    pystack.run(main)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_what_is_planned_is_planned_on_that_clock(run: Callable[..., object]) -> None:
    async def main() -> None:
        await trio.sleep(0.01)
        async with pystack.Network(seed=1) as net:
            seen: list[tuple[str, bool]] = []
            done = trio.Event()

            def note(name: str, due: float) -> Callable[[], None]:
                def fn() -> None:
                    seen.append((name, net.now() >= due))
                    if name == "last":
                        done.set()

                return fn

            net.at(net.now() + 0.01, note("at", net.now() + 0.01))
            net.after("20ms", note("after", net.now() + 0.02))
            net.at("30ms", note("text", net.opened_at + 0.03))
            net.timeline([("40ms", note("last", net.opened_at + 0.04))])
            with pytest.raises(ConfigError, match=r"has passed.* since the opening"):
                net.at(0.001, note("never", 0))
            await done.wait()
            assert seen == [("at", True), ("after", True), ("text", True), ("last", True)]

    run(main)
