"""What is counted by scripts/bench_instructions.py, and how callgrind's file is read."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import bench_instructions
import pytest

SCRIPT = Path(bench_instructions.__file__)

# Function "a" of one.c takes 5 + 7 itself, with a line inlined from two.h; "b" of two.h takes 100.
PROFILE = """version: 1
events: Ir
fl=(1) /src/Python/ceval.c
fn=(1) a
16 5
fi=(2) /src/Objects/dictobject.c
+3 7
cfi=(2)
cfn=(2) b
calls=1 10
* 100

fl=(2)
fn=(2)
10 60
-2 40
"""


def test_a_function_has_what_it_takes_itself_and_not_what_it_calls() -> None:
    found = bench_instructions.read_callgrind(PROFILE.splitlines())
    assert found == {
        ("/src/Python/ceval.c", "a"): 12,
        ("/src/Objects/dictobject.c", "b"): 100,
    }
    assert bench_instructions.parts(found) == {"eval loop": 12, "dict, set": 100}


def test_what_is_in_no_known_file_is_the_rest() -> None:
    costs = Counter({("/elsewhere.c", "f"): 3, ("???", "g"): 4})
    assert bench_instructions.parts(costs) == {"rest": 7}


@pytest.mark.parametrize(
    ("sizes", "done"),
    [
        ((100, 0, 0), (100, 0, 0)),
        ((100, 60, 0), (100, 30, 0)),
        ((100, 100, 50), (100, 50, 100)),
    ],
)
def test_the_work_is_what_it_is_named_after(
    sizes: tuple[int, int, int], done: tuple[int, int, int]
) -> None:
    # Segments out, ACKs back, segments acknowledged: nothing else, and nothing sent again.
    assert bench_instructions.segments(*sizes) == done


def test_help_says_what_can_be_measured() -> None:
    said = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, check=True)
    assert b"`ack`" in said.stdout
