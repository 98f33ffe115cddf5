"""Programs in `pystack exec`: an internet of the tests' own behind a machine, or a lab in a file.

One `exec` serves all programs of a place: what it runs is an agent that starts them one after the
other, as it is told over its standard input.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netns import NetworkNamespace, read_line, wait_until

NAME: Final = "www.internet.test"
ADDRESS4, ADDRESS6 = "198.51.100.2", "2001:db8:1::2"
BIG: Final = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(1 << 16))  # 2 MiB

NGINX: Final = """
daemon off; user root; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 80 backlog=1024; listen [::]:80 backlog=1024;
        root {folder}/site; types {{ text/html html; }}
    }}
}}
"""

PAGE: Final = """<!DOCTYPE html><title>shop</title><body><p id="said">nothing</p>
<script src="/script.js"></script></body>"""
SCRIPT: Final = "document.getElementById('said').textContent = 'said by ' + location.hostname;"

LAB: Final = """
seed = 1
[namespaces.laptop]
[routers.router]
[namespaces.shop]
programs = [
{commands}
]
[[links]]
between = ["laptop", "router"]
delay = "5ms"
[[links]]
between = ["router", "shop"]
"""

_AGENT: Final = """
import json, subprocess, sys
print("ready", flush=True)
for line in sys.stdin:
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True}
    done = subprocess.run(json.loads(line), timeout=50, **pipes)
    words = [done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")]
    print(json.dumps(words), flush=True)
"""


@dataclass(slots=True)
class Box:
    """A running `pystack exec`, and who is to be reached from inside of it."""

    process: subprocess.Popen[bytes]
    server: str  # its name
    address4: str
    address6: str

    def run(self, argv: Sequence[str], *, expect: int = 0) -> str:
        """Run a program inside; return what it printed."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(list(argv)).encode() + b"\n")
        self.process.stdin.flush()
        line = read_line(self.process)
        assert line, f"exec has ended with {self.process.wait(5)}"
        status, out, error = json.loads(line)
        assert status == expect, (
            f"{' '.join(argv)}: status {status}\n{out[-2000:]}\n{error[-2000:]}"
        )
        return str(out)


def servers(folder: Path) -> list[list[str]]:
    """Lay out a site, with a git repository, and return the commands of what serves."""
    site = folder / "site"
    site.mkdir(parents=True)
    for name, text in (("index.html", PAGE), ("script.js", SCRIPT), ("small", "a page\n")):
        (site / name).write_text(text)
    (site / "big").write_bytes(BIG)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    commands = [["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]]
    if shutil.which("git"):
        _make_repository(folder / "work", site / "it.git")
    if shutil.which("redis-server"):
        words = ["--port", "6379", "--bind", "0.0.0.0", "::", "--protected-mode", "no"]
        commands.append(["redis-server", *words, "--save", "", "--dir", str(folder)])
    if shutil.which("iperf3"):
        commands.append(["iperf3", "-s"])
    return commands


def _make_repository(work: Path, bare: Path) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@internet.test", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, "init", "-q", str(work)], check=True)
    (work / "file").write_bytes(BIG[: 1 << 18])
    git = ["git", "-C", str(work), *who]
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-qm", "the first"], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)
    subprocess.run(["git", "-C", str(bare), "update-server-info"], check=True)


class Machine(NetworkNamespace):
    """A machine with an internet behind its only cable; nothing of it leaves the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.internet = NetworkNamespace()
        self._resolv = folder / "resolv.conf"
        self._resolv.write_text(f"nameserver {ADDRESS4}\n")
        pid = self.internet.path.split("/")[2]
        cable = "ip link add up0 type veth peer name eth0 netns"
        self.run(["sh", "-ec", f"""{cable} {pid}
            ip addr add 198.51.100.1/24 dev up0; ip addr add 2001:db8:1::1/64 dev up0 nodad
            ip link set up0 up
            ip route add default via {ADDRESS4}; ip route add default via {ADDRESS6}
            echo '0 0' > /proc/sys/net/ipv4/ping_group_range"""])  # fmt: skip
        self.internet.run(["sh", "-ec", f"""ip addr add {ADDRESS4}/24 dev eth0
            ip addr add {ADDRESS6}/64 dev eth0 nodad; ip link set eth0 up"""])  # fmt: skip

    def close(self) -> None:
        """End both."""
        self.internet.close()
        super().close()

    def serve(self, folder: Path) -> None:
        """Start the servers of the internet, and wait until all listen."""
        commands = servers(folder)
        ports = {"nginx": 80, "redis-server": 6379, "iperf3": 5201, "dnsmasq": 53}
        if shutil.which("dnsmasq"):
            record = f"--host-record={NAME},{ADDRESS4},{ADDRESS6}"
            words = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", record]
            commands.append(["dnsmasq", "--conf-file=/dev/null", "--pid-file=", *words])
        for argv in commands:
            self.internet.popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(
            lambda: {ports[argv[0]] for argv in commands} <= self._listening(), "servers listen"
        )

    def _listening(self) -> set[int]:
        rows = self.internet.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"]).stdout.splitlines()
        words = [row.split() for row in rows]
        return {int(row[1].rpartition(b":")[2], 16) for row in words if row[3] == b"0A"}

    def exec_argv(self, *words: str) -> list[str]:
        """Return `pystack exec WORDS` on a machine whose name server is the internet's."""
        script = f'mount --bind {self._resolv} /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *EXEC, *words]


EXEC: Final = (sys.executable, "-m", "pystack", "exec")
AGENT: Final = (sys.executable, "-I", "-c", _AGENT)


@contextmanager
def outside(folder: Path) -> Iterator[Box]:
    """Run programs in `pystack exec --outside` on a machine of their own."""
    with Machine(folder) as machine:
        machine.serve(folder / "internet")
        with _agent(machine, machine.exec_argv("--outside", "--", *AGENT)) as process:
            yield Box(process, NAME, ADDRESS4, ADDRESS6)


@contextmanager
def laboratory(folder: Path) -> Iterator[Box]:
    """Run programs as a node of a lab, whose servers are real programs too."""
    lines = [f"  {{ command = {json.dumps(argv)} }}," for argv in servers(folder / "shop")]
    lab = folder / "lab.toml"
    lab.write_text(LAB.format(commands="\n".join(lines)))
    with NetworkNamespace() as machine:
        argv = [*EXEC, "--lab", str(lab), "--as", "laptop", "--", *AGENT]
        with _agent(machine, argv) as process:
            box = Box(process, "shop", "", "")
            for port in (80, 6379, 5201):
                box.run([sys.executable, "-I", "-c", _UNTIL_OPEN, box.server, str(port)])
            found = box.run(["getent", "ahosts", "shop"]).split()
            box.address4 = next(word for word in found if word.count(".") == 3)
            box.address6 = next(word for word in found if word.count(":") > 1)
            yield box


_UNTIL_OPEN: Final = """
import socket, sys, time
for _ in range(500):
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
    except ConnectionRefusedError:
        time.sleep(0.02)
    else:
        break
"""


@contextmanager
def _agent(machine: NetworkNamespace, argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = machine.popen(argv, stdin=subprocess.PIPE, stderr=None)
    first = read_line(process)
    assert first == "ready", f"exec said {first!r}"
    yield process
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0  # the command's own end is exec's
