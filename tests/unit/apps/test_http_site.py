"""The built-in resources: uploads, test data, methods."""

import hashlib
import json
from pathlib import Path

import pytest
from http_talk import answers, ask, exchange, get
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.http import Limits
from pystack.apps.http.site import MAX_BYTES, Site, pattern

pytestmark = pytest.mark.trio
PERIOD = 251


@pytest.fixture(params=[False, True], ids=["no root", "root"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    (tmp_path / "upload").write_text("a file that stands in nobody's way")
    return Site(tmp_path if request.param else None)


@pytest.mark.parametrize("size", [0, 1, 100_000])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_an_upload_is_counted_and_hashed(site: Site, method: str, size: int) -> None:
    data = bytes(i % PERIOD for i in range(size))
    raw = get("/upload", f"Content-Length: {size}", method=method) + data
    answer = await ask(raw, site, method=method)
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == {"bytes": size, "sha256": hashlib.sha256(data).hexdigest()}


async def test_a_chunked_upload_to_a_name_below_is_counted(site: Site) -> None:
    raw = get("/upload/name", "Transfer-Encoding: chunked", method="PUT") + b"3\r\nabc\r\n0\r\n\r\n"
    assert json.loads((await ask(raw, site, method="PUT")).body)["bytes"] == 3


async def test_an_upload_over_the_limit_is_a_413(site: Site) -> None:
    raw = get("/upload", "Content-Length: 11", method="PUT")
    assert (await ask(raw, site, method="PUT", limits=Limits(body_bytes=10))).status == 413


@pytest.mark.parametrize("count", [0, 1, 251, 65_510, 65_511, 65_512, 200_000])
async def test_bytes_n_gives_n_bytes_of_the_pattern(site: Site, count: int) -> None:
    answer = await ask(get(f"/bytes/{count}"), site)
    assert answer.headers["content-length"] == str(count)
    assert answer.body == bytes(i % PERIOD for i in range(count))


async def test_bytes_n_has_ranges_and_head_without_making_the_bytes(site: Site) -> None:
    head = await ask(get(f"/bytes/{MAX_BYTES}", method="HEAD"), site, method="HEAD")
    assert (head.status, head.headers["content-length"]) == (200, str(MAX_BYTES))
    last = await ask(get(f"/bytes/{MAX_BYTES}", "Range: bytes=-3"), site)
    assert last.status == 206
    assert last.body == bytes((MAX_BYTES - i) % PERIOD for i in (3, 2, 1))


@pytest.mark.parametrize(
    "target",
    [
        "/bytes/",
        "/bytes/x",
        "/bytes/-1",
        "/bytes/1e3",
        f"/bytes/{MAX_BYTES + 1}",
        "/bytes/" + "9" * 5000,
        "/bytes/1/",
        "/bytes/%31",
    ],
)
async def test_bytes_of_no_sensible_number_are_a_404(site: Site, target: str) -> None:
    assert (await ask(get(target), site)).status == 404


@given(st.integers(0, 300_000), st.integers(0, 200_000))
async def test_any_part_of_the_pattern_is_that_part_of_the_whole(start: int, size: int) -> None:
    source = pattern(start, start + size)
    assert not hasattr(source, "__anext__")
    data = source if isinstance(source, bytes) else b"".join(source)  # type: ignore[arg-type]
    whole = bytes(range(PERIOD)) * (size // PERIOD + 2)
    assert data == whole[start % PERIOD :][:size]


async def test_chunks_of_the_pattern_are_of_one_buffer_for_all() -> None:
    """A hundred streams of each of a thousand clients may hold one, and never take it."""
    views = [
        chunk
        for start in (0, 7, 250)
        for chunk in pattern(start, start + 1_000_000)  # type: ignore[union-attr]
    ]
    assert len({id(view.obj) for view in views if isinstance(view, memoryview)}) == 1
    assert all(isinstance(view, memoryview) for view in views)


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("DELETE", "/bytes/1", "GET, HEAD, OPTIONS"),
        ("PUT", "/connection.json", "GET, HEAD, OPTIONS"),
        ("TRACE", "/", "GET, HEAD, OPTIONS"),
        ("GET", "/upload", "POST, PUT, OPTIONS"),
    ],
)
async def test_the_wrong_method_is_a_405_that_names_the_right_ones(
    site: Site, method: str, target: str, allow: str
) -> None:
    raw = get(target, method=method) + get("/bytes/1")
    first, second = answers(await exchange(raw, site), method, "GET")
    assert (first.status, first.headers["allow"]) == (405, allow)
    assert second.status == 200


async def test_head_on_upload_is_a_405_without_a_body(site: Site) -> None:
    answer = await ask(get("/upload", method="HEAD"), site, method="HEAD")
    assert (answer.status, answer.body) == (405, b"")


async def test_an_unknown_method_is_a_501(site: Site) -> None:
    assert (await ask(get("/", method="BREW"), site, method="BREW")).status == 501


async def test_options_are_told(site: Site) -> None:
    one = await ask(get("/upload", method="OPTIONS"), site, method="OPTIONS")
    assert (one.status, one.headers["allow"]) == (204, "POST, PUT, OPTIONS")
    assert "content-length" not in one.headers
    every = await ask(get("*", method="OPTIONS"), site, method="OPTIONS")
    assert every.headers["allow"] == "GET, HEAD, OPTIONS, POST, PUT"


async def test_what_is_not_there_is_a_404(site: Site) -> None:
    assert (await ask(get("/nothing"), site)).status == 404
    assert (await ask(get("/uploads"), site)).status == 404


async def test_with_a_root_the_first_page_is_its_listing_and_the_story_is_at_connection(
    tmp_path: Path,
) -> None:
    (tmp_path / "there").touch()
    site = Site(tmp_path)
    assert b"there" in (await ask(get("/"), site)).body
    assert b"This is how your request got here" in (await ask(get("/connection"), site)).body
