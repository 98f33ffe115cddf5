"""Beside the world's clock: freezegun, time-machine, pytest, logging, and libraries that wait."""

import datetime
import logging
import subprocess
import sys
import time
from pathlib import Path
from time import time as held_time

import pytest
import trio

import pystack

EPOCH = 1767225600
UTC = datetime.UTC
FROZEN = datetime.datetime(2012, 1, 14, tzinfo=UTC)


def shown() -> tuple[float, float, float]:
    return time.time(), datetime.datetime.now(UTC).timestamp(), datetime.datetime.now().timestamp()


def test_time_machine_wins_inside_of_its_block() -> None:
    time_machine = pytest.importorskip("time_machine")
    then = FROZEN.timestamp()

    async def program() -> None:
        assert shown() == (EPOCH, EPOCH, EPOCH)
        with time_machine.travel(FROZEN, tick=False):
            assert shown() == (then, then, then)
            assert held_time() == then
            await trio.sleep(5)
            assert shown() == (then, then, then)
        assert shown() == (EPOCH + 5, EPOCH + 5, EPOCH + 5)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await net.host("a").run(program)
            assert time.time() > EPOCH + 5
            with time_machine.travel(FROZEN, tick=False):
                assert shown() == (then, then, then)

    for _ in range(2):
        pystack.run(main)
        assert abs(time.time() - trio.run(_machines)) < 100
        with time_machine.travel(FROZEN, tick=False):
            assert shown() == (then, then, then)


async def _machines() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)


def test_a_run_inside_of_time_machines_block() -> None:
    time_machine = pytest.importorskip("time_machine")
    then = FROZEN.timestamp()
    travel = time_machine.travel(FROZEN, tick=False)

    async def program() -> None:
        assert shown() == (then, then, then)
        travel.stop()
        assert shown() == (EPOCH, EPOCH, EPOCH)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await net.host("a").run(program)
            assert time.time() > EPOCH

    travel.start()
    pystack.run(main)
    assert time.time() > EPOCH
    with travel:
        pystack.run(_opened)
        assert shown() == (then, then, then)
    assert time.time() > EPOCH


async def _opened() -> None:
    async with pystack.Network(seed=1) as net:
        net.host("a")


def test_a_block_that_ends_after_the_network_leaves_all_as_it_was() -> None:
    time_machine = pytest.importorskip("time_machine")
    travel = time_machine.travel(FROZEN, tick=False)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.host("a")
            travel.start()

    pystack.run(main)
    assert held_time() == FROZEN.timestamp()
    travel.stop()
    assert held_time() > EPOCH
    pystack.run(_opened)
    assert time.time() > EPOCH


def test_freezegun_wins_inside_of_its_block() -> None:
    freezegun = pytest.importorskip("freezegun")
    then = FROZEN.timestamp()

    async def program() -> None:
        assert shown() == (EPOCH, EPOCH, EPOCH)
        with freezegun.freeze_time("2012-01-14"):
            assert shown()[:2] == (then, then)
            assert datetime.date.today() == datetime.date(2012, 1, 14)
            await trio.sleep(5)
            assert shown()[:2] == (then, then)
        assert shown() == (EPOCH + 5, EPOCH + 5, EPOCH + 5)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await net.host("a").run(program)

    for _ in range(2):
        pystack.run(main)
        assert time.time() > EPOCH + 5
        with freezegun.freeze_time("2012-01-14"):
            pystack.run(_opened)
            assert shown()[0] == then
    with freezegun.freeze_time("2012-01-14"):
        pystack.run(_frozen)


async def _frozen() -> None:
    async def program() -> None:
        assert shown()[:2] == (FROZEN.timestamp(), FROZEN.timestamp())

    async with pystack.Network(seed=1) as net:
        await net.host("a").run(program)


def test_records_of_logging_have_the_time_of_where_they_are_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def program() -> None:
        logging.getLogger("program").warning("here")

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await trio.sleep(7)
            await net.host("a").run(program)
            logging.getLogger("test").warning("there")

    pystack.run(main)
    there, here = sorted(caplog.records, key=lambda record: record.name, reverse=True)
    assert here.created == EPOCH + 7
    assert there.created > EPOCH + 1000


def test_pytest_measures_by_the_machines_clock(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("""
import time
import pytest, trio
from hypothesis import HealthCheck, given, settings, strategies as st

@pytest.mark.pystack(world="whole", epoch="2030-01-01T00:00:00Z")
async def test_an_hour(net):
    assert time.time() == 1893456000
    await trio.sleep(3600)
    assert time.time() == 1893459600

@pytest.mark.pystack(world="whole")
@settings(deadline=5000, max_examples=5, suppress_health_check=list(HealthCheck))
@given(number=st.integers())
async def test_with_a_deadline(net, number):
    await trio.sleep(3600)
    assert time.monotonic() == 3600
""")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=0", "-vv",
         str(tmp_path)],
        capture_output=True, text=True, timeout=100, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert not [line for line in done.stdout.splitlines() if "3600" in line]


def test_a_budget_of_three_seconds_ends_after_three_seconds() -> None:
    tenacity = pytest.importorskip("tenacity")
    tries: list[float] = []

    @tenacity.retry(
        stop=tenacity.stop_after_delay(3), wait=tenacity.wait_fixed(0.7), sleep=trio.sleep
    )
    async def program() -> None:
        tries.append(trio.current_time())
        raise OSError("it is not there")

    async def main() -> float:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(tenacity.RetryError):
                await net.host("a").run(program)
            return trio.current_time()

    assert pystack.run(main) == pytest.approx(3.5)
    assert tries == pytest.approx([0, 0.7, 1.4, 2.1, 2.8, 3.5])


def test_a_cache_expires_in_the_worlds_time() -> None:
    cachetools = pytest.importorskip("cachetools")

    async def program() -> list[bool]:
        cache = cachetools.TTLCache(10, ttl=60)
        cache["key"] = 1
        await trio.sleep(59)
        kept = ["key" in cache]
        await trio.sleep(1)
        return [*kept, "key" in cache]

    async def main() -> list[bool]:
        async with pystack.Network(seed=1) as net:
            return await net.host("a").run(program)

    assert pystack.run(main) == [True, False]


def test_a_token_expires_in_the_worlds_time_also_with_a_clock_that_is_wrong() -> None:
    itsdangerous = pytest.importorskip("itsdangerous")

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            signer = itsdangerous.TimestampSigner("secret")
            a, late = net.host("a"), net.host("late", clock_offset="1h")

            async def sign() -> bytes:
                return signer.sign("x")

            async def judge() -> str:
                try:
                    return signer.unsign(token, max_age=60).decode()
                except itsdangerous.SignatureExpired:
                    return "expired"

            token = await a.run(sign)
            await trio.sleep(60)
            assert await a.run(judge) == "x"
            assert await late.run(judge) == "expired"
            await trio.sleep(1)
            assert await a.run(judge) == "expired"

    pystack.run(main)
