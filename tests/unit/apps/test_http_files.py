"""Files and directories over HTTP."""

import os
import re
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from http_talk import Answer, answers, ask, exchange, get

from pystack.apps.http import files
from pystack.apps.http.files import FileSite, content_type
from pystack.apps.http.listing import MAX_ENTRIES
from pystack.apps.http.messages import BodyError

pytestmark = pytest.mark.trio
BIG = os.urandom(300_001)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "index.html").write_text("<p>index")
    (root / "list").mkdir()
    (root / "a.txt").write_text("hello")
    (root / "empty").touch()
    (root / "big.bin").write_bytes(BIG)
    return root


async def fetch(root: Path, target: str, *headers: str, method: str = "GET") -> Answer:
    raw = get(target, *headers, method=method)
    return await ask(raw, FileSite(root), method=method)


async def test_a_file_is_sent_with_its_type_and_validators(root: Path) -> None:
    os.utime(root / "a.txt", (0, 1_000_000_000))
    answer = await fetch(root, "/a.txt")
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["last-modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    again = await fetch(root, "/a.txt", f"If-None-Match: {answer.headers['etag']}")
    assert (again.status, again.body) == (304, b"")


async def test_the_tag_changes_with_the_file(root: Path) -> None:
    before = (await fetch(root, "/a.txt")).headers["etag"]
    os.utime(root / "a.txt", ns=(0, 5))
    assert (await fetch(root, "/a.txt")).headers["etag"] != before


async def test_an_empty_file_is_sent_as_nothing(root: Path) -> None:
    answer = await fetch(root, "/empty")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize("cached", [True, False])
async def test_a_big_file_is_sent_whole_and_in_parts(
    root: Path, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not cached:  # as on a system that cannot tell: then a thread reads
        monkeypatch.setattr(files.FileBody, "_read_cached", lambda self, size: None)
    assert (await fetch(root, "/big.bin")).body == BIG
    part = await fetch(root, "/big.bin", "Range: bytes=1000-200000")
    assert (part.status, part.body) == (206, BIG[1000:200_001])
    head = await fetch(root, "/big.bin", method="HEAD")
    assert (head.body, head.headers["content-length"]) == (b"", "300001")


async def test_a_file_that_shrinks_while_it_is_sent_is_cut_not_filled_up(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = files.FileBody(os.open(root / "big.bin", os.O_RDONLY), 0, 300_002)
    with pytest.raises(BodyError, match="too early"):
        async for _ in body:
            pass
    body.close()


async def test_no_descriptor_is_left_open(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for target in ("/a.txt", "/big.bin", "/", "/sub/", "/sub", "/nothing"):
        for method in ("GET", "HEAD"):
            await fetch(root, target, method=method)
    await fetch(root, "/big.bin", "If-None-Match: *")
    await fetch(root, "/big.bin", "Range: bytes=999999-")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "target", ["/nothing", "/a.txt/", "/a.txt/x", "/../root/a.txt", "/%00", "/.git/", "/fifo"]
)
async def test_what_is_not_there_is_a_404_and_the_connection_goes_on(
    root: Path, target: str
) -> None:
    os.mkfifo(root / "fifo")
    raw = get(target) + get("/a.txt")
    first, second = answers(await exchange(raw, FileSite(root)), "GET", "GET")
    assert (first.status, second.body) == (404, b"hello")


async def test_a_file_that_may_not_be_read_is_a_403(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, segments: list[bytes]) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pystack.apps.tree.Tree.open", refuse)
    assert (await fetch(root, "/a.txt")).status == 403


async def test_a_directory_is_redirected_to_its_slash(root: Path) -> None:
    (root / "Ü b").mkdir()
    assert (await fetch(root, "/sub")).headers["location"] == "/sub/"
    moved = await fetch(root, "/%C3%9C%20b?x=y")
    assert (moved.status, moved.headers["location"]) == (301, "/%C3%9C%20b/?x=y")


async def test_a_redirect_never_leads_to_another_host(root: Path) -> None:
    assert (await fetch(root, "//sub")).headers["location"] == "/sub/"


async def test_index_html_stands_for_its_directory(root: Path) -> None:
    answer = await fetch(root, "/sub/")
    assert answer.body == b"<p>index"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_listing_is_sorted_directories_first_and_everything_escaped(root: Path) -> None:
    place = root / "list"
    for name in ("b", "C", "a", "<i>&", 'q"uote', "Ünïcode", "100%", ".hidden", "ja:vascript"):
        (place / name).touch()
    (place / "z").mkdir()
    (place / os.fsdecode(b"\xff\xfe")).touch()
    page = (await fetch(root, "/list/")).body.decode()
    hrefs = re.findall(r'<a href="([^"]*)">', page)
    assert hrefs[:5] == ["../", "z/", "100%25", "%3Ci%3E%26", "a"]
    assert hrefs[5:] == ["b", "C", "ja%3Avascript", "q%22uote", "%C3%9Cn%C3%AFcode", "%FF%FE"]
    assert "&lt;i&gt;&amp;" in page
    assert "<i>" not in page
    assert "hidden" not in page
    for href in hrefs[2:]:
        assert (await fetch(root, "/list/" + href)).status == 200


async def test_a_listing_leaves_out_links_that_lead_nowhere_or_out(root: Path) -> None:
    place = root / "list"
    (place / "in").symlink_to("../a.txt")
    (place / "out").symlink_to("/etc")
    (place / "broken").symlink_to("nothing")
    page = (await fetch(root, "/list/")).body.decode()
    assert re.findall(r'<a href="([^"]*)">', page) == ["../", "in"]


async def test_a_huge_directory_is_listed_in_part_and_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_ENTRIES >= 1000
    monkeypatch.setattr("pystack.apps.http.listing.MAX_ENTRIES", 3)
    for number in range(5):
        (root / "list" / str(number)).touch()
    assert "3 files, and 2 more" in (await fetch(root, "/list/")).body.decode()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"x.html", "text/html; charset=utf-8"),
        (b"x.HTML", "text/html; charset=utf-8"),
        (b"x.css", "text/css; charset=utf-8"),
        (b"x.js", "text/javascript; charset=utf-8"),
        (b"x.json", "application/json; charset=utf-8"),
        (b"x.png", "image/png"),
        (b"x.svg", "image/svg+xml"),
        (b"x.tar.gz", "application/gzip"),
        (b"x.pcap", "application/vnd.tcpdump.pcap"),
        (b"README", "application/octet-stream"),
        (b"data:text/html,x", "application/octet-stream"),
        (b"\xff.txt", "text/plain; charset=utf-8"),
    ],
)
async def test_types_follow_the_suffix(name: bytes, kind: str) -> None:
    assert content_type(name) == kind


@pytest.mark.parametrize("change", ["rewritten", "shrunk", "its time set back"])
async def test_a_file_that_is_changed_while_it_is_sent_is_cut(root: Path, change: str) -> None:
    path = root / "big.bin"
    body = files.FileBody(os.open(path, os.O_RDONLY), 0, len(BIG))
    assert await anext(body) == BIG[: files.CHUNK_BYTES]
    with path.open("r+b") as file:
        if change == "shrunk":
            file.truncate(files.CHUNK_BYTES + 10)
        elif change == "rewritten":
            file.write(BIG[::-1])
    if change == "its time set back":
        os.utime(path, (0, 0))
    with pytest.raises(BodyError, match="changed"):
        await anext(body)
    body.close()


async def test_a_file_that_grows_at_its_end_is_sent_as_it_was(root: Path) -> None:
    body = files.FileBody(os.open(root / "big.bin", os.O_RDONLY), 0, len(BIG))
    parts = [bytes(await anext(body))]
    with (root / "big.bin").open("ab") as file:
        file.write(b"and a line more")
    parts += [bytes(part) async for part in body]
    body.close()
    assert b"".join(parts) == BIG


async def test_a_file_of_another_content_has_another_tag_even_with_the_same_time_and_size(
    root: Path,
) -> None:
    path = root / "a.txt"
    tags = set()
    for text in (b"one", b"two"):
        path.write_bytes(text)
        os.utime(path, (1_000_000_000, 1_000_000_000))
        got = await fetch(root, "/a.txt")
        assert got.headers["last-modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
        tags.add(got.headers["etag"])
    assert len(tags) == 2


async def test_a_date_in_the_future_is_not_told(root: Path) -> None:
    os.utime(root / "a.txt", (4e9, 4e9))
    told = parsedate_to_datetime((await fetch(root, "/a.txt")).headers["last-modified"])
    assert told.timestamp() < 4e9
