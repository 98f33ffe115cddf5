"""Packets beyond 64 KiB ("BIG TCP") to a real kernel: for itself, and to be passed on."""

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
from netns import NetworkNamespace
from up import StackUp

from pystack.runtime.device.tap_device import takes_big_tcp

pytestmark = pytest.mark.kernel

SIZE = 200_000_000
# The client reads in C, and its hash is all that is compared.
FETCH = """
import hashlib, http.client, sys
connection = http.client.HTTPConnection("10.77.0.2")
connection.request("GET", "/big")
answer, sha = connection.getresponse(), hashlib.sha256()
while data := answer.read(1 << 20):
    sha.update(data)
print(sha.hexdigest())
"""


def write_file(root: Path) -> str:
    """Write the file that is fetched; return its hash."""
    sha = hashlib.sha256()
    with (root / "big").open("wb") as file:
        for number in range(SIZE // 1_000_000):
            part = number.to_bytes(4, "big") * 250_000
            file.write(part)
            sha.update(part)
    return sha.hexdigest()


def fetch(netns: NetworkNamespace) -> str:
    return netns.run([sys.executable, "-c", FETCH]).stdout.decode().strip()


def packet_bytes(netns: NetworkNamespace) -> float:
    """Return how large the packets were on average that the kernel was given."""
    (said,) = json.loads(netns.run(["ip", "-json", "-statistics", "link", "show", "tap0"]).stdout)
    seen = said["stats64"]["rx"]
    return float(seen["bytes"] / seen["packets"])


def test_a_large_file_comes_in_packets_beyond_64_kib(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    expected = write_file(tmp_path)
    stack_up("--root", str(tmp_path))
    assert fetch(netns) == expected
    average = packet_bytes(netns)
    print(f"{average:.0f} bytes a packet")
    if not takes_big_tcp(os.uname().release):
        assert average < 66_000
    else:
        assert average > 66_000


def test_the_kernel_cuts_them_for_whoever_is_behind_it(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    expected = write_file(tmp_path)
    stack_up("--root", str(tmp_path), "--gateway", "10.77.0.1")
    with NetworkNamespace() as behind:
        pid = behind.path.split("/")[2]
        netns.run(["ip", "link", "add", "veth0", "type", "veth", "peer", "eth0", "netns", pid])
        netns.run(["ip", "address", "add", "192.0.2.1/24", "dev", "veth0"])
        netns.run(["ip", "link", "set", "veth0", "up"])
        netns.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        behind.run(["ip", "address", "add", "192.0.2.2/24", "dev", "eth0"])
        behind.run(["ip", "link", "set", "eth0", "up"])
        behind.run(["ip", "route", "add", "default", "via", "192.0.2.1"])
        assert fetch(behind) == expected


def test_the_log_says_which_offloads_there_are(stack_up: StackUp) -> None:
    stack = stack_up("-v")
    assert stack.stop() == 0
    assert "tap0: offload: checksums, TSO" in stack.log
    big = ", packets of 512 KiB" in stack.log
    assert big is takes_big_tcp(os.uname().release)
    without = stack_up("-v", "--no-offload")
    assert without.stop() == 0
    assert "offload:" not in without.log
