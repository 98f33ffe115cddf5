"""Makes the helpers in this directory importable from every test, and sets up hypothesis."""

import gc
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]  # for tests/plugin; pytest wants it here, where all tests begin

# A busy machine is no failure. The same examples every time: what fails is to fail again.
settings.register_profile(
    "pystack", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pystack")

# Shells start what stands before `&` in a script with Ctrl-C ignored, and nohup does; whatever is
# started here would ignore it too, and tests of Ctrl-C would fail.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, where the kernel tests alone are asked for, the files that have none.

    Nine of ten files: to import them all takes as long as many of those tests. Whoever gives the
    mark, in whatever way, says its name.
    """
    if config.option.markexpr != "kernel" or collection_path.suffix != ".py":
        return None
    return None if "kernel" in collection_path.read_text("utf-8") else True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let no collection of garbage walk through the tests themselves, which are all of the heap.

    Those tests that ask for a collection took six times as long with all tests collected. Without
    being asked, the collector looks at all that is left as seldom as it does beside that heap: what
    one test leaves is not to be told as another one's.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 1000)
