"""Real clients of TLS, HTTPS and HTTP/2 against `pystack up` on a real TAP."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
import trustme
from netns import TIMEOUT_S, NetworkNamespace, wait_until
from up import Stack, StackUp, needs

pytestmark = pytest.mark.kernel

ADDRESS: Final = "10.77.0.2"
URL: Final = f"https://{ADDRESS}"
MB_100: Final = 100_000_000
_PERIOD: Final = bytes(range(251))


def pattern(count: int) -> bytes:
    """Return what /bytes/N answers."""
    return (_PERIOD * (count // len(_PERIOD) + 1))[:count]


class Site:
    """A stack that serves https, and clients that trust it."""

    def __init__(self, netns: NetworkNamespace, stack_up: StackUp, folder: Path) -> None:
        self._netns = netns
        self._stack_up = stack_up
        self.ca = folder / "ca.pem"

    def up(self, *arguments: str) -> Stack:
        return self._stack_up("--serve", "https", "--ca", str(self.ca), *arguments)

    def curl(self, *arguments: str) -> bytes:
        argv = ["curl", "--silent", "--show-error", "--fail", "--cacert", str(self.ca)]
        return self._netns.run([*argv, *arguments]).stdout

    def openssl(
        self, *arguments: str, data: bytes = b"", expect: int | None = 0, port: int = 443
    ) -> str:
        argv = ["openssl", "s_client", "-connect", f"{ADDRESS}:{port}", "-CAfile", str(self.ca)]
        result = self._netns.run([*argv, *arguments], data=data, expect=expect)
        return result.stdout.decode(errors="replace") + result.stderr.decode(errors="replace")


@pytest.fixture
def site(netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path) -> Site:
    return Site(netns, stack_up, tmp_path)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_curl_downloads_with_each_version(site: Site, version: str, http: str) -> None:
    stack = site.up()
    assert stack.ready == f"ready: tap0 {ADDRESS} {URL}/ fd77::2 https://[fd77::2]/"
    words = ["--tlsv" + version, "--tls-max", version, http]
    told = json.loads(site.curl(*words, f"{URL}/connection.json"))
    assert told["security"]["protocol"] == f"TLSv{version}"
    assert told["application"]["protocol"] == {"--http1.1": "HTTP/1.1", "--http2": "HTTP/2"}[http]
    assert site.curl(*words, f"{URL}/bytes/100000") == pattern(100_000)


def test_the_line_that_tells_how_to_trust_it_is_true(site: Site, netns: NetworkNamespace) -> None:
    stack = site.up()
    wait_until(lambda: "trust it with" in stack.log, "the advice")
    (advice,) = re.findall(r"trust it with: (curl .*)", stack.log)
    assert b"<title>" in netns.run(["sh", "-c", f"{advice} --silent --show-error"]).stdout
    assert b"PRIVATE" not in site.ca.read_bytes()
    netns.run(["curl", "--silent", f"{URL}/"], expect=60)  # who does not trust it does not


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_a_long_transfer_is_whole_both_ways(
    site: Site, tmp_path: Path, offload: str, http: str
) -> None:
    site.up(offload)
    path = tmp_path / "body"
    site.curl(http, "-o", str(path), f"{URL}/bytes/{MB_100}")
    with path.open("rb") as body:
        digest = hashlib.file_digest(body, "sha256").hexdigest()
    assert digest == hashlib.sha256(pattern(MB_100)).hexdigest()
    path.write_bytes(pattern(10_000_000))
    told = json.loads(site.curl(http, "-T", str(path), f"{URL}/upload"))
    assert told == {"bytes": 10_000_000, "sha256": hashlib.sha256(pattern(10_000_000)).hexdigest()}


def test_files_below_a_root_ranges_and_head(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a page.html").write_text("<p>hello")
    site.up("--root", str(root))
    for http in ("--http1.1", "--http2"):
        assert site.curl(http, f"{URL}/a%20page.html") == b"<p>hello"
        assert site.curl(http, "--range", "1-2", f"{URL}/a%20page.html") == b"p>"
        head = site.curl(http, "--head", f"{URL}/a%20page.html").lower()
        assert b"content-length: 8" in head
        assert b"text/html" in head


def test_many_at_once_over_one_connection_of_http2(site: Site, tmp_path: Path) -> None:
    site.up()
    urls = [f"{URL}/bytes/{100_000 + number}" for number in range(30)]
    outputs = [f"--output {tmp_path / str(number)}\nurl {url}" for number, url in enumerate(urls)]
    config = tmp_path / "config"
    config.write_text("\n".join(outputs))
    site.curl("--parallel", "--parallel-max", "30", "--http2", "--config", str(config))
    for number in range(30):
        assert (tmp_path / str(number)).read_bytes() == pattern(100_000 + number)


def test_openssl_resumes_a_session(site: Site, tmp_path: Path) -> None:
    stack = site.up("-v")
    ticket = tmp_path / "ticket"
    for version in ("-tls1_2", "-tls1_3"):
        request = b"GET /bytes/5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        words = [version, "-quiet", "-alpn", "http/1.1"]
        site.openssl(*words, "-sess_out", str(ticket), data=request)
        # -quiet leaves the line out that says so: asked for again without
        said = site.openssl(version, "-sess_in", str(ticket))
        assert "Reused, TLSv" in said, said
    assert stack.stop() == 0
    counted = stack.log[stack.log.index("counted: ") :]
    assert "'tls_sessions_resumed': 2" in counted


def test_openssl_asks_for_names_and_protocols(site: Site) -> None:
    site.up("--tls-name", "www.example.test")
    for name in ("www.example.test", "stranger.example.test"):
        said = site.openssl("-servername", name, "-alpn", "nonsense,h2,http/1.1")
        assert "ALPN protocol: h2" in said
        assert "Verify return code: 0 (ok)" in said
    words = ["-verify_return_error", "-verify_hostname"]
    site.openssl(*words, "www.example.test")
    site.openssl(*words, "stranger.example.test", expect=1)
    site.openssl("-verify_return_error", "-verify_ip", ADDRESS)


def test_old_versions_and_renegotiation_are_refused(site: Site) -> None:
    site.up()
    for old in ("-tls1", "-tls1_1"):
        said = site.openssl(old, "-cipher", "ALL:@SECLEVEL=0", expect=1)
        assert "alert protocol version" in said
    said = site.openssl("-tls1_2", data=b"R\nQ\n", expect=None)
    assert "no renegotiation" in said, said
    assert "Compression: NONE" in said


def test_clear_text_to_tls_and_tls_to_clear_text(site: Site, netns: NetworkNamespace) -> None:
    stack = site.up("--serve", "http", "-v")
    answer = netns.run(["curl", "-sS", "--include", f"http://{ADDRESS}:443/"]).stdout
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"That is HTTP in clear, and this port takes it through TLS." in answer
    said = site.openssl(expect=1, port=80)
    assert "wrong version number" in said
    assert stack.stop() == 0
    for counter in ("'tls_clear_text': 1", "'http_tls_to_clear_port': 1"):
        assert counter in stack.log


def test_a_certificate_of_the_users_own(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert(ADDRESS)
    ca, certificate, key = (tmp_path / name for name in ("own.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    stack_up("--serve", "https", "--cert", str(certificate), "--key", str(key))
    argv = ["curl", "-sSf", "--cacert", str(ca), f"{URL}/bytes/5"]
    assert netns.run(argv).stdout == pattern(5)


def test_pythons_own_client(site: Site, netns: NetworkNamespace, offload: str) -> None:
    site.up(offload)
    assert netns.python("https_libraries", ADDRESS, site.ca) == "ok\n"


@needs("nghttp")
@needs("h2load")
def test_nghttp_and_h2load(site: Site, netns: NetworkNamespace) -> None:
    site.up()
    out = netns.run(["nghttp", "--no-verify-peer", f"{URL}/bytes/100000"]).stdout
    assert out.endswith(pattern(100_000))
    argv = ["h2load", "-n", "2000", "-c", "10", "-m", "50", f"{URL}/bytes/1000"]
    told = netns.run(argv).stdout.decode()
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in told
    assert "Application protocol: h2" in told
    argv = ["h2load", "--h1", "-n", "500", "-c", "10", f"{URL}/bytes/1000"]
    assert "500 succeeded, 0 failed" in netns.run(argv).stdout.decode()


@needs("tshark")
@pytest.mark.parametrize("inside", [False, True], ids=["keylog", "secrets"])
def test_tshark_decrypts_with_the_key_log(site: Site, tmp_path: Path, inside: bool) -> None:
    keys, pcap = tmp_path / "keys", tmp_path / "run.pcapng"
    words = ["--pcap-secrets"] if inside else ["--keylog", str(keys)]
    stack = site.up(*words, "--pcap", str(pcap))
    for version in ("1.2", "1.3"):
        for http in ("--http1.1", "--http2"):
            words = ["--tlsv" + version, "--tls-max", version, http]
            site.curl(*words, f"{URL}/bytes/1{version[-1]}{http[-1]}")
    assert stack.stop() == 0
    argv = ["tshark", "-r", str(pcap), "-T", "fields"]
    argv += [] if inside else ["-o", f"tls.keylog_file:{keys}"]
    fields = ["-e", "http.request.uri", "-e", "http2.headers.path"]
    shown = subprocess.run(
        [*argv, *fields], check=True, capture_output=True, timeout=TIMEOUT_S
    ).stdout.decode()
    for path in ("/bytes/121", "/bytes/122", "/bytes/131", "/bytes/132"):
        assert path in shown, shown


def test_hostile_handshakes_cost_themselves(site: Site, netns: NetworkNamespace) -> None:
    stack = site.up("-v")
    assert netns.python("tls_hostile", ADDRESS, site.ca) == "ok\n"
    assert site.curl(f"{URL}/bytes/5") == pattern(5)
    assert stack.stop() == 0
    assert "tls_handshakes_failed" in stack.log
    assert "Traceback" not in stack.log
