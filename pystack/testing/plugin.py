"""The pytest plug-in: the fixture `net`, and tests in virtual time.

It is loaded in every run of pytest where pystack is installed, so it imports nothing of the stack
before a test needs it (`bench.py` does).
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pystack.runtime.network import Network
    from pystack.testing.bench import Bench
    from pystack.testing.on_asyncio import Stay

_WORDS: Final = (
    *("seed", "ip", "subnet", "subnet6", "seal"),
    *("schedule", "timeout_s", "world", "epoch"),
)
_DEFAULT_SEED: Final = 0
_MAX_SEEDS: Final = 100_000
_SEED_FIXTURE: Final = "pystack_seed"
_bench_key: Final = pytest.StashKey["Bench"]()
# Of one of several runs of a test: its seed, and whether it may write a capture
_seed_key: Final = pytest.StashKey[int]()
_has_capture_key: Final = pytest.StashKey[bool]()
_stay_key: Final = pytest.StashKey["Stay"]()  # where it is asyncio that runs the test


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("pystack", "pystack: an emulated network in virtual time")
    group.addoption(
        "--pystack-seed",
        type=int,
        metavar="N",
        help="seed of every test with a network, in place of the one that its marker gives (or 0)",
    )
    group.addoption(
        "--pystack-seeds",
        type=_count,
        default=1,
        metavar="N",
        help="run every test with a network with N seeds, spread over processes, up to the first "
        "that fails; one that failed before goes first",
    )
    group.addoption(
        "--pystack-jobs",
        type=_count,
        metavar="N",
        help="over how many processes to spread seeds (default: one for each processor)",
    )
    group.addoption(
        "--pystack-twice",
        action="store_true",
        help="run every test with a network twice, and fail where the two runs differ",
    )
    group.addoption(
        "--pystack-pcap",
        choices=("always", "failed", "never"),
        default="failed",
        help="of which tests to keep a capture of all frames (default: failed)",
    )
    group.addoption(
        "--pystack-pcap-dir",
        metavar="DIR",
        help="where to keep them (default: pytest's directory for temporary files)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker."""
    config.addinivalue_line(
        "markers",
        "pystack(seed=0, ip='both', subnet='10.0.0.0/24', subnet6='fd00::/64', seal=True, "
        "schedule='fifo', timeout_s=None, world='hosts', epoch='2026-01-01T00:00:00Z'): "
        "run an async test in virtual time, and say how its network is to be",
    )
    if _explores(config):
        from pystack.testing.seeds_told import SeedsTold

        config.pluginmanager.register(SeedsTold(config), "pystack-seeds")


def _explores(config: pytest.Config) -> bool:
    """Tell whether tests run with several seeds, or twice."""
    return bool(config.getoption("--pystack-seeds") > 1 or config.getoption("--pystack-twice"))


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_SEEDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MAX_SEEDS}")
    return int(text)


# The fixtures


@pytest.fixture
def pystack_seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this run of the test."""
    given: object = getattr(request, "param", None)
    if isinstance(given, int):
        return given
    seed: int = request.node.stash.get(_seed_key, _first_seed(request.node))
    return seed


@pytest.fixture
def net(
    request: pytest.FixtureRequest, pystack_seed: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Network]:
    """Give a network in virtual time. It is open while the test and its async fixtures run."""
    item = request.node
    if not _is_ours(item):
        name = getattr(item, "originalname", item.name)
        pytest.fail(f"net needs an async test: write `async def {name}`", pytrace=False)
    capture: Path | None = None
    if item.config.getoption("--pystack-pcap") != "never" and item.stash.get(
        _has_capture_key, True
    ):
        chosen = item.config.getoption("--pystack-pcap-dir")
        folder = Path(chosen) if chosen else tmp_path_factory.getbasetemp() / "pystack"
        folder.mkdir(parents=True, exist_ok=True)
        name = _file_name(item.nodeid)
        if item.config.getoption("--pystack-seeds") > 1:
            name += f"_{pystack_seed}"
        capture = folder / f"{name}.pcapng"
    bench = item.stash[_bench_key] = _make_bench(item, pystack_seed, capture)
    network = bench.make_network()
    if not _on_asyncio(request):
        yield network
        return
    from pystack.testing.on_asyncio import Stay, loop_of

    with ExitStack() as lease:
        loop = loop_of(request, lease)
        bench.begin_in(loop)
        stay = item.stash[_stay_key] = Stay(bench, loop)
        stay.open()
        lease.callback(stay.close)
        yield network


# Choosing and running tests


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Let a test that is marked know its seed, also if it takes no fixture."""
    if (
        isinstance(collector, pytest.Module | pytest.Class)
        and collector.istestfunction(obj, name)
        and iscoroutinefunction(_inner(obj))
        and any(
            mark.name == "pystack"
            for mark in (*collector.iter_markers(), *getattr(obj, "pytestmark", ()))
        )
    ):
        pytest.mark.usefixtures(_SEED_FIXTURE)(obj)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test of ours with all seeds that are asked for, or twice."""
    if not (_explores(item.config) and isinstance(item, pytest.Function) and _is_ours(item)):
        return None
    from pystack.testing.exploring import explore, jobs_of
    from pystack.testing.seed_run import Runner

    def prepare(seed: int, *, has_capture: bool) -> None:
        item.stash[_seed_key], item.stash[_has_capture_key] = seed, has_capture

    first = _first_seed(item)
    seeds = range(first, first + item.config.getoption("--pystack-seeds"))
    twice: bool = item.config.getoption("--pystack-twice")
    runner = Runner(item, prepare, twice=twice)
    explore(runner, nextitem, seeds, jobs=jobs_of(item.config), again=partial(_replay, item))
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check the markers; and where pytest-trio is there, let it run our tests in our way.

    It looks for a marker that says how to run, so async fixtures work with it as they always do.
    """
    for item in items:
        _marker_words(item)
        if _is_ours(item) and _by_pytest_trio(item):
            item.add_marker(pytest.mark.trio(run=_Runner(item)), append=False)


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Let asyncio's runners have event loops of ours, for a test that they run."""
    with _own_loops(item):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> None:
    """Refuse async fixtures that would run elsewhere than the test."""
    is_async = iscoroutinefunction(fixturedef.func) or isasyncgenfunction(fixturedef.func)
    if is_async and _is_ours(request.node) and not _has_plugin_to_run(request):
        why = "needs pytest-trio to be installed"
        if "anyio_backend" in request.fixturenames:
            why = "cannot be had with the marker anyio: leave that out"
        elif _inner(request.node.obj) is not request.node.obj:
            why = "cannot be had with Hypothesis: each example has a network of its own"
        pytest.fail(
            f"the async fixture {fixturedef.argname!r} of a test in virtual time {why}",
            pytrace=False,
        )


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Run an async test that is ours in virtual time."""
    __tracebackhide__ = True
    if not isinstance(item, pytest.Function) or not _is_ours(item):
        return (yield)
    funcargs: dict[str, Any] = item.funcargs
    if _bench_key not in item.stash:  # marked, and without a network
        item.stash[_bench_key] = _make_bench(item, funcargs[_SEED_FIXTURE], None)
    if _by_pytest_trio(item):
        return (yield)  # it will call the `_Runner`
    if _by_asyncio(item, funcargs.get("anyio_backend")):
        stay: Stay | None = item.stash.get(_stay_key, None)
        with (
            _own_loops(item),
            _replaced(item, _inner(item.obj) if stay is None else stay.told(_inner(item.obj))),
        ):
            return (yield)
    with _made_sync(item):
        return (yield)


class _Runner:
    """`trio.run`, for the test of one item."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def __call__(
        self,
        async_fn: Callable[[], Awaitable[object]],
        *,
        clock: object = None,
        instruments: Sequence[object] = (),
    ) -> None:
        """Run it. `clock` and `instruments` are what fixtures brought to pytest-trio."""
        __tracebackhide__ = True
        self._item.stash[_bench_key].run(async_fn, clock=clock, instruments=instruments)


def _made_sync(item: pytest.Function) -> AbstractContextManager[None]:
    """Let a test be an ordinary function for all plug-ins, whose call runs it in virtual time."""
    inner, bench = _inner(item.obj), item.stash[_bench_key]

    def in_virtual_time(*args: object, **kwargs: object) -> None:
        __tracebackhide__ = True
        bench.run(partial(inner, *args, **kwargs))

    in_virtual_time._trio_test_runner_wrapped = True  # type: ignore[attr-defined]
    return _replaced(item, in_virtual_time)


@contextmanager
def _replaced(item: pytest.Function, function: Callable[..., object]) -> Iterator[None]:
    """Have another function in the place of a test, as it was written: Hypothesis wraps it."""
    original, inner = item.obj, _inner(item.obj)
    if inner is original:
        item.obj = function
    else:
        original.hypothesis.inner_test = function
    try:
        yield
    finally:
        if inner is original:
            item.obj = original
        else:
            original.hypothesis.inner_test = inner


@contextmanager
def _own_loops(item: pytest.Item) -> Iterator[None]:
    """Have asyncio make event loops in virtual time, where a test is ours and may want them."""
    if not (isinstance(item, pytest.Function) and _is_ours(item) and _may_be_asyncios(item)):
        yield
        return
    from pystack.testing.on_asyncio import own_loops

    words: Any = _marker_words(item)
    until, schedule = words.get("timeout_s"), words.get("schedule", "fifo")
    with own_loops(seed=_seed_of(item), until=until, schedule=schedule):
        yield


# Telling about failures


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what is needed to see and repeat it; keep captures that are wanted."""
    report = yield
    bench = item.stash.get(_bench_key, None)
    if bench is None:
        return report
    if report.failed and not bench.failed:
        bench.failed = True
        report.sections.append(("pystack", "\n".join(bench.report(_replay(item, bench.seed)))))
    if report.when == "teardown":
        keeps = bench.failed or item.config.getoption("--pystack-pcap") == "always"
        if bench.capture is not None:
            bench.keep_capture() if keeps else bench.capture.unlink(missing_ok=True)
        del item.stash[_bench_key]
    return report


def _replay(item: pytest.Item, seed: int) -> str:
    """Return the command that runs the test again, with the same seed."""
    file, _, test = item.nodeid.partition("::")
    config = item.config
    name = f"{os.path.relpath(config.rootpath / file, config.invocation_params.dir)}::{test}"
    twice = " --pystack-twice" if config.getoption("--pystack-twice") else ""
    return f"pytest {shlex.quote(name)} --pystack-seed={seed}{twice}"


# Looking at tests


def _is_ours(item: pytest.Item) -> bool:
    """Tell whether a test is to run in virtual time: async, and marked or with a network."""
    return (
        isinstance(item, pytest.Function)
        and _SEED_FIXTURE in item.fixturenames
        and iscoroutinefunction(_inner(item.obj))
    )


def _inner(function: object) -> Callable[..., Awaitable[object]]:
    """Return the test as it was written: Hypothesis wraps it."""
    inner: Any = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    test: Callable[..., Awaitable[object]] = inner
    return test


# Who runs a test: one of the plug-ins of others (with its own fixtures), or we ourselves


def _by_pytest_trio(item: pytest.Item) -> bool:
    """Tell whether pytest-trio is to run it: with a runner that we give.

    Not with Hypothesis, where it takes no runner, nor what others are asked for.
    """
    plugins = item.config.pluginmanager
    return (
        isinstance(item, pytest.Function)
        and (plugins.has_plugin("trio") or plugins.has_plugin("pytest_trio.plugin"))
        and _inner(item.obj) is item.obj
        and not _may_be_asyncios(item)
    )


def _may_be_asyncios(item: pytest.Function) -> bool:
    """Tell whether pytest-asyncio is to run it, or AnyIO's plug-in with asyncio or Trio."""
    return "anyio_backend" in item.fixturenames or _by_pytest_asyncio(item)


def _by_pytest_asyncio(item: pytest.Function) -> bool:
    plugin = sys.modules.get("pytest_asyncio")
    return (
        plugin is not None
        and bool(plugin.is_async_test(item))
        and item.get_closest_marker("trio") is None
    )


def _by_asyncio(item: pytest.Function, anyio_backend: object) -> bool:
    """Tell whether it runs on asyncio. `anyio_backend`: a name, or a tuple of it and options."""
    if "anyio_backend" not in item.fixturenames:
        return _by_pytest_asyncio(item)
    name = anyio_backend[0] if isinstance(anyio_backend, tuple) else anyio_backend
    return name == "asyncio"


def _on_asyncio(request: pytest.FixtureRequest) -> bool:
    has_backend = "anyio_backend" in request.fixturenames
    return _by_asyncio(
        request.node, request.getfixturevalue("anyio_backend") if has_backend else None
    )


def _has_plugin_to_run(request: pytest.FixtureRequest) -> bool:
    """Tell whether another plug-in runs a test, and so its async fixtures."""
    return _by_pytest_trio(request.node) or _on_asyncio(request)


def _marker_words(item: pytest.Item) -> dict[str, object]:
    """Return the words of all markers of a test; the nearest one decides."""
    words: dict[str, object] = {}
    for mark in reversed(list(item.iter_markers("pystack"))):
        if mark.args:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker pystack takes words with names only"
            )
        for word in mark.kwargs:
            if word not in _WORDS:
                from pystack.core.suggest import suggest

                raise pytest.UsageError(
                    f"{item.nodeid}: the marker pystack has no word {word!r}{suggest(word, _WORDS)}"
                )
        words.update(mark.kwargs)
    return words


def _seed_of(item: pytest.Function) -> int:
    """Return the seed of this run of the test, also before its fixtures are there."""
    return item.stash.get(_seed_key, _first_seed(item))


def _first_seed(item: pytest.Item) -> int:
    given: int | None = item.config.getoption("--pystack-seed")
    if given is not None:
        return given
    seed = _marker_words(item).get("seed", _DEFAULT_SEED)
    if not isinstance(seed, int):
        raise pytest.UsageError(f"{item.nodeid}: a seed is a whole number, not {seed!r}")
    return seed


def _make_bench(item: pytest.Item, seed: int, capture: Path | None) -> Bench:
    from pystack.testing.bench import Bench

    words = {word: value for word, value in _marker_words(item).items() if word != "seed"}
    return Bench(seed, capture, **words)  # type: ignore[arg-type]


def _file_name(nodeid: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", nodeid).strip("_")[-180:]
