"""`pystack up --control` on a real TAP, and `pystack ctl`, who speaks to it from outside."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from netns import NetworkNamespace, least_ms, read_line
from up import URL

from pystack.runtime.device.privileges import is_the_machines_root

pytestmark = pytest.mark.kernel

SOMEBODY: Final = 54321  # nobody's by name


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o700)
        yield path


def pystack(*words: str, env: dict[str, str], expect: int = 0) -> str:
    """Run the command; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "pystack", *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expect, done
    return done.stdout if expect == 0 else done.stderr


def up(netns: NetworkNamespace, *words: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    set_words = [f"{name}={value}" for name, value in env.items()]
    return netns.popen(
        ["env", *set_words, sys.executable, "-m", "pystack", "up", "tap0", "--control", *words]
    )


def asked_as(uid: int, path: Path) -> str:
    """Return what another user gets from a socket, or is told instead."""
    program = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(20); "
        f's.connect({str(path)!r}); s.sendall(b\'{{"call": "info"}}\\n\'); print(s.recv(9999))'
    )
    # Not ours, which others may not be allowed to run.
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program],
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_ctl_looks_into_a_host_and_changes_its_link(
    netns: NetworkNamespace, runtime_dir: Path, tmp_path: Path
) -> None:
    env = {"XDG_RUNTIME_DIR": str(runtime_dir)}
    process = up(netns, "--delay", "1ms", env=env)
    assert read_line(process).startswith("ready:")
    socket = Path(read_line(process).removeprefix("control: ").strip())
    assert socket.parent == runtime_dir / "pystack"
    assert socket.name == f"up-tap0-{process.pid}.sock"
    netns.run(["ping", "-n", "-c", "1", "-W", "20", "10.77.0.2"])  # for ARP

    netns.run(["curl", "-sSf", "-o", "/dev/null", f"{URL}/bytes/1000"])
    listening = json.loads(pystack("ctl", "listening", "--json", env=env))["rows"]
    assert [(row["protocol"], row["local_port"]) for row in listening] == [("tcp", 80)]
    assert "10.77.0.1" in pystack("ctl", "neighbors", env=env)
    assert "10.77.0.0/24" in pystack("ctl", "routes", env=env)
    assert "tcp_segments_in" in pystack("ctl", "counters", env=env)

    said = pystack("ctl", "link", "set", "tap0", "delay=150ms", env=env)
    assert "delay 150ms" in said
    said = netns.run(["ping", "-nA", "-c", "5", "-W", "20", "10.77.0.2"]).stdout.decode()
    assert 300 <= least_ms(said) < 900

    capture = tmp_path / "run.pcapng"
    pystack("ctl", "capture", "start", str(capture), env=env)
    netns.run(["ping", "-n", "-c", "1", "-W", "20", "10.77.0.2"])
    assert str(capture) in pystack("ctl", "capture", "stop", env=env)
    assert capture.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    assert b"\x08\x00\x45\x00" in capture.read_bytes()

    pystack("ctl", "link", "down", "tap0", env=env)
    netns.run(["ping", "-n", "-c", "1", "-W", "1", "10.77.0.2"], expect=1)
    pystack("ctl", "link", "up", "tap0", env=env)
    netns.run(["ping", "-n", "-c", "1", "-W", "20", "10.77.0.2"])
    end(process)
    assert not socket.exists()
    assert "nothing to control" in pystack("ctl", "ss", env=env, expect=2)


def test_a_link_is_made_where_there_was_none(netns: NetworkNamespace, runtime_dir: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(runtime_dir)}
    process = up(netns, env=env)
    assert read_line(process).startswith("ready:")
    read_line(process)
    (before,) = json.loads(pystack("ctl", "links", "--json", env=env))
    assert (before["name"], before["b"], before["a_to_b"]["words"]) == ("tap0", "kernel", {})
    download = ["curl", "-sSf", "-o", "/dev/null", "-w", "%{size_download}", f"{URL}/bytes/3000000"]
    slow = netns.popen([*download, "--limit-rate", "1M"])
    pystack("ctl", "link", "set", "tap0", "delay=60ms", env=env)
    said = netns.run(["ping", "-nA", "-c", "5", "-W", "20", "10.77.0.2"]).stdout.decode()
    assert 120 <= least_ms(said) < 900
    assert slow.communicate(timeout=60)[0] == b"3000000"  # it was under way, and goes on
    assert netns.run(download).stdout == b"3000000"
    (after,) = json.loads(pystack("ctl", "links", "--json", env=env))
    assert after["a_to_b"]["words"] == {"delay": "60ms"}
    assert "did you mean 'tap0'" in pystack("ctl", "link", "down", "tap", env=env, expect=2)
    end(process)


def test_while_it_is_paused_the_kernel_waits(netns: NetworkNamespace, runtime_dir: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(runtime_dir)}
    process = up(netns, env=env)
    assert read_line(process).startswith("ready:")
    read_line(process)
    netns.run(["ping", "-n", "-c", "1", "-W", "20", "10.77.0.2"])
    assert "stands still" in pystack("ctl", "pause", env=env)
    ping = netns.popen(["ping", "-n", "-c", "1", "-W", "30", "10.77.0.2"])
    assert json.loads(pystack("ctl", "info", "--json", env=env))["paused"] is True
    pystack("ctl", "step", env=env)
    assert ping.poll() is None
    pystack("ctl", "resume", env=env)
    said, _ = ping.communicate(timeout=60)
    assert b" 0% packet loss" in said
    end(process)


def test_after_a_kill_the_next_start_works(netns: NetworkNamespace, runtime_dir: Path) -> None:
    path = str(runtime_dir / "c.sock")
    for _ in range(2):
        process = up(netns, "--control-socket", path, env={})
        assert read_line(process).startswith("ready:")
        assert read_line(process).strip() == f"control: {path}"
        assert "host" in pystack("ctl", "--socket", path, "info", env={})
        process.kill()
        process.communicate(timeout=60)
    assert Path(path).exists()
    assert "cannot connect" in pystack("ctl", "--socket", path, "info", env={}, expect=1)


@pytest.mark.skipif(
    not is_the_machines_root(), reason="only the machine's root can become another user"
)
def test_behind_sudo_the_socket_is_the_callers(netns: NetworkNamespace) -> None:
    sudo = {"SUDO_UID": str(SOMEBODY), "SUDO_GID": str(SOMEBODY), "XDG_RUNTIME_DIR": ""}
    process = up(netns, "--json", env=sudo)
    socket = Path(json.loads(read_line(process))["control"])
    try:
        status = socket.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (SOMEBODY, 0o600)
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        assert '"result"' in asked_as(SOMEBODY, socket)
        assert "Permission denied" in asked_as(SOMEBODY + 1, socket)
        assert '"result"' in asked_as(0, socket)
    finally:
        end(process)
    assert not socket.exists()
    socket.parent.rmdir()


def test_a_lab_is_controlled_from_outside(runtime_dir: Path, tmp_path: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(runtime_dir)}
    lab = tmp_path / "small.toml"
    lab.write_text(
        '[hosts.client]\n[hosts.server]\nserve = ["http"]\n\n'
        '[[links]]\nbetween = ["client", "server"]\ndelay = "10ms"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pystack", "lab", "run", str(lab), "--control"],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not (line := read_line(process)).startswith("control:"):
        pass
    assert "lab-small-" in line
    assert "delay 30ms" in pystack("ctl", "link", "set", "client-server", "delay=30ms", env=env)
    for power, port in (("off", 0), ("on", 1)):
        assert f"server is {power}" in pystack("ctl", "power", power, "server", env=env)
        rows = json.loads(pystack("ctl", "listening", "--json", env=env))["rows"]
        assert len(rows) == port
    pystack("ctl", "partition", "client", "server", env=env)
    pystack("ctl", "heal", env=env)
    end(process)
