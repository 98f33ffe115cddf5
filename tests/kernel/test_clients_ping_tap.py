"""`pystack ping` on a TAP device, against the kernel, and beside the real ping on the same path."""

import re
import signal
import sys
from typing import Final

import pytest
from netns import NetworkNamespace, read_line
from up import StackUp

pytestmark = pytest.mark.kernel

HEADING: Final = re.compile(r"PING (\S+) \(([\d.]+)\) (\d+)\((\d+)\) bytes of data\.")
REPLY: Final = re.compile(
    r"(\d+) bytes from (?:\S+ \()?([\d.]+)\)?: icmp_seq=(\d+) ttl=(\d+) time=([\d.]+) ms"
)
ERROR: Final = re.compile(r"From ([\d.]+) icmp_seq=(\d+) (Destination Host Unreachable)")
COUNTED: Final = re.compile(
    r"(\d+) packets transmitted, (\d+) received(?:, \+(\d+) errors)?, ([\d.]+)% packet loss, "
    r"time (\d+)ms"
)
TIMES: Final = re.compile(r"rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms")
OURS: Final = (sys.executable, "-m", "pystack", "ping", "--run-as", "root", "--via", "tap1")


def read(output: str) -> list[tuple[str, ...]]:
    """Return what each line says, without what differs from run to run: the times."""
    found = []
    for line in output.splitlines():
        for pattern in (HEADING, REPLY, ERROR, COUNTED, TIMES):
            if match := pattern.fullmatch(line):
                kept = [text or "" for text in match.groups()]
                if pattern in (REPLY, COUNTED):
                    kept.pop()
                found.append((pattern.pattern, *(kept if pattern is not TIMES else ())))
                break
        else:
            assert not line or line.startswith(("--- ", "pipe ")), line
    return found


def test_both_say_the_same_of_the_same_path(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up()
    words = ("-c", "3", "-i", "0.2", "-s", "100")
    real = netns.run(["ping", *words, "10.77.0.2"]).stdout.decode()
    place = ("--address", "10.78.0.2/24", "--host-address", "10.78.0.1/24")
    ours = netns.run([*OURS, *place, *words, "10.78.0.1"]).stdout.decode()
    assert read(ours) == read(real.replace("10.77.0.2", "10.78.0.1"))
    assert len(read(ours)) == 6


def test_so_they_do_of_an_address_that_nobody_has(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    stack_up()
    words = ("-c", "1", "-W", "20")
    real = netns.run(["ping", *words, "10.77.0.9"], expect=1).stdout.decode()
    place = ("--address", "10.78.0.2/24", "--host-address", "10.78.0.1/24")
    ours = netns.run([*OURS, *place, *words, "10.78.0.9"], expect=1).stdout.decode()
    # Who says so is the host that asks.
    real = real.replace("10.77.0.1", "10.78.0.2").replace("10.77.0.9", "10.78.0.9")
    assert read(ours) == read(real)


def test_no_route_is_trouble_as_it_is_for_ping(netns: NetworkNamespace) -> None:
    real = netns.run(["ping", "-c", "1", "192.0.2.1"], expect=2).stderr.decode()
    ours = netns.run([*OURS, "-c", "1", "192.0.2.1"], expect=2).stderr.decode()
    assert real.strip().endswith("Network is unreachable")
    assert ours.startswith("pystack ping: Network is unreachable")


def test_ctrl_c_ends_it_with_the_summary(netns: NetworkNamespace) -> None:
    process = netns.popen([*OURS, "10.77.0.1", "-i", "0.1"])
    assert HEADING.fullmatch(read_line(process))
    assert REPLY.fullmatch(read_line(process))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert TIMES.fullmatch(out.decode().splitlines()[-1])


def test_what_a_device_says_is_one_sentence(netns: NetworkNamespace) -> None:
    netns.run(["ip", "tuntap", "add", "tap1", "mode", "tun"])
    done = netns.run([*OURS, "10.77.0.1"], expect=1)
    assert done.stderr.decode().startswith("pystack: ")
    assert done.stderr.count(b"\n") == 1
