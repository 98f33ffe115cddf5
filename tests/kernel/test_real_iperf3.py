"""Unmodified iperf3: its client against our service, and our client against its server."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest
from netns import NetworkNamespace, read_line, wait_until
from up import StackUp

pytestmark = pytest.mark.kernel

CLIENT: Final = ("iperf3", "-c", "10.77.0.2", "--connect-timeout", "5000")


@pytest.fixture(scope="session", autouse=True)
def _iperf3_here() -> None:
    if not shutil.which("iperf3"):
        pytest.skip("no iperf3 here (sudo scripts/provision gets it)")


@pytest.fixture
def _server(netns: NetworkNamespace) -> Iterator[subprocess.Popen[bytes]]:
    """Run `iperf3 -s` in the namespace."""
    server = netns.popen(["iperf3", "-s", "--forceflush"])
    while not read_line(server).startswith("Server listening"):
        pass
    yield server
    server.terminate()


def test_iperf3_measures_us_over_tcp(
    netns: NetworkNamespace, stack_up: StackUp, offload: str
) -> None:
    stack_up("--serve", "iperf3", offload)
    for words in (
        ("-t", "1"),
        ("-t", "1", "-R"),
        ("-n", "20M", "-P", "4"),
        ("-t", "1", "-R", "-P", "4"),
        ("-t", "1", "--bidir"),
        ("-n", "20M", "-R"),
        ("-k", "50"),
        ("-t", "1", "-b", "20M", "-l", "4K"),
        ("-t", "1", "-O", "1", "-N"),
    ):
        end: dict[str, Any] = json.loads(netns.run([*CLIENT, "-J", *words]).stdout)["end"]
        sent, received = end["sum_sent"]["bytes"], end["sum_received"]["bytes"]
        assert received > 1_000_000, words
        # What was queued while nothing counted arrives later, and counts then.
        assert sent >= received or "-O" in words, words
        if "-b" in words:
            assert 0.3 < end["sum_received"]["bits_per_second"] / 20e6 < 1.1, words
        if "--bidir" in words:
            assert end["sum_received_bidir_reverse"]["bytes"] > 1_000_000


def test_iperf3_measures_us_over_udp(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up("--serve", "iperf3")
    words: tuple[str, ...]
    for streams, words in (
        (1, ()),
        (1, ("-R",)),
        (3, ("-R", "-P", "3", "--udp-counters-64bit")),
        (1, ("--bidir", "--udp-counters-64bit")),
    ):
        # So few that all that come in a second find room, however late they are taken.
        argv = [*CLIENT, "-J", "-u", "-t", "1", "-b", "500K", *words]
        end: dict[str, Any] = json.loads(netns.run(argv).stdout)["end"]
        assert end["sum_received"]["lost_packets"] == 0, words
        rate = end["sum_received"]["bits_per_second"] / (streams * 5e5)
        assert 0.3 < rate < 1.1, words  # less where the machine is busy, but never more
        assert 0 < end["sum_received"]["jitter_ms"] < 500, words


def test_several_tests_one_after_the_other(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up("--serve", "iperf3")
    for words in ((), ("-R",), ("-u",), ()):
        said = netns.run([*CLIENT, "-n", "100K", *words]).stdout.decode()
        assert said.endswith("iperf Done.\n")


def test_the_server_s_own_report_is_shown(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up("--serve", "iperf3")
    said = netns.run([*CLIENT, "-t", "1", "--get-server-output"]).stdout.decode()
    server = said.partition("Server output:")[2]
    assert "Accepted connection from 10.77.0.1" in server
    assert re.search(r"0\.00-1\.\d+ +sec +[\d.]+ [MG]Bytes +[\d.]+ [MG]bits/sec +receiver", server)


def test_what_we_do_not_have_is_an_error_that_iperf3_shows(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    stack_up("--serve", "iperf3")
    said = netns.run([*CLIENT, "--sctp", "-t", "1"], expect=1).stderr.decode()
    assert "not implemented" in said


def test_a_busy_server_is_an_error_that_iperf3_shows(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    stack_up("--serve", "iperf3")
    first = netns.popen([*CLIENT, "-t", "20", "--forceflush"])
    while "sec" not in read_line(first):
        pass
    said = netns.run([*CLIENT, "-t", "1"], expect=1).stderr.decode()
    assert "the server is busy running a test" in said
    # A client that is interrupted says so, and when all that it sent before has been taken, the
    # server is free.
    first.terminate()
    first.wait()
    wait_until(
        lambda: netns.run([*CLIENT, "-n", "1M"], expect=None).returncode == 0, "the server is free"
    )


@pytest.mark.usefixtures("_server")
@pytest.mark.parametrize(
    "words",
    [
        "time_s=1",
        "time_s=1 reverse=1",
        "time_s=1 parallel=4",
        "time_s=1 bidirectional=1 server_output=1",
        "time_s=0 total_bytes=20000000",
        "time_s=0 total_blocks=50 reverse=1",
        "time_s=1 udp=1 bitrate_bps=5000000",
        "time_s=1 udp=1 bitrate_bps=5000000 reverse=1 parallel=2",
    ],
)
def test_we_measure_iperf3(netns: NetworkNamespace, offload: str, words: str) -> None:
    said = netns.python("iperf3_host", offload, *words.split())
    assert "iperf Done." in said
    sent, received, packets = json.loads(said.splitlines()[-1])
    assert received > (500_000 if "udp" in words else 1_000_000)
    assert sent >= received
    assert bool(packets) == ("udp" in words)
    if "server_output" in words:
        assert "Accepted connection from 10.77.0.2" in said


@pytest.mark.usefixtures("_server")
def test_we_measure_iperf3_twice_in_a_row(netns: NetworkNamespace) -> None:
    for _ in range(2):
        assert "iperf Done." in netns.python(
            "iperf3_host", "--offload", "time_s=0", "total_blocks=9"
        )
