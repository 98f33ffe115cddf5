"""Clients that end early, read slowly, or vanish; and a link that goes away and comes back."""

import signal
from typing import Final

import pytest
from netns import NetworkNamespace, read_line
from test_up_http import pattern, sha256
from up import URL, StackUp

pytestmark = pytest.mark.kernel

BYTES: Final = 3_000_000


def still_serves(netns: NetworkNamespace) -> bool:
    answer = netns.run(["curl", "-g", "-sSf", f"{URL}/bytes/100000"]).stdout
    return answer == pattern(100_000)


def test_a_client_that_half_closes_gets_its_whole_answer(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, address: str
) -> None:
    stack_up(offload)
    status, count, digest = netns.python("half_close", BYTES).splitlines()
    assert (status, int(count)) == ("HTTP/1.1 200 OK", BYTES)
    assert digest == sha256(pattern(BYTES))


def test_a_client_that_stops_reading_shuts_the_window_is_probed_and_goes_on(
    netns: NetworkNamespace, stack_up: StackUp, offload: str
) -> None:
    stack_up(offload)
    assert netns.python("slow_reader", BYTES).splitlines() == [
        "shut",
        "probed",
        sha256(pattern(BYTES)),
    ]


def test_a_client_that_is_killed_harms_nobody(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, address: str
) -> None:
    stack_up(offload)
    client = netns.popen_python("download", 100_000_000)
    assert read_line(client) == "started"
    client.kill()
    client.wait()
    assert still_serves(netns)


def test_a_client_that_resets_harms_nobody(
    netns: NetworkNamespace, stack_up: StackUp, address: str
) -> None:
    stack_up()
    client = netns.popen_python("download", 100_000_000)
    assert read_line(client) == "started"
    client.communicate(b"reset\n", 60)
    assert client.returncode == 0
    assert still_serves(netns)


def test_a_client_cut_off_in_the_middle_goes_on_when_the_link_is_back(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, address: str
) -> None:
    stack_up(offload)
    # Linux takes IPv6 addresses away from what is down, and its connections end with them.
    netns.run(["sysctl", "-qw", "net.ipv6.conf.tap0.keep_addr_on_down=1"])
    client = netns.popen_python("download", 30_000_000)
    assert read_line(client) == "started"
    netns.run(["ip", "link", "set", "tap0", "down"])
    assert client.stdin is not None
    client.stdin.write(b"go on\n")
    client.stdin.flush()
    netns.run(["ip", "link", "set", "tap0", "up"])
    assert still_serves(netns)
    assert read_line(client) == sha256(pattern(30_000_000))


def test_a_client_that_vanishes_for_good_does_not_hold_up_the_end(
    netns: NetworkNamespace, stack_up: StackUp, address: str
) -> None:
    stack = stack_up()
    client = netns.popen_python("download", 100_000_000)
    assert read_line(client) == "started"
    netns.run(["ip", "link", "set", "tap0", "down"])
    client.kill()
    assert stack.stop(signal.SIGTERM) == 0
