"""scripts/beside_linux.py: Linux's flow, and the window in which its link is measured."""

import sys
from pathlib import Path
from typing import Final

import pytest
from netns import TIMEOUT_S, NetworkNamespace

pytestmark = pytest.mark.kernel

SCRIPTS: Final = Path(__file__).resolve().parent.parent.parent / "scripts"
# A flow of a second and a half, measured after its first half second
CODE: Final = """
import trio, beside_linux
beside_linux.UP_S, beside_linux.WARM_S = 6.0, 0.5
found = trio.run(beside_linux.linux, beside_linux.Line("cubic", flows_s=1.5), 1)
print(found.measures["utilization"])
"""


@pytest.mark.usefixtures("_labs_allowed")
def test_the_flow_fills_the_link_in_the_window_in_which_it_is_measured(
    netns: NetworkNamespace,
) -> None:
    argv = ["env", f"PYTHONPATH={SCRIPTS}", sys.executable, "-c", CODE]
    said = netns.run(argv, timeout_s=2 * TIMEOUT_S)
    # A busy machine fills less of it; of a flow that begins outside of the window it is about 0.
    assert float(said.stdout) > 0.1
