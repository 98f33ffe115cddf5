"""The clock of programs on hosts in virtual time: all that shows it shows the world's."""

import datetime
import email.utils
import http.cookies
import time
from collections.abc import Callable
from time import monotonic as held_monotonic
from time import time as held_time

import pytest
import trio

import pystack
from pystack.core.errors import ConfigError
from pystack.runtime.borrowed.clock import BlockedWorldError

EPOCH = 1767225600  # 2026-01-01T00:00:00Z
UTC = datetime.UTC
held_now = datetime.datetime.now
held_utcnow = datetime.datetime.utcnow


class Later(datetime.datetime):
    """One of a library, with ideas of its own about what a number means."""

    @classmethod
    def fromtimestamp(cls, seconds: float, tz: datetime.tzinfo | None = None) -> "Later":
        """Return an hour later."""
        return super().fromtimestamp(seconds + 3600, tz)


held_later = Later.now


def on_a_host(program: Callable[[], object], at: float = 2.5, **words: object) -> object:
    """Return what a function returns on a host, so many seconds after the beginning."""

    async def called() -> object:
        return program()

    async def main() -> object:
        await trio.sleep(at)
        network = {name: words.pop(name) for name in ("epoch", "world") if name in words}
        async with pystack.Network(seed=1, **network) as net:
            return await net.host("a", **words).run(called)

    return pystack.run(main)


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        (time.time, EPOCH + 2.5),
        (held_time, EPOCH + 2.5),
        (time.time_ns, EPOCH * 10**9 + 2_500_000_000),
        (time.monotonic, 2.5),
        (held_monotonic, 2.5),
        (time.monotonic_ns, 2_500_000_000),
        (time.perf_counter, 2.5),
        (time.perf_counter_ns, 2_500_000_000),
        (lambda: time.clock_gettime(time.CLOCK_REALTIME), EPOCH + 2.5),
        (lambda: time.clock_gettime(time.CLOCK_TAI), EPOCH + 39.5),
        (lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME), 2_500_000_000),
        (lambda: time.gmtime()[:6], (2026, 1, 1, 0, 0, 2)),
        (lambda: time.gmtime(None)[:6], (2026, 1, 1, 0, 0, 2)),
        (lambda: time.gmtime(0)[:6], (1970, 1, 1, 0, 0, 0)),
        (lambda: time.mktime(time.localtime()), EPOCH + 2),
        (lambda: time.ctime() == time.asctime() == time.ctime(EPOCH + 2), True),
        (lambda: time.strftime("%Y %S"), time.strftime("%Y %S", time.localtime(EPOCH + 2))),
        (lambda: time.strftime("%Y", time.gmtime(0)), "1970"),
        (lambda: datetime.datetime.now(UTC).isoformat(), "2026-01-01T00:00:02.500000+00:00"),
        (lambda: datetime.datetime.now(tz=UTC).timestamp(), EPOCH + 2.5),
        (lambda: datetime.datetime.now().timestamp(), EPOCH + 2.5),
        (lambda: datetime.datetime.today().timestamp(), EPOCH + 2.5),
        (lambda: held_now(UTC).timestamp(), EPOCH + 2.5),
        (lambda: held_now(tz=UTC).timestamp(), EPOCH + 2.5),
        (lambda: held_now().timestamp(), EPOCH + 2.5),
        (lambda: Later.now(UTC).timestamp(), EPOCH + 2.5),
        (lambda: type(Later.now()), Later),
        (lambda: held_later(UTC).timestamp(), EPOCH + 2.5),
        (lambda: type(held_later()), Later),
        (datetime.date.today, datetime.date.fromtimestamp(EPOCH + 2)),
        (lambda: email.utils.formatdate(usegmt=True), "Thu, 01 Jan 2026 00:00:02 GMT"),
        (lambda: email.utils.localtime().timestamp(), EPOCH + 2.5),
        (
            lambda: http.cookies.SimpleCookie('a=1; expires="x"') and http.cookies._getdate(60),
            "Thu, 01 Jan 2026 00:01:02 GMT",
        ),
    ],
)
def test_what_programs_see(program: Callable[[], object], shown: object) -> None:
    assert on_a_host(program) == shown


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("utcnow", [lambda: datetime.datetime.utcnow(), held_utcnow])
def test_what_is_deprecated_shows_the_same(utcnow: Callable[[], datetime.datetime]) -> None:
    assert on_a_host(utcnow) == datetime.datetime(2026, 1, 1, 0, 0, 2, 500000)


def test_what_holds_now_from_before_has_the_machines_elsewhere() -> None:
    async def main() -> list[datetime.datetime]:
        async with pystack.Network(seed=1):
            return [held_now(UTC), datetime.datetime.now(UTC), held_later(tz=UTC), held_now(UTC)]

    before = held_now(UTC)
    during = pystack.run(main)
    shown = [before, *during, held_now(UTC)]
    assert shown == sorted(shown)
    assert shown[-1] - before < datetime.timedelta(seconds=500)


def test_on_no_host_it_is_the_machines_and_so_it_is_again_afterwards() -> None:
    before = time.time(), time.monotonic(), datetime.datetime.now()

    async def main() -> None:
        await trio.sleep(1000)
        async with pystack.Network(seed=1) as net:
            net.host("a")
            assert time.time() - before[0] < 500
            assert time.monotonic() - before[1] < 500
            assert datetime.datetime.now() - before[2] < datetime.timedelta(seconds=500)

    pystack.run(main)
    assert before[0] <= time.time() < before[0] + 500
    assert time.gmtime().tm_year == datetime.datetime.now(UTC).year


def test_in_real_time_it_is_the_machines() -> None:
    async def program() -> float:
        return time.time()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            before = time.time()
            assert before <= await net.host("a").run(program) <= time.time()

    trio.run(main)


def test_a_sleep_that_would_stop_the_world_is_refused() -> None:
    with pytest.raises(
        BlockedWorldError, match=r"time.sleep\(3\) would stop the world of a, .* `await trio.sleep`"
    ):
        on_a_host(lambda: time.sleep(3))
    assert on_a_host(lambda: time.sleep(0)) is None


@pytest.mark.parametrize(
    "epoch",
    ["2030-05-01T12:00:00+02:00", "2030-05-01 10:00:00", "2030-05-01T10:00:00z", 1903860000,
     datetime.datetime(2030, 5, 1, 10), datetime.datetime(2030, 5, 1, 10, tzinfo=UTC)],
)  # fmt: skip
def test_the_calendar_begins_where_it_is_told_to(epoch: object) -> None:
    assert on_a_host(time.time, epoch=epoch) == 1903860002.5


@pytest.mark.parametrize(
    "epoch", ["yesterday", "12:00", -1, True, None, float("nan"), "1969-12-31T00:00:00Z", 1e12]
)
def test_what_is_no_date_is_refused(epoch: object) -> None:
    with pytest.raises(ConfigError, match="epoch"):
        pystack.Network(epoch=epoch)


def test_the_words_for_whose_clock_it_is_are_two() -> None:
    with pytest.raises(ConfigError, match="'hosts' or 'whole'"):
        pystack.Network(world="all")  # type: ignore[arg-type]


def test_the_whole_block_may_have_the_worlds_clock() -> None:
    async def other() -> None:
        shown.append(time.time())

    shown: list[float] = []

    async def main() -> None:
        async with pystack.Network(seed=1, world="whole", epoch=0) as outer:
            await trio.sleep(1)
            shown.append(time.time())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(other)
            async with pystack.Network(seed=1, world="whole", epoch=100) as inner:
                await inner.host("a").run(other)
                await outer.host("a").run(other)
                shown.append(time.time())
            async with pystack.Network(seed=1, epoch=100):
                shown.append(time.time())
        assert time.time() > 1e9

    pystack.run(main)
    assert shown == [1, 1, 101, 1, 101, 1]


Shown = list[tuple[float, float]]


def shown_by(clock: dict[str, object], *steps: Callable[[pystack.Host], object]) -> Shown:
    """Return time and monotonic of a host after 100 s each, with a step of its clock between."""
    shown: Shown = []

    async def program() -> None:
        shown.append((time.time() - EPOCH, time.monotonic()))

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a", **clock)
            await host.run(program)
            for step in steps:
                await trio.sleep(100)
                step(host)
                await host.run(program)

    pystack.run(main)
    return shown


def waits(_host: pystack.Host) -> None:
    """Do nothing to its clock."""


def test_a_clock_may_be_ahead_or_behind() -> None:
    assert shown_by({"clock_offset": "2s"}, waits) == [(2, 0), (102, 100)]
    assert shown_by({"clock_offset": -1.5}, waits) == [(-1.5, 0), (98.5, 100)]
    assert shown_by({"clock_offset": "-500ms"}) == [(-0.5, 0)]


def test_a_clock_that_runs_too_fast_takes_monotonic_along() -> None:
    assert shown_by({"clock_drift": "1%"}, waits) == [(0, 0), (101, 101)]
    ((at, monotonic),) = shown_by({"clock_drift": "-50ppm"}, waits)[1:]
    assert (at, monotonic) == (pytest.approx(99.995), pytest.approx(99.995))


def test_a_step_moves_the_calendar_alone() -> None:
    clock = {"clock_offset": "5s", "clock_drift": "1%"}
    shown = shown_by(clock, lambda host: host.set_clock(), waits)
    assert shown == [(5, 0), (100, 101), (201, 202)]
    shown = shown_by(clock, lambda host: host.set_clock(offset="-1s", drift=0), waits)
    assert shown == [(5, 0), (99, 101), (199, 201)]


def test_a_program_may_set_the_clock_of_its_host_and_no_other() -> None:
    def program() -> tuple[float, float]:
        time.clock_settime(time.CLOCK_REALTIME, 1000.0)
        with pytest.raises(OSError, match="Invalid"):
            time.clock_settime(time.CLOCK_MONOTONIC, 1000.0)
        return time.time(), time.monotonic()

    assert on_a_host(program) == (1000.0, 2.5)
    assert time.time() > 1e9


@pytest.mark.parametrize(
    "words",
    [{"clock_offset": "2"}, {"clock_offset": "x"}, {"clock_offset": True}, {"clock_offset": None},
     {"clock_drift": "50"}, {"clock_drift": 0.7}, {"clock_drift": "x"}, {"clock_drift": True},
     {"clock_offset": float("inf")}, {"clock_drift": float("nan")}],
)  # fmt: skip
def test_no_such_clock(words: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        on_a_host(time.time, **words)


def test_in_real_time_no_clock_is_wrong_by_itself() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(ConfigError, match="clock of a is the machine's"):
                net.host("a", clock_offset="1s")
            with pytest.raises(ConfigError, match="clock of b is the machine's"):
                net.host("b").set_clock()

    trio.run(main)


def test_a_sleep_in_a_thread_of_trio_lets_virtual_time_pass() -> None:
    def sleep() -> float:
        began_at = time.monotonic()
        time.sleep(3600)
        return time.monotonic() - began_at

    async def main() -> float:
        async with pystack.Network(seed=1) as net:
            return await net.host("a").run(trio.to_thread.run_sync, sleep)

    assert pystack.run(main) == 3600


def test_a_sleep_in_a_thread_of_the_world_lets_virtual_time_pass() -> None:
    def sleep() -> tuple[float, float]:
        began_at = time.monotonic(), time.time()
        time.sleep(3600)
        return time.monotonic() - began_at[0], time.time() - began_at[1]

    async def main() -> tuple[float, float]:
        async with pystack.Network(seed=1) as net:
            return await net.host("a").run_sync(sleep)

    assert pystack.run(main) == (3600, 3600)
