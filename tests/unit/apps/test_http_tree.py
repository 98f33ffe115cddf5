"""No path leads out of the root, and none to a hidden file."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.http.tree import Tree, split_path
from pystack.core.errors import ConfigError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root, a secret beside it, and links of all sorts."""
    base = tmp_path_factory.mktemp("tree")
    root = base / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (base / "root-beside").mkdir()
    for place in (base / "secret", base / "root-beside" / "secret"):
        place.write_text("secret")
    for place in (root / "open", root / "sub" / "open", root / ".hidden"):
        place.write_text("open")
    (root / "within").symlink_to("sub/open")
    (root / "within-absolute").symlink_to(root / "sub" / "open")
    (root / "sub" / "up").symlink_to("../open")
    (root / "dir").symlink_to("sub")
    (root / "out").symlink_to("../secret")
    (root / "out-absolute").symlink_to("/etc/passwd")
    (root / "out-dir").symlink_to("..")
    (root / "out-and-in").symlink_to("../root/open")
    (root / "beside").symlink_to("../root-beside")
    (root / "loop").symlink_to("loop")
    (root / "nowhere").symlink_to("nothing-there")
    return base


def read(base: Path, path: str) -> str | None:
    """Return what is served under a path; None: nothing is."""
    segments = split_path(path)
    if segments is None:
        return None
    try:
        descriptor = Tree(base / "root").open(segments)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode()


@pytest.mark.parametrize(
    "path",
    [
        "/open",
        "//open",
        "/sub/open",
        "/o%70en",
        "/within",
        "/within-absolute",
        "/sub/up",
        "/dir/open",
        "/dir/up",
        "/out-and-in",
    ],
)
def test_files_are_found_and_links_that_stay_inside_are_followed(base: Path, path: str) -> None:
    assert read(base, path) == "open"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/sub/../../secret",
        "/%2e%2e/secret",
        "/.%2E/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/sub/..%2f..%2fsecret",
        "/..\\secret",
        "/%2e%2e%5csecret",
        "/open%00",
        "/%00",
        "/sub%2fopen",
        "/%2fetc%2fpasswd",
        "/%252e%252e/secret",
        "/%c0%ae%c0%ae/secret",
        "/out",
        "/out-absolute",
        "/out-dir/secret",
        "/out-dir/root/../secret",
        "/beside/secret",
        "/out-dir/root-beside/secret",
        "/loop",
        "/nowhere",
        "/open/x",
        "/" + "a" * 5000,
        "/.hidden",
        "/%2ehidden",
        "/./open",
        "/.",
        "/..",
        "/sub/..",
    ],
)
def test_nothing_outside_and_nothing_hidden_is_served(base: Path, path: str) -> None:
    assert read(base, path) is None


_PIECES = st.sampled_from(
    [
        "..",
        ".",
        "%2e%2e",
        "%2E.",
        "/",
        "//",
        "%2f",
        "\\",
        "%5c",
        "%00",
        "%",
        "%%32e",
        "sub",
        "deep",
        "open",
        "out",
        "out-dir",
        "out-absolute",
        "dir",
        "root",
        "beside",
        "secret",
        "etc",
        "passwd",
    ]
)


@given(st.lists(_PIECES | st.text(max_size=4), max_size=8).map("/".join))
def test_whatever_the_path_what_is_opened_lies_inside(base: Path, path: str) -> None:
    segments = split_path(path)
    if segments is None:
        return
    assert not {b".", b"..", b""} & set(segments)
    try:
        descriptor = Tree(base / "root").open(segments)
    except OSError:
        return
    try:
        found = os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    root = str((base / "root").resolve())
    assert found == root or found.startswith(root + "/")


@given(st.binary(min_size=1, max_size=20))
def test_every_other_name_survives_quoting(name: bytes) -> None:
    segments = split_path("/" + quote(name, safe=""))
    if (name.startswith(b".") and name != b".well-known") or set(name) & set(b"/\\\0"):
        assert segments is None
    else:
        assert segments == [name]


def test_well_known_is_not_hidden() -> None:
    assert split_path("/.well-known/x") == [b".well-known", b"x"]
    assert split_path("/.well-known/.x") is None


def test_a_link_put_in_the_way_after_the_look_is_not_followed(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The path is resolved to `sub/open`, and then `sub` is exchanged for a link that leads out.
    tree = Tree(base / "root")
    monkeypatch.setattr(tree, "resolve", lambda segments: [b"beside", b"secret"], raising=False)
    with pytest.raises(OSError, match="symbolic links"):
        tree.open([b"within"])


def test_a_long_way_over_links_and_through_files_ends_soon(base: Path) -> None:
    (base / "root" / "here").symlink_to(".")
    assert read(base, "/here" * 39 + "/open") == "open"
    assert read(base, "/here" * 41 + "/open") is None  # as Linux has it
    assert read(base, "/open" * 255) is None
    assert split_path("/x" * 257) is None


def test_a_link_in_a_directory_behind_a_link_is_followed_from_where_it_is(base: Path) -> None:
    assert read(base, "/dir/deep/../open") is None
    (base / "root" / "sub" / "deep" / "far").symlink_to("../../open")
    assert read(base, "/dir/deep/far") == "open"
    (base / "root" / "sub" / "deep" / "out").symlink_to("../../../secret")
    assert read(base, "/dir/deep/out") is None


def test_no_descriptor_is_left_open(base: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/open", "/sub/deep/nothing", "/within", "/out", "/loop", "/open/x"):
        read(base, path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_root_must_be_a_directory(base: Path) -> None:
    with pytest.raises(ConfigError, match="not a directory"):
        Tree(base / "secret")
