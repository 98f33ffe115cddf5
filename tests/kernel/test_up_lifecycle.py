"""How `pystack up` begins and ends: signals, devices that are taken or go away, wrong options."""

import json
import os
import shutil
import signal
import sys

import pytest
from netns import TIMEOUT_S, NetworkNamespace, read_line, wait_until
from up import URL, StackUp

pytestmark = pytest.mark.kernel

UP = [sys.executable, "-m", "pystack", "up"]
NOBODY = 65534


def interfaces(netns: NetworkNamespace) -> list[str]:
    lines = netns.run(["ip", "-brief", "link"]).stdout.decode().splitlines()
    return [line.split()[0] for line in lines]


def sentence(stderr: bytes) -> str:
    """Return the one line that a failing program may print."""
    lines = stderr.decode().strip().splitlines()
    assert len(lines) == 1, stderr.decode()
    return lines[0]


def test_the_ready_line_says_where_to_look(netns: NetworkNamespace, stack_up: StackUp) -> None:
    assert stack_up().ready == "ready: tap0 10.77.0.2 http://10.77.0.2/ fd77::2 http://[fd77::2]/"


def test_for_programs_the_ready_line_and_the_log_are_json(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    stack = stack_up("--json", "-v", "--serve", "http:8080", "--serve", "echo")
    assert json.loads(stack.ready) == {
        "ready": "tap0",
        "address": "10.77.0.2",
        "addresses": ["10.77.0.2", "fd77::2"],
        "services": [
            {
                "name": "http",
                "tcp_port": 8080,
                "udp_port": None,
                "url": "http://10.77.0.2:8080/",
                "urls": ["http://10.77.0.2:8080/", "http://[fd77::2]:8080/"],
            },
            {"name": "echo", "tcp_port": 7, "udp_port": 7, "url": None, "urls": []},
        ],
    }
    netns.run(["curl", "-s", f"{URL}:8080"])
    assert stack.stop() == 0
    lines = [json.loads(line) for line in stack.log.splitlines()]
    assert all("time" in line for line in lines)
    states = [line["new"] for line in lines if line.get("event") == "TcpStateChanged"]
    assert "ESTABLISHED" in states
    assert any(line.get("message") == "SIGTERM: closing" for line in lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_order(
    netns: NetworkNamespace, stack_up: StackUp, number: signal.Signals
) -> None:
    stack = stack_up()
    assert "tap0" in interfaces(netns)
    assert stack.stop(number) == 0
    assert "tap0" not in interfaces(netns)
    assert stack.log == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_changes_nothing(
    netns: NetworkNamespace, stack_up: StackUp, number: signal.Signals
) -> None:
    # timeout(1) sends one to its child and one to the group; people press Ctrl-C twice. An open
    # download, of which nothing is read, keeps the stack closing for its grace of 2 s.
    stack = stack_up()
    client = netns.popen_python("download", 100_000_000)
    assert read_line(client) == "started"
    stack.process.send_signal(number)
    wait_until(
        lambda: netns.run(["curl", "-s", URL], expect=None).returncode == 7, "the listener closed"
    )
    assert stack.stop(number) == 0, stack.log
    assert "tap0" not in interfaces(netns)


AT_EXIT = (
    "import atexit, os, sys; from pystack.cli.start import main; "
    "atexit.register(os.kill, os.getpid(), int(sys.argv.pop(1))); main()"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nor_does_one_that_comes_when_it_has_all_but_ended(
    netns: NetworkNamespace, number: signal.Signals
) -> None:
    argv = [sys.executable, "-c", AT_EXIT, str(int(number)), "up", "tap0", "--user", "root"]
    process = netns.popen(argv)
    assert read_line(process).startswith("ready:")
    process.send_signal(number)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, said) == (0, b"")


def test_what_nohup_ignores_stays_ignored(netns: NetworkNamespace) -> None:
    process = netns.popen(["nohup", *UP, "tap0"], stderr=None)
    assert read_line(process).startswith("ready:")
    process.send_signal(signal.SIGHUP)
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_port_with_nobody_behind_it_announces_no_address(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    assert stack_up("--port", "loopback").ready == "ready: tap0 on the port loopback, http:80"


@pytest.mark.parametrize("limit", range(5, 11))
def test_too_few_files_is_the_reason_given(netns: NetworkNamespace, limit: int) -> None:
    # Below 5, Python itself cannot start.
    limited = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(limit), *UP, "tap0"]
    result = netns.run(["timeout", "5", *limited], expect=None)
    if result.returncode != 124:  # else it was enough
        assert result.returncode == 1
        said = sentence(result.stderr)
        assert "no more files" in said or "Too many open files" in said


def test_open_connections_get_their_fin(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack = stack_up("--serve", "echo")
    client = netns.popen_python("hold", 7)
    assert read_line(client) == "connected"
    assert stack.stop() == 0
    assert read_line(client) == "end"


def test_a_second_up_on_the_same_interface_says_why_not(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    stack_up()
    result = netns.run([*UP, "tap0"], expect=1)
    assert "tap0 is in use by another program" in sentence(result.stderr)
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])


def test_a_deleted_interface_ends_it_with_one_sentence(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    stack = stack_up()
    netns.run(["ip", "link", "del", "tap0"])
    assert stack.wait() == 1
    assert "tap0 has gone" in sentence(stack.log.encode())


@pytest.mark.parametrize(
    "options",
    [
        ["--nonsense"],
        ["--address", "nonsense"],
        ["--address", "10.77.0.2"],
        ["--address", "10.77.0.0/24"],
        ["--host-address", "10.77.0.300/24"],
        ["--gateway", "10.88.0.1"],
        ["--mac", "01:00:00:00:00:02"],
        ["--mac", "02:00"],
        ["--mtu", "67"],
        ["--mtu", "many"],
        ["--serve", "nonsense"],
        ["--serve", "http:0"],
        ["--serve", "http:65536"],
        ["--serve", "http", "--serve", "echo:80"],
        ["--root", "/nonexistent"],
        ["--root", "/", "--serve", "echo"],
        ["--address", "10.88.0.2/32"],
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_one_sentence_and_status_2(
    netns: NetworkNamespace, options: list[str]
) -> None:
    result = netns.run([*UP, "tap0", *options], expect=2)
    assert sentence(result.stderr)
    assert result.stdout == b""
    assert "tap0" not in interfaces(netns)


@pytest.mark.parametrize("name", ["sixteen-letters!", "a/b", "", "a b"])
def test_a_wrong_interface_name_is_a_wrong_word(netns: NetworkNamespace, name: str) -> None:
    result = netns.run([*UP, name], expect=2)
    assert "the interface name" in sentence(result.stderr)


def test_a_capture_that_cannot_be_written_is_one_sentence(netns: NetworkNamespace) -> None:
    result = netns.run([*UP, "tap0", "--pcap", "/nonexistent/run.pcap"], expect=None)
    assert result.returncode == 2
    assert "/nonexistent/run.pcap" in sentence(result.stderr)
    assert "tap0" not in interfaces(netns)


def test_a_persistent_tap_is_taken_over_and_stays(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    netns.run(["ip", "tuntap", "add", "tap0", "mode", "tap"])
    stack = stack_up()
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])
    assert stack.stop() == 0
    assert "tap0" in interfaces(netns)
    stack_up("--no-offload")
    netns.run(["curl", "-sSf", "-o", "/dev/null", f"{URL}/bytes/1000000"])


def test_a_user_without_privilege_runs_it_on_a_tap_of_his_own(netns: NetworkNamespace) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    check = "import pystack; open('/dev/net/tun', 'r+b', 0)"
    probe = netns.run([*as_nobody, sys.executable, "-c", check], expect=None)
    if probe.returncode:
        pytest.skip(f"nobody cannot run it here: {probe.stderr.decode().strip().splitlines()[-1]}")
    user = str(NOBODY)
    netns.run(["ip", "tuntap", "add", "tap0", "mode", "tap", "user", user, "group", user])
    netns.run(["ip", "address", "add", "10.77.0.1/24", "dev", "tap0"])
    netns.run(["ip", "link", "set", "tap0", "up"])
    process = netns.popen([*as_nobody, *UP, "tap0"], stderr=None)
    assert read_line(process).startswith("ready:")
    netns.run(["curl", "-sSf", f"{URL}/bytes/100000"])
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    result = netns.run([*as_nobody, *UP, "tap1"], expect=1)
    assert "no permission to make the interface tap1" in sentence(result.stderr)


def test_without_a_host_address_the_kernels_end_is_left_alone(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    stack_up("--host-address", "none")
    assert b"inet " not in netns.run(["ip", "address", "show", "dev", "tap0"]).stdout
    netns.run(["ip", "address", "add", "10.77.0.99/24", "dev", "tap0"])
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])


def test_two_stacks_on_two_interfaces(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up()
    second = stack_up("--address", "10.78.0.2/24", interface="tap1")
    assert second.ready == "ready: tap1 10.78.0.2 http://10.78.0.2/"
    for address in ("10.77.0.2", "10.78.0.2"):
        netns.run(["curl", "-sSf", f"http://{address}/bytes/5"])


def test_help_and_version(netns: NetworkNamespace) -> None:
    result = netns.run([*UP, "--help"])
    for word in ("--address", "--host-address", "--serve", "--pcap", "--offload"):
        assert word in result.stdout.decode()
    version = netns.run([sys.executable, "-m", "pystack", "--version"]).stdout.decode()
    assert version.startswith("pystack ")
    assert os.linesep in version
