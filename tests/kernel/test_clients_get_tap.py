"""`pystack get` on a TAP device, against real servers, and beside the real curl."""

import json
import os
import pwd
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest
import trustme
from netns import NetworkNamespace, wait_until
from up import StackUp

from pystack.runtime.device.privileges import is_the_machines_root

pytestmark = pytest.mark.kernel

KERNEL: Final = "10.77.0.1"
OURS: Final = (sys.executable, "-m", "pystack", "get", "--via", "tap1", "--run-as", "root")
_STAMP: Final = re.compile(r"\d\d:\d\d:\d\d\.\d{6} [*<>] ?")

_OUR_OWN: Final = re.compile(r"^([<>] (?:Host|User-Agent|Date|Last-Modified):).*")


class Servers:
    """Real servers on the kernel's side of the namespace."""

    def __init__(self, namespace: NetworkNamespace, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder

    def start(self, *argv: str, port: int) -> None:
        """Start one, and wait until it listens."""
        with (self.folder / f"log-{port}").open("wb") as log:
            self.namespace.popen(argv, stdout=log, stderr=log)
        wait_until(lambda: self._listens(port), f"{argv[0]} on port {port}")

    def _listens(self, port: int) -> bool:
        listed = self.namespace.run(["ss", "-Hltn", f"sport = :{port}"]).stdout
        return bool(listed.strip())

    def get(self, *words: str, expect: int = 0, data: bytes | None = None) -> tuple[bytes, str]:
        """Return what our client prints, and what it says."""
        done = self.namespace.run([*OURS, *words], expect=expect, data=data)
        return done.stdout, done.stderr.decode()


@pytest.fixture
def servers(netns: NetworkNamespace, tmp_path: Path) -> Servers:
    return Servers(netns, tmp_path)


@pytest.fixture
def site(servers: Servers) -> Servers:
    (servers.folder / "page").write_bytes(os.urandom(300_000))
    code = "import http.server as s; s.test(s.SimpleHTTPRequestHandler, port=8000, bind='0.0.0.0')"
    argv = [sys.executable, "-c", f"import os; os.chdir({str(servers.folder)!r}); {code}"]
    servers.start(*argv, port=8000)
    return servers


def curl(servers: Servers, *words: str) -> tuple[bytes, str]:
    done = servers.namespace.run(["curl", "-s", *words])
    return done.stdout, done.stderr.decode()


def test_what_w_says_has_curls_names_and_meaning(site: Servers) -> None:
    """The same request by both: curl to the kernel's loopback, ours to the kernel by the TAP."""
    path = str(site.folder / "out")
    real = json.loads(curl(site, "-o", path, "-w", "%{json}", "http://127.0.0.1:8000/page")[0])
    words = ("-s", "-o", path, "-w", "%{json}", f"http://{KERNEL}:8000/page")
    ours = json.loads(site.get(*words)[0])
    assert (site.folder / "out").read_bytes() == (site.folder / "page").read_bytes()
    assert ours.keys() <= real.keys()
    same = [
        *("content_type", "exitcode", "filename_effective", "http_code", "http_version", "method"),
        *("num_connects", "num_headers", "num_redirects", "redirect_url", "remote_port"),
        *("response_code", "scheme", "size_download", "size_header", "size_upload", "urlnum"),
    ]
    assert {name: ours[name] for name in same} == {name: real[name] for name in same}
    steps = ["namelookup", "connect", "pretransfer", "starttransfer", "total"]
    for said in (real, ours):
        times = [said[f"time_{step}"] for step in steps]
        assert times == sorted(times)
        assert said["time_appconnect"] == said["time_redirect"] == 0
        assert said["speed_download"] == pytest.approx(
            said["size_download"] / said["time_total"], rel=0.01
        )
    assert (ours["remote_ip"], ours["local_ip"]) == (KERNEL, "10.77.0.2")


def test_so_it_is_with_tls_and_http2(servers: Servers, stack_up: StackUp) -> None:
    ca = str(servers.folder / "ca.pem")
    stack_up("--serve", "https", "--ca", ca, "--gateway", KERNEL)
    servers.namespace.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    words = ("-o", "/dev/null", "-w", "%{json}", "--cacert", ca, "https://10.77.0.2/bytes/5000")
    real = json.loads(curl(servers, *words)[0])
    place = ("--address", "10.78.0.2/24", "--gateway", "10.78.0.1")
    ours = json.loads(servers.get("-s", *words, *place)[0])
    same = ("http_code", "http_version", "num_connects", "num_headers", "scheme", "size_download")
    same = (*same, "size_header", "content_type", "exitcode", "method", "remote_ip", "remote_port")
    assert {name: ours[name] for name in same} == {name: real[name] for name in same}
    assert (ours["http_version"], ours["exitcode"]) == ("2", 0)
    steps = ["namelookup", "connect", "appconnect", "pretransfer", "starttransfer", "total"]
    for said in (real, ours):
        times = [said[f"time_{step}"] for step in steps]
        assert times == sorted(times)
        assert said["time_appconnect"] > said["time_connect"]


def test_verbose_is_parsed_by_who_parses_curls(site: Servers) -> None:
    words = ("-o", "/dev/null", "--trace-time", "-v", "http://127.0.0.1:8000/page")
    real = curl(site, *words)[1]
    ours = site.get("-o", "/dev/null", "-v", f"http://{KERNEL}:8000/page")[1]

    def parts(text: str) -> list[str]:
        marked = [line for line in text.splitlines() if _STAMP.match(line)]
        kept = [line[16:].strip() for line in marked if line[16] in "<>"]
        # Who we are, whom we ask, and when it was, differ.
        return [
            re.sub(r"^([<>] (?:Host|User-Agent|Date|Last-Modified):).*", r"\1", x) for x in kept
        ]

    assert parts(ours) == parts(real)
    for text in (real, ours):
        assert re.search(r"\*   Trying [\d.]+:8000\.\.\.", text)
        assert re.search(r"\* Connected to [\d.]+ \([\d.]+\) port 8000 \(#0\)", text)
    assert all(_STAMP.match(line) for line in ours.splitlines())


def test_nginx_serves_it_whole_in_parts_and_packed(servers: Servers) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("no nginx here: scripts/provision gets it")
    root = servers.folder / "www"
    root.mkdir()
    (root / "text.html").write_text("to and fro " * 5000)
    (servers.folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {servers.folder}/nginx.pid; error_log stderr;\n"
        f"user root;\nevents {{}}\n"
        f"http {{ access_log off; gzip on; gzip_min_length 1; default_type text/html;\n"
        f"server {{ listen 8001; root {root}; location /go {{ return 302 /text.html; }} }} }}\n"
    )
    servers.start("nginx", "-c", str(servers.folder / "nginx.conf"), port=8001)
    url = f"http://{KERNEL}:8001"
    whole = (root / "text.html").read_bytes()
    assert servers.get(f"{url}/text.html")[0] == whole
    assert servers.get(f"{url}/text.html", "-r", "7-17")[0] == whole[7:18]
    assert servers.get(f"{url}/go", "-L")[0] == whole
    out, said = servers.get(f"{url}/text.html", "--compressed", "-w", "%{stderr}%{size_download}")
    assert out == whole
    assert int(said) < 2000
    assert servers.get(f"{url}/none", "-f", "-s", expect=22)[0] == b""
    one, two = f"{url}/text.html", f"{url}/go"
    out, _ = servers.get(one, two, "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} ")
    assert out == b"1 0 "


@pytest.fixture
def authority(servers: Servers) -> None:
    """Put a CA's certificate, and one for the kernel's address, into files."""
    ca = trustme.CA()
    certificate = ca.issue_cert(KERNEL)
    ca.cert_pem.write_to_path(str(servers.folder / "ca.pem"))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(servers.folder / "cert.pem"), append=True)
    certificate.private_key_pem.write_to_path(str(servers.folder / "key.pem"))


@pytest.mark.parametrize(("flag", "version"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_openssl_is_spoken_with(
    servers: Servers, authority: trustme.CA, flag: str, version: str
) -> None:
    folder = servers.folder
    files = ("-cert", str(folder / "cert.pem"), "-key", str(folder / "key.pem"))
    servers.start("openssl", "s_server", "-accept", "4433", "-www", flag, *files, port=4433)
    url, ca = f"https://{KERNEL}:4433/", str(folder / "ca.pem")
    out, said = servers.get(url, "--cacert", ca, "-v")
    assert f"Protocol  : {version}".encode() in out or version.encode() in out
    assert f"SSL connection using {version} / " in said
    assert " SSL certificate verify ok." in said
    assert servers.get(url, "-k")[0]
    _, said = servers.get(url, expect=60)
    assert (
        said
        == "pystack get: (60) SSL certificate problem: unable to get local issuer certificate\n"
    )
    real = servers.namespace.run(["curl", "-sS", "https://127.0.0.1:4433/"], expect=60)
    assert b"SSL certificate problem" in real.stderr


_ECHO: Final = """
import asyncio, sys, websockets

async def echo(socket):
    async for message in socket:
        await socket.send(message)
    print("closed", socket.close_code, file=sys.stderr)

async def main():
    async with websockets.serve(echo, "0.0.0.0", 8765):
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


def test_websockets_echoes_line_by_line(servers: Servers) -> None:
    pytest.importorskip("websockets")
    servers.start(sys.executable, "-c", _ECHO, port=8765)
    lines = b"one\n" + "zwei \N{SNOWMAN}".encode() + b"\n" + b"x" * 100_000 + b"\n"
    url = f"ws://{KERNEL}:8765/"
    assert servers.get(url, data=lines)[0] == lines
    assert servers.get(url, "--compressed", data=lines)[0] == lines
    wait_until(
        lambda: (servers.folder / "log-8765").read_text().count("closed 1000") == 2, "both closed"
    )


def test_our_own_services_on_another_tap(servers: Servers, stack_up: StackUp) -> None:
    """Two stacks and the kernel between them, which routes."""
    root = servers.folder / "root"
    root.mkdir()
    (root / "file").write_text("a file")
    services = [word for name in ("http", "ftp", "dns") for word in ("--serve", name)]
    name = ("--record", "www.example.test A 10.77.0.2")
    stack_up(*services, *name, "--root", str(root), "--gateway", KERNEL)
    servers.namespace.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    place = (
        "--address",
        "10.78.0.2/24",
        "--host-address",
        "10.78.0.1/24",
        "--gateway",
        "10.78.0.1",
    )
    assert servers.get("http://10.77.0.2/file", *place)[0] == b"a file"
    assert servers.get("ftp://10.77.0.2/file", *place, "--delay", "2ms")[0] == b"a file"
    # From a name to a page.
    asking = (*place, "--dns", "10.77.0.2")
    assert servers.get("http://www.example.test/file", *asking)[0] == b"a file"
    servers.get("http://none.example.test/file", *asking, expect=6)


@pytest.mark.parametrize(
    ("url", "status"), [(f"http://{KERNEL}:81/", 7), ("http://nobody.example/", 6), ("x://y", 1)]
)
def test_both_end_with_the_same_status(servers: Servers, url: str, status: int) -> None:
    servers.get(url, "-s", expect=status)
    real = url.replace(KERNEL, "127.0.0.1")
    servers.namespace.run(["curl", "-s", "-m", "5", real], expect=status)


def test_a_neighbour_who_is_not_there_is_7(servers: Servers) -> None:
    _, said = servers.get("http://10.77.0.99/", expect=7)
    assert re.fullmatch(
        r"pystack get: \(7\) Failed to connect to 10\.77\.0\.99 port 80 after \d+ ms: "
        r"Couldn't connect to server\n",
        said,
    )


@pytest.mark.skipif(
    not is_the_machines_root(), reason="only the machine's root can become another user"
)
def test_a_file_belongs_to_who_it_runs_as(site: Servers) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    argv = [*OURS[:-2], "--run-as", "nobody", "-O", f"http://{KERNEL}:8000/page"]
    site.namespace.run(["sh", "-c", f'cd {folder} && exec "$@"', "sh", *argv])
    path = folder / "page"
    assert path.read_bytes() == (site.folder / "page").read_bytes()
    assert path.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    shutil.rmtree(folder)


def test_ctrl_c_ends_a_transfer_in_order(site: Servers) -> None:
    url = f"http://{KERNEL}:8000/page"
    process = site.namespace.popen([*OURS, url, "--rate", "100kbit", "-v", "-o", "/dev/null"])
    assert process.stderr is not None
    while b"Content-Length" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert not site.namespace.run(["ip", "-o", "link", "show", "type", "tun"]).stdout


def test_a_reader_that_goes_away_ends_it(site: Servers) -> None:
    script = 'set -o pipefail; "$@" | head -c 1000 | wc -c; exit "${PIPESTATUS[0]}"'
    argv = ["bash", "-c", script, "bash", *OURS, f"http://{KERNEL}:8000/page"]
    done = site.namespace.run(argv, expect=None)
    assert (done.stdout, done.stderr) == (b"1000\n", b"")
    assert done.returncode == 141
