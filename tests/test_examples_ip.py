"""Every example runs over IPv6 alone, and over IPv4 alone, by one word."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
# These have no network of their own making, or ends whose addresses they say
OTHERS = {
    "train_congestion.py",
    "custom_port.py",
    "lab_programs.py",
    "real_server.py",
    "tap_client.py",
}
ARGUMENTS = {"cwnd_over_time.py": ["newreno"], "lab_dumbbell.toml": ["--virtual"]}
ARGUMENTS["lab_outage.toml"] = ["--virtual"]
# Runs that are long for what they show: here they need not show it
SHORTER = {
    "two_flows.py": ("TIME_S = 60", "TIME_S = 3"),
    "cwnd_over_time.py": ("WIDTH = 30, 0.1, 75", "WIDTH = 3, 0.04, 75"),
    "lab_dumbbell.toml": (", 10] }", ", 1] }"),
}
REAL = {"curl_through_lab.py", "lab_satellite.toml"}  # they need namespaces
NAMES = sorted(
    path.name
    for path in EXAMPLES.iterdir()
    if path.suffix in (".py", ".toml") and path.name not in OTHERS | {"pyproject.toml"}
)
ADDRESS = {"4": re.compile(r"fd00::|fe80::"), "6": re.compile(r"\b10\.0\.\d+\.\d+\b")}


def with_word(name: str, text: str, ip: str) -> str:
    """Return an example with the word that says which IP version there is."""
    longer, shorter = SHORTER.get(name, ("", ""))
    assert longer in text
    text = text.replace(longer, shorter) if longer else text
    if name.endswith(".toml"):
        return f'ip = "{ip}"\n{text}'
    changed, count = re.subn(r"\bNetwork\(", f'Network(ip="{ip}", ', text)
    assert count
    return changed


@pytest.mark.parametrize("ip", ["4", "6"])
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.kernel] if name in REAL else []) for name in NAMES],
)
def test_an_example_runs_over_one_ip_version_by_one_word(
    name: str, ip: str, tmp_path: Path
) -> None:
    if name in REAL and (os.geteuid() != 0 or not os.access("/dev/net/tun", os.R_OK | os.W_OK)):
        pytest.skip("no root, or no /dev/net/tun that may be opened")
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    copy = tmp_path / "examples" / name
    copy.write_text(with_word(name, copy.read_text("utf-8"), ip), "utf-8")
    command = [sys.executable, str(copy)]
    if name.endswith(".toml"):
        command = [sys.executable, "-m", "pystack", "lab", "run", str(copy)]
    command += ARGUMENTS.get(name, [])
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not ADDRESS[ip].search(done.stdout)
