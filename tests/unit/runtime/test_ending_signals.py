"""Signals that ask for an end: the first is heard, and what comes later ends nothing.

Each in a process of its own, which is what they end.
"""

import signal
import subprocess
import sys

import pytest

HEARD = """
import atexit, os, signal, sys, time
import trio
from pystack.runtime.driver.signals import ending_signals, last_run, signals_heard

me = os.getpid()

async def main():
    with signals_heard(ending_signals()) as signals:
        os.kill(me, signal.SIGTERM)
        print("heard", int(await anext(aiter(signals))), flush=True)
        {during}
    {after}

{before}
"""
LAST = """
atexit.register(os.kill, me, signal.SIGINT)
with last_run():
    trio.run(main)
os.kill(me, signal.SIGTERM)
print("end", flush=True)
"""


def run(*, during: str = "pass", after: str = "pass", before: str = LAST) -> tuple[int, str]:
    code = HEARD.format(during=during, after=after, before=before)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60
    )
    return done.returncode, done.stdout


ALL = (0, f"heard {int(signal.SIGTERM)}\nend\n")
ANOTHER = "os.kill(me, signal.SIGTERM); os.kill(me, signal.SIGINT)"


@pytest.mark.parametrize("at", ["during", "after"])
def test_in_a_last_run_the_first_that_is_heard_is_the_only_one(at: str) -> None:
    """One that nobody took, one when nobody listens, and one when Python ends."""
    assert run(**{at: ANOTHER}) == ALL
    assert run() == ALL


def test_in_others_it_is_as_it_is_with_trio() -> None:
    """A program that runs one of ours is none of ours: it can be ended afterwards."""
    whole = "trio.run(main); print('end', flush=True); os.kill(me, signal.SIGTERM); time.sleep(60)"
    assert run(before=whole) == (-signal.SIGTERM, ALL[1])


def test_before_there_is_somebody_who_hears_it_ends_the_process() -> None:
    early = "with last_run():\n    os.kill(me, signal.SIGTERM)\n    time.sleep(60)"
    assert run(before=early) == (-signal.SIGTERM, "")


def test_a_run_that_could_not_begin_leaves_all_as_it_was() -> None:
    before = "with last_run():\n    pass\nos.kill(me, signal.SIGTERM)\ntime.sleep(60)"
    assert run(before=before) == (-signal.SIGTERM, "")
    asks = (
        "try:\n    with last_run():\n        os.kill(me, signal.SIGINT)\n        time.sleep(60)\n"
    )
    assert run(before=asks + "except KeyboardInterrupt:\n    print('as ever')") == (0, "as ever\n")
