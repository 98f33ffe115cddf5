"""A frame costs about the same however long a stranger has made the list that it goes into.

The lists are those of `scripts/bench_robustness.py`, which measures microseconds. Here it is lines
of Python, which are the same on every machine and under any load: what walks through a list, or
starts it anew, shows.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from lines_run import lines_run

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_robustness.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_robustness", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BENCH = load()


@pytest.mark.parametrize("case", BENCH.CASES, ids=lambda case: case.name)
def test_a_frame_costs_the_same_however_long_the_list_is(case: Any) -> None:  # noqa: ANN401
    empty, *longer = BENCH.measured(case, lines_run)
    assert max(longer) <= 1.6 * empty + 5
