"""No path leads out of the root, and none to a hidden file; not to write there either."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.tree import Tree, join_path, split_path
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
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("open")
    (root / "Maildir" / "new").mkdir(parents=True)
    (root / "Maildir" / "new" / "mail").write_text("open")
    (root / "to-mail").symlink_to("Maildir/new/mail")
    (root / "to-hidden").symlink_to(".hidden")
    (root / "to-hidden-directory").symlink_to(".git")
    (root / "into-hidden-directory").symlink_to(root / ".git" / "config")
    (root / "to-link-to-hidden").symlink_to("to-hidden")
    (root / "through-hidden").symlink_to(".git/../open")
    return base


def read(base: Path, path: str, *, dotfiles: bool = False) -> str | None:
    """Return what is served under a path; None: nothing is."""
    segments = split_path(path)
    if segments is None:
        return None
    try:
        descriptor = Tree(base / "root", dotfiles=dotfiles).open(segments)
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
        "/through-hidden",
    ],
)
def test_files_are_found_and_links_that_stay_inside_are_followed(base: Path, path: str) -> None:
    assert read(base, path) == "open"


HIDDEN = [
    "/.hidden",
    "/%2ehidden",
    "/.git/config",
    "/to-hidden",
    "/to-hidden-directory/config",
    "/into-hidden-directory",
    "/to-link-to-hidden",
    "/Maildir/new/mail",
    "/to-mail",
]


@pytest.mark.parametrize("path", HIDDEN)
def test_hidden_files_are_served_to_those_who_ask_for_them_alone(base: Path, path: str) -> None:
    assert read(base, path) is None
    assert read(base, path, dotfiles=True) == "open"


@pytest.mark.parametrize("dotfiles", [False, True])
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
        "/./open",
        "/.",
        "/..",
        "/sub/..",
    ],
)
def test_nothing_outside_is_served(base: Path, path: str, *, dotfiles: bool) -> None:
    assert read(base, path, dotfiles=dotfiles) is None


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
        ".hidden",
        ".git",
        "to-hidden",
        "to-hidden-directory",
        "config",
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
    assert "/." not in found.removeprefix(root)


@given(st.binary(min_size=1, max_size=20))
def test_every_other_name_survives_quoting(name: bytes) -> None:
    segments = split_path("/" + quote(name, safe=""))
    if name in (b".", b"..") or set(name) & set(b"/\\\0"):
        assert segments is None
    else:
        assert segments == [name]


def test_well_known_is_not_hidden(base: Path) -> None:
    tree = Tree(base / "root")
    assert tree.shows(b".well-known")
    assert not tree.shows(b".well-known.x")
    assert not tree.shows(b".")


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
    # Links far down cost more, and there may be fewer of them.
    deep = base / "root" / "/".join("d" * 60)
    deep.mkdir(parents=True)
    (deep / "here").symlink_to(".")
    (deep / "open").write_text("open")
    assert read(base, "/d" * 60 + "/here" * 10 + "/open") == "open"
    assert read(base, "/d" * 60 + "/here" * 30 + "/open") is None


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


@given(
    st.lists(st.sampled_from([b"a", b"b", b"..", b".", b"", b"c\r", b"\xff"]), max_size=12),
    st.lists(st.sampled_from([b"x", b"y"]), max_size=3),
)
def test_a_typed_path_means_what_it_means_to_the_system(
    names: list[bytes], at: list[bytes]
) -> None:
    path = b"/".join(names)
    meant = os.path.normpath(os.path.join(b"/", *at, path)).lstrip(b"/")
    assert join_path(at, path) == (meant.split(b"/") if meant else [])


def test_a_typed_path_that_no_file_can_have(base: Path) -> None:
    assert join_path([], b"a\0b") is None
    assert join_path([], b"a\\b") is None
    assert join_path([b"a"] * 200, b"b/" * 100) is None
    assert join_path([], b"/" * 300) is None


def names_of(tree: Tree, *segments: bytes) -> set[bytes]:
    descriptor = tree.open(segments)
    try:
        return {name for name, status in tree.entries(descriptor, segments) if status is not None}
    finally:
        os.close(descriptor)


def test_what_is_listed_is_what_can_be_opened(base: Path) -> None:
    for dotfiles in (False, True):
        tree = Tree(base / "root", dotfiles=dotfiles)
        opened = set()
        for name in os.listdir(os.fsencode(base / "root")):
            try:
                os.close(tree.open([name]))
            except OSError:
                continue
            opened.add(name)
        assert names_of(tree) == opened
        assert (b"to-hidden" in opened) == (b".git" in opened) == dotfiles
