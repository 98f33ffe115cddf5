"""curl and Python's own HTTP clients against `pystack up` on a real TAP."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Final

import pytest
from netns import TIMEOUT_S, NetworkNamespace
from up import StackUp

pytestmark = pytest.mark.kernel

MB_100: Final = 100_000_000
_PERIOD: Final = bytes(range(251))


def pattern(count: int) -> bytes:
    """Return what /bytes/N answers."""
    return (_PERIOD * (count // len(_PERIOD) + 1))[:count]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def curl(netns: NetworkNamespace, *arguments: str) -> bytes:
    return netns.run(["curl", "-g", "--silent", "--show-error", "--fail", *arguments]).stdout


@pytest.mark.parametrize("size", [0, 1, 100_000, MB_100])
def test_a_download_arrives_whole(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path, offload: str, size: int, url: str
) -> None:
    stack_up(offload)
    path = tmp_path / "body"
    curl(netns, "-o", str(path), f"{url}/bytes/{size}")
    with path.open("rb") as body:
        assert hashlib.file_digest(body, "sha256").hexdigest() == sha256(pattern(size))


@pytest.mark.parametrize("size", [0, 1, 100_000, MB_100])
def test_an_upload_arrives_whole(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path, offload: str, size: int, url: str
) -> None:
    stack_up(offload)
    data = pattern(size)
    path = tmp_path / "body"
    path.write_bytes(data)
    told = json.loads(curl(netns, "--data-binary", f"@{path}", f"{url}/upload"))
    assert told == {"bytes": size, "sha256": sha256(data)}


def test_fifty_at_once(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path, offload: str, url: str
) -> None:
    stack_up(offload)
    programs = [
        netns.popen(
            [
                "curl",
                "-g",
                "-sSf",
                "-o",
                str(tmp_path / str(number)),
                f"{url}/bytes/{200_000 + number}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=None,
        )
        for number in range(50)
    ]
    assert [program.wait(TIMEOUT_S) for program in programs] == [0] * 50
    for number in range(50):
        assert (tmp_path / str(number)).read_bytes() == pattern(200_000 + number)


def test_two_urls_go_over_one_connection(
    netns: NetworkNamespace, stack_up: StackUp, url: str
) -> None:
    stack_up()
    result = netns.run(["curl", "-g", "-sSfv", f"{url}/bytes/10", f"{url}/bytes/20"])
    assert result.stdout == pattern(10) + pattern(20)
    assert b"Re-using existing connection" in result.stderr


def test_http_1_0_gets_an_answer_and_the_end(
    netns: NetworkNamespace, stack_up: StackUp, url: str
) -> None:
    stack_up()
    result = netns.run(["curl", "-g", "-sSfv", "--http1.0", f"{url}/bytes/100000"])
    assert result.stdout == pattern(100_000)
    assert b"Closing connection" in result.stderr


@pytest.mark.parametrize(
    ("asked", "start", "stop"), [("100-199", 100, 200), ("-50", 950, 1000), ("990-", 990, 1000)]
)
def test_a_range_is_answered_with_just_that(
    netns: NetworkNamespace, stack_up: StackUp, asked: str, start: int, stop: int, url: str
) -> None:
    stack_up()
    answer = curl(netns, "--include", "--range", asked, f"{url}/bytes/1000")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 206 ")
    assert f"bytes {start}-{stop - 1}/1000".encode() in head
    assert body == pattern(1000)[start:stop]


def test_a_range_beyond_the_end_is_refused(
    netns: NetworkNamespace, stack_up: StackUp, url: str
) -> None:
    stack_up()
    argv = ["curl", "-g", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--range", "1000-"]
    assert netns.run([*argv, f"{url}/bytes/1000"]).stdout == b"416"


def test_head_has_the_length_and_no_body(
    netns: NetworkNamespace, stack_up: StackUp, url: str
) -> None:
    stack_up()
    answer = curl(netns, "--head", f"{url}/bytes/1000").lower()
    assert answer.startswith(b"http/1.1 200 ")
    assert b"\r\ncontent-length: 1000\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_the_page_tells_of_the_connection_that_it_came_over(
    netns: NetworkNamespace, stack_up: StackUp, address: str, url: str
) -> None:
    stack_up()
    page = curl(netns, "--local-port", "45678", f"{url}/").decode()
    for word in (f"{address[:-1]}1", "45678", address, "SYN"):
        assert word in page
    data = curl(netns, "--local-port", "45679", f"{url}/connection.json").decode()
    assert "45679" in data
    json.loads(data)


def test_files_below_a_root(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path, url: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a page.html").write_text("<p>hello")
    (tmp_path / "secret").write_text("not for you")
    stack_up("--root", str(root))
    answer = curl(netns, "--include", f"{url}/a%20page.html")
    assert b"text/html" in answer
    assert answer.endswith(b"<p>hello")
    code = ["curl", "-g", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is"]
    for path in ("/../secret", "/%2e%2e/secret", "/..%2fsecret"):
        assert netns.run([*code, url + path]).stdout in (b"400", b"404")
    assert curl(netns, f"{url}/bytes/5") == pattern(5)


def test_pythons_own_clients(
    netns: NetworkNamespace, stack_up: StackUp, offload: str, address: str
) -> None:
    stack_up(offload)
    assert netns.python("http_libraries") == "ok\n"


def test_a_closed_port_refuses_at_once(
    netns: NetworkNamespace, stack_up: StackUp, url: str
) -> None:
    stack_up()
    netns.run(["curl", "-g", "-sS", "--max-time", "50", f"{url}:81/"], expect=7)


def test_another_port_can_be_chosen(netns: NetworkNamespace, stack_up: StackUp, url: str) -> None:
    stack = stack_up("--serve", "http:8080")
    assert stack.ready.startswith("ready: tap0 10.77.0.2")
    assert curl(netns, f"{url}:8080/bytes/5") == pattern(5)
    netns.run(["curl", "-g", "-sS", f"{url}/"], expect=7)
