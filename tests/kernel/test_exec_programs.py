"""Unmodified programs in `pystack exec`, in front of real servers: outside, and in a lab."""

import hashlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import boxed
import pytest
from boxed import BIG, Box
from up import needs

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

PLACES: Final = {"outside": boxed.outside, "lab": boxed.laboratory}


@pytest.fixture(scope="module", params=list(PLACES))
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Return an `exec` that runs, one for all tests of a place."""
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed here")
    folder: Path = tmp_path_factory.mktemp(request.param)
    with PLACES[request.param](folder) as found:
        yield found


@needs("curl")
@pytest.mark.parametrize("version", ["-4", "-6"])
def test_curl_fetches_over_both_ip_versions(box: Box, version: str) -> None:
    assert box.run(["curl", "-sS", version, f"http://{box.server}/small"]) == "a page\n"


@needs("curl")
def test_curl_gets_each_byte_of_a_large_body(box: Box) -> None:
    fetch = f"curl -sS http://{box.server}/big | sha256sum"
    assert box.run(["sh", "-c", fetch]).split()[0] == hashlib.sha256(BIG).hexdigest()


@needs("curl")
def test_two_hundred_connections_at_once(box: Box) -> None:
    url = f"http://{box.server}/small?[1-200]"
    every = ["--parallel", "--parallel-immediate", "--parallel-max", "200", "--no-keepalive"]
    told = box.run(["curl", "-sS", *every, "-o", "/dev/null", "-w", "%{http_code}\\n", url])
    assert told.split() == ["200"] * 200


@needs("curl")
def test_what_is_closed_there_is_refused_at_once_and_what_has_no_name_is_not_found(
    box: Box,
) -> None:
    box.run(["curl", "-sS", "--max-time", "30", f"http://{box.server}:81/"], expect=7)
    box.run(["curl", "-sS", "--max-time", "30", "http://nothing.internet.test/"], expect=6)


@pytest.mark.skipif(not Path("/etc/gai.conf").exists(), reason="its C library has no gai.conf")
def test_ipv6_goes_first_where_there_is_ipv6(box: Box) -> None:
    found = box.run(["getent", "ahosts", box.server]).split()
    assert found.index(box.address6) < found.index(box.address4)


def test_python(box: Box) -> None:
    fetch = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode(), end='')"
    argv = [sys.executable, "-I", "-c", fetch, f"http://{box.server}/small"]
    assert box.run(argv) == "a page\n"


@needs("curl")
def test_another_exec_whose_outside_is_this_one(box: Box) -> None:
    argv = [*boxed.EXEC, "-q", "--outside", "--", "curl", "-sS", f"http://{box.server}/small"]
    assert box.run(argv) == "a page\n"


@needs("node")
def test_node(box: Box) -> None:
    script = "fetch(process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t))"
    assert box.run(["node", "-e", script, f"http://{box.server}/small"]) == "a page\n"


@needs("redis-server")
@needs("redis-cli")
def test_redis_cli(box: Box) -> None:
    redis = ["redis-cli", "-h", box.server]
    assert box.run([*redis, "set", "key", "value"]) == "OK\n"
    assert box.run([*redis, "get", "key"]) == "value\n"


@needs("redis-server")
@needs("redis-benchmark")
def test_redis_benchmark_pipelines_over_fifty_connections(box: Box) -> None:
    words = ["-h", box.server, "-c", "50", "-n", "5000", "-P", "10", "-t", "set", "--csv"]
    assert '"SET"' in box.run(["redis-benchmark", *words])


@needs("git")
def test_git_clones_over_http(box: Box, tmp_path: Path) -> None:
    at = tmp_path / "clone"
    box.run(["git", "clone", "-q", f"http://{box.server}/it.git", str(at)])
    assert (at / "file").read_bytes() == BIG[: 1 << 18]


@needs("dig")
@needs("dnsmasq")
@pytest.mark.parametrize("way", ["+notcp", "+tcp"])
def test_dig_asks_by_udp_and_tcp(box: Box, way: str) -> None:
    assert box.run(["dig", "+short", way, box.server, "A"]).strip() == box.address4
    assert box.run(["dig", "+short", way, box.server, "AAAA"]).strip() == box.address6


@needs("ping")
@pytest.mark.parametrize("version", ["-4", "-6"])
def test_ping(box: Box, version: str) -> None:
    told = box.run(["ping", version, "-n", "-c", "1", "-W", "20", box.server])
    assert " 0% packet loss" in told


# Its server still clears up for a moment when the client of before has ended.
WHEN_FREE: Final = """
for _ in $(seq 100); do
    said=$(iperf3 "$@" 2>&1) && echo "$said" && exit
    case $said in *"busy running a test"*) sleep 0.2;; *) break;; esac
done
echo "$said" >&2; exit 1
"""


@needs("iperf3")
def test_iperf3_up_down_and_by_datagrams(box: Box) -> None:
    def iperf3(*words: str) -> str:
        return box.run(["sh", "-c", WHEN_FREE, "sh", "-c", box.server, *words])

    for words in (["-n", "4M"], ["-n", "4M", "-R", "-P", "4"]):
        assert re.search(r"receiver", iperf3(*words))
    # So few that all find room, however late they are taken.
    told = iperf3("-u", "-b", "1M", "-n", "50K")
    assert re.search(r" 0/\d+ \(0%\) +receiver", told), told


@needs("chromium")
def test_chromium_loads_a_page_with_its_script(box: Box, tmp_path: Path) -> None:
    words = ["--headless", "--disable-gpu", "--no-sandbox", "--disable-dev-shm-usage"]
    browser = ["chromium", *words, f"--user-data-dir={tmp_path}", "--dump-dom"]
    assert f"said by {box.server}" in box.run([*browser, f"http://{box.server}/"])
