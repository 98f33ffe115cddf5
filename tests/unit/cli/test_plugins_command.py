"""`pystack plugins`: what there is, and from where."""

import subprocess
import sys


def test_each_group_is_listed_with_what_is_built_in() -> None:
    argv = [sys.executable, "-m", "pystack", "plugins"]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    groups = [line for line in output.splitlines() if not line.startswith(" ")]
    assert groups == [
        "pystack.port",
        "pystack.impairment",
        "pystack.qdisc",
        "pystack.congestion",
        "pystack.recovery",
        "pystack.service",
        "pystack.observer",
    ]
    assert "  cubic                built in" in output
    assert "  fq_codel             built in" in output
    assert "  rack                 built in" in output
    assert "  http                 built in" in output
