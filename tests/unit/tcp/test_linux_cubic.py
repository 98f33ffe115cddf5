"""scripts/linux_cubic.py: where Linux's arithmetic of CUBIC leaves RFC 9438."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from controls import MSS, grown, one_window

from pystack.tcp.congestion.base import LossSample
from pystack.tcp.congestion.cubic import Cubic
from pystack.tcp.congestion.registry import ControlFactory

SCRIPTS: Final = str(Path(__file__).resolve().parents[3] / "scripts")


@pytest.fixture(name="linux")
def _linux() -> Iterator[ModuleType]:
    sys.path.insert(0, SCRIPTS)
    try:
        import linux_cubic

        yield linux_cubic
    finally:
        sys.path.remove(SCRIPTS)


def after(control: ControlFactory, segments: int, rounds: int) -> float:
    """Return the window so many round trips of 10 ms after a loss, in segments."""
    made = control(MSS)
    grown(made, segments)
    made.on_loss(LossSample(0.0, segments * MSS))
    for turn in range(rounds):
        one_window(made, 0.01 * turn, 0.01)
    return made.cwnd_bytes / MSS


def test_linux_keeps_whole_segments_of_a_window(linux: ModuleType) -> None:
    assert after(Cubic, 12, 0) == pytest.approx(8.4, abs=0.001)
    assert after(linux.WholeSegments, 12, 0) == 8
    assert after(linux.LinuxCubic, 12, 0) == 8


def test_linux_stays_at_cubics_pace_beyond_the_last_maximum(linux: ModuleType) -> None:
    # W_est is 14 and 0.53 a round trip; by the RFC from 20 on, after 11.3 of them, one each.
    # What is acknowledged in one is whole segments, a little less than the window.
    assert after(Cubic, 20, 31) == pytest.approx(14 + 6 + 19.7, rel=0.05)
    assert after(linux.SamePace, 20, 31) == pytest.approx(14 + 31 * 0.53, rel=0.05)
    # It looks each 32 ms only, three of these round trips, and so stays a little behind that.
    assert after(linux.LinuxCubic, 20, 31) == 28
