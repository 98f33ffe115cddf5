"""`pystack explain --tap -- COMMAND`: real programs in a namespace, and what is told of them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from netns import without_lateness

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]
LAB = """
[namespaces.ns]
[routers.r]
[hosts.server]
serve = ["http"]
[[links]]
between = ["ns", "r"]
[[links]]
between = ["r", "server"]
delay = "20ms"
"""


def explain(*words: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pystack", "explain", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.parametrize("address", ["10.77.0.2", "[fd00:77::2]"])
def test_curl_is_told_of_with_what_it_printed(address: str) -> None:
    url = f"http://{address}/bytes/3000"
    done = explain(
        "--json",
        "--delay",
        "10ms",
        "--tap",
        "--",
        "curl",
        "-gsS",
        "-w",
        "%{http_code}",
        "-o",
        "/dev/null",
        url,
    )
    assert (done.returncode, without_lateness(done.stderr)) == (0, "")
    printed, _, rest = done.stdout.partition("{")
    assert printed == "200"
    told = json.loads("{" + rest)
    kinds = {step["kind"] for step in told["steps"]}
    assert {"neighbor" if "." in address else "neighbor6", "syn", "handshake", "request"} <= kinds
    assert told["places"] == ["client", "server"]
    assert any("real Linux" in sentence for sentence in told["unknown"])


def test_its_exit_status_is_ours() -> None:
    done = explain("--tap", "--", "curl", "-sf", "http://10.77.0.2/no/such/page")
    assert done.returncode == 22
    assert "curl -sf http://10.77.0.2/no/such/page" in done.stdout
    assert "exit status 22" in done.stdout


def test_names_are_known_and_https_is_read() -> None:
    done = explain(
        "--json", "--tap", "--", "curl", "-sk", "-o", "/dev/null", "https://server/bytes/5"
    )
    assert done.returncode == 0
    kinds = {step["kind"] for step in json.loads(done.stdout)["steps"]}
    assert "tls_hello" in kinds


def test_what_it_did_is_captured(tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    done = explain("--pcap", path, "--tap", "--", "curl", "-s", "http://10.77.0.2/bytes/5")
    assert done.returncode == 0
    again = explain(path)
    assert (again.returncode, again.stderr) == (0, "")
    assert "GET /bytes/5" in again.stdout


def test_services_are_chosen() -> None:
    done = explain(
        "--tap",
        "--serve",
        "http:8080",
        "--",
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "http://10.77.0.2:8080/",
    )
    assert done.returncode == 0
    done = explain("--tap", "--serve", "htp", "--", "true")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean 'http'" in done.stderr


def test_a_command_that_sends_nothing() -> None:
    done = explain("--tap", "--", "true")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "pystack: true has sent nothing: there is nothing to tell\n"
    assert explain("--tap", "--", "sh", "-c", "exit 7").returncode == 7


def test_a_command_that_hangs_is_told_of_when_it_is_interrupted() -> None:
    words = ["--tap", "--", "ping", "-i", "0.2", "10.77.0.2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pystack", "explain", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    while "icmp_seq=2" not in line:  # it runs
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
    process.send_signal(signal.SIGINT)  # to us alone: ping is ended by us
    out, err = process.communicate(timeout=30)
    assert "ping was interrupted" in err
    assert process.returncode == 128 + signal.SIGTERM
    assert "ping -i 0.2 10.77.0.2" in out


def test_through_a_lab(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(LAB)
    done = explain("--tap", "--lab", path, "--", "curl", "-s", "-o", "/dev/null", "http://server/")
    assert (done.returncode, without_lateness(done.stderr)) == (0, "")
    assert "ns ── r ── server" in done.stdout
    path.write_text(LAB.replace("namespaces.ns", "hosts.ns"))
    done = explain("--tap", "--lab", path, "--", "true")
    assert done.returncode == 2
    assert done.stderr == f"pystack: {path} has no namespace that a command could run in\n"
