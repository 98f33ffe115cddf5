"""`pystack exec --outside`: the real network is that of a namespace around it."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from netns import NetworkNamespace, read_line, wait_until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

EXEC: Final = (sys.executable, "-m", "pystack", "exec")
OUTSIDE: Final = (*EXEC, "--outside", "--resolver", "192.0.2.80")
LAB: Final = """
[hosts.client]
[hosts.other]
[switches.sw]
[[links]]
between = ["client", "sw"]
[[links]]
between = ["sw", "other"]
"""
SERVERS: Final = Path(__file__).parent / "clients" / "outside_servers.py"
ADDRESSES: Final = ("192.0.2.80", "192.0.2.81", "2001:db8::80", "127.0.0.1", "::1")


@pytest.fixture
def machine(netns: NetworkNamespace) -> NetworkNamespace:
    """Return the machine around, with servers."""
    for address in ADDRESSES[:3]:
        words = ["nodad"] if ":" in address else []
        block = f"{address}/{128 if words else 32}"
        netns.run(["ip", "address", "add", block, "dev", "lo", *words])
    servers = netns.popen([sys.executable, str(SERVERS), *ADDRESSES])
    assert read_line(servers) == "ready"
    return netns


def run(machine: NetworkNamespace, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end, with whatever status."""
    return machine.run([*OUTSIDE, *words], expect=None)


def test_the_real_network_is_reached_by_addresses_and_names(machine: NetworkNamespace) -> None:
    script = """
        curl -sS http://192.0.2.80/
        curl -sS -g 'http://[2001:db8::80]/'
        curl -sS http://some.name.example/
        cat /etc/resolv.conf
        curl -sS http://192.0.2.81:9/ || echo refused
    """
    done = run(machine, "--delay", "1ms", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [
        "you are 192.0.2.80, I am 192.0.2.80",
        "you are 2001:db8::80, I am 2001:db8::80",
        "you are 192.0.2.80, I am 192.0.2.80",
        "nameserver 10.77.0.1",
        "nameserver fd77::1",
        "search .",
        "refused",
    ]


def test_the_loopback_of_the_machine_is_reached_where_it_is_asked_for(
    machine: NetworkNamespace,
) -> None:
    script = """
        curl -sS http://127.0.0.1/ 2>&1 || echo nobody
        curl -sS --max-time 5 http://10.77.0.254/
        curl -sS --max-time 5 -g 'http://[fd77::fe]/'
    """
    done = run(machine, "--reach-loopback", "--", "sh", "-c", script)
    first, second, third, fourth = done.stdout.decode().splitlines()
    assert (second, third) == ("nobody", "you are 127.0.0.1, I am 127.0.0.1"), first
    assert fourth == "you are ::1, I am ::1"
    assert run(machine, "--", "curl", "-sS", "--max-time", "1", "http://10.77.0.254/").returncode


@pytest.mark.parametrize(
    "words", [("--outside",), (), ("--lab",)], ids=["outside", "server", "lab"]
)
def test_a_published_port_leads_to_the_command(
    machine: NetworkNamespace, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "page").write_text("of the command\n")
    (tmp_path / "lab.toml").write_text(LAB)
    if words == ("--lab",):
        words = ("--lab", str(tmp_path / "lab.toml"), "--as", "client")
    serve = [sys.executable, "-m", "http.server", "80", "--directory", str(tmp_path)]
    process = machine.popen([*EXEC, *words, "-q", "-p", "8080:80", "--", *serve])
    curl = ["curl", "-sS", "--max-time", "10", "http://127.0.0.1:8080/page"]
    wait_until(lambda: machine.run(curl, expect=None).returncode == 0, "it serves")
    assert machine.run(curl).stdout == b"of the command\n"
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM


def test_it_can_be_looked_into_and_changed_while_it_runs(machine: NetworkNamespace) -> None:
    words = ["--serve", "echo", "--control", "--web", "0", "--mtu", "1400", "--", "sh", "-c"]
    script = "cat /sys/class/net/eth0/mtu; ip -o link show eth0; exec sleep 100"
    process = machine.popen([*EXEC, *words, script])
    assert process.stderr is not None
    lines = [process.stderr.readline().decode().strip() for _ in range(3)]
    parts = [line.removeprefix("pystack: ").partition(": ") for line in lines]
    said = {what: value for what, _, value in parts}
    page = machine.run(["curl", "-sS", said["live"].partition("#")[0]]).stdout
    assert b"<html" in page
    ctl = [*EXEC[:-1], "ctl", "--socket", said["control"]]
    shown = machine.run([*ctl, "links"]).stdout.decode()
    assert "client -> server" in shown
    assert process.stdout is not None
    while b"eth0" not in (line := process.stdout.readline()):
        assert line
    assert b"mtu 1400 " in line
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM
