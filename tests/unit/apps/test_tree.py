"""No path leads out of the root, and none to a hidden file; not to write there either."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
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


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A root to write in, beside what is none of its business."""
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / ".hidden").mkdir()
    (tmp_path / "root" / "file").write_text("before")
    (tmp_path / "root" / "link").symlink_to("file")
    (tmp_path / "root" / "new-by-link").symlink_to("sub/new")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("precious")
    (tmp_path / "root" / "out").symlink_to("../outside")
    (tmp_path / "root" / "out-file").symlink_to("../outside/file")
    (tmp_path / "root" / "out-new").symlink_to("../outside/new")
    (tmp_path / "root" / "to-hidden").symlink_to(".hidden")
    (tmp_path / "root" / "to-hidden-new").symlink_to(".new")
    return tmp_path


def write(descriptor: int, text: bytes) -> None:
    os.write(descriptor, text)
    os.close(descriptor)


def test_files_are_written_where_they_are(mine: Path) -> None:
    root, tree = mine / "root", Tree(mine / "root")
    write(tree.open_to_write([b"file"]), b"AB")
    assert (root / "file").read_text() == "ABfore"
    write(tree.open_to_write([b"link"], append=True), b"!")
    assert (root / "file").read_text() == "ABfore!"
    write(tree.open_to_write([b"new-by-link"]), b"new")
    assert (root / "sub" / "new").read_text() == "new"
    with pytest.raises(FileNotFoundError):
        tree.open_to_write([b"nothing"], create=False)
    with pytest.raises(FileExistsError):
        tree.create([b"file"])
    write(tree.create([b"sub", b"made"]), b"made")
    tree.make_directory([b"sub", b"deep"])
    tree.rename([b"sub", b"made"], [b"sub", b"deep", b"moved"])
    tree.sync_directory([b"sub", b"deep"])
    assert (root / "sub" / "deep" / "moved").read_text() == "made"
    with pytest.raises(OSError, match="not empty"):
        tree.remove_directory([b"sub", b"deep"])
    tree.remove([b"sub", b"deep", b"moved"])
    tree.remove_directory([b"sub", b"deep"])
    tree.remove([b"link"])
    assert (root / "file").exists()
    assert tree.stat([b"file"]).st_size == 7
    tree.change([b"file"], mode=0, modified_s=5)
    tree.change([b"file"], mode=0o600)  # also what may not be read
    assert (tree.stat([b"file"]).st_mode & 0o7777, tree.stat([b"file"]).st_mtime) == (0o600, 5)


WRITERS: list[Callable[[Tree, list[bytes]], object]] = [
    lambda tree, path: write(tree.open_to_write(path), b"stolen"),
    lambda tree, path: write(tree.open_to_write(path, append=True), b"stolen"),
    lambda tree, path: write(tree.create(path), b"stolen"),
    lambda tree, path: tree.new_file(path).keep(),
    lambda tree, path: tree.make_directory(path),
    lambda tree, path: tree.remove(path),
    lambda tree, path: tree.remove_directory(path),
    lambda tree, path: tree.rename(path, [b"mine"]),
    lambda tree, path: tree.rename([b"file"], path),
    lambda tree, path: tree.change(path, mode=0o777),
    lambda tree, path: tree.change(path, modified_s=5),
]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    "path",
    [
        [b"out", b"file"],
        [b"out", b"new"],
        [b".new"],
        [b".hidden"],
        [b".hidden", b"new"],
        [b"to-hidden", b"new"],
        [b".."],
        [b"..", b"outside", b"new"],
        [b"../outside/new"],
        [b"."],
        [b"nul\0"],
        [b""],
        [],
    ],
)
def test_nothing_is_written_outside_nor_in_hiding(
    mine: Path, writer: Callable[[Tree, list[bytes]], object], path: list[bytes]
) -> None:
    with pytest.raises(OSError, match=r"^\[Errno"):
        writer(Tree(mine / "root"), path)
    assert [each.name for each in (mine / "outside").iterdir()] == ["file"]
    assert (mine / "outside" / "file").read_text() == "precious"
    assert not list((mine / "root" / ".hidden").iterdir())
    assert (mine / "root" / "file").read_text() == "before"


@pytest.mark.parametrize("name", [b"out-file", b"out-new", b"to-hidden-new", b"out", b"sub"])
def test_a_link_that_leads_out_is_not_written_through(mine: Path, name: bytes) -> None:
    with pytest.raises(OSError, match=r"symbolic links|directory"):
        Tree(mine / "root").open_to_write([name])
    assert (mine / "outside" / "file").read_text() == "precious"
    assert not (mine / "outside" / "new").exists()
    assert not (mine / "root" / ".new").exists()


def test_a_pipe_is_no_file_to_write(mine: Path) -> None:
    os.mkfifo(mine / "root" / "pipe")
    reader = os.open(mine / "root" / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Invalid"):
        Tree(mine / "root").open_to_write([b"pipe"])
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(reader)


def test_a_new_file_is_seen_when_it_is_whole(mine: Path) -> None:
    root, tree = mine / "root", Tree(mine / "root")
    before = len(os.listdir("/proc/self/fd"))
    with tree.new_file([b"file"]) as first, tree.new_file([b"file"]) as second:
        os.write(first.descriptor, b"first")
        os.write(second.descriptor, b"second")
        assert (root / "file").read_text() == "before"
        assert not {name for name in names_of(tree) if b"new-" in name and b"link" not in name}
        first.keep(durable=True)
        assert (root / "file").read_text() == "first"
        with pytest.raises(FileExistsError):
            second.keep(replace=False)
    assert (root / "file").read_text() == "first"
    with tree.new_file([b"sub", b"other"]) as third:
        third.keep(durable=True, replace=False)
    assert [each.name for each in (root / "sub").iterdir()] == ["other"]
    assert not [each for each in root.iterdir() if each.name.endswith(".part")]
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_a_power_cut_left_is_in_nobodys_way(mine: Path) -> None:
    (mine / "root" / "sub" / ".new-0.part").touch()
    with Tree(mine / "root").new_file([b"sub", b"x"]) as new:
        new.keep()
    assert {each.name for each in (mine / "root" / "sub").iterdir()} == {".new-0.part", "x"}


def test_a_link_exchanged_between_look_and_use_leads_nowhere(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `by-link` resolves to sub/new; before the second walk `sub` becomes a link that leads out.
    tree, sub = Tree(mine / "root"), mine / "root" / "sub"
    resolve = tree.resolve

    def resolve_and_exchange(segments: list[bytes]) -> list[bytes] | None:
        found = resolve(segments)
        if not sub.is_symlink():
            sub.rmdir()
            sub.symlink_to("../outside")
        return found

    monkeypatch.setattr(tree, "resolve", resolve_and_exchange)
    with pytest.raises(OSError, match=r"symbolic links|directory"):
        tree.open_to_write([b"new-by-link"])
    assert [each.name for each in (mine / "outside").iterdir()] == ["file"]


def test_a_directory_that_becomes_a_link_again_and_again_leads_nowhere(mine: Path) -> None:
    root, tree = mine / "root", Tree(mine / "root")
    (root / "flip").mkdir()
    (root / "flip" / "file").write_text("inside")
    (root / "link-out").symlink_to("../outside")
    done = threading.Event()

    def exchange() -> None:
        while not done.is_set():
            os.rename(root / "flip", root / "kept")
            os.rename(root / "link-out", root / "flip")
            os.rename(root / "flip", root / "link-out")
            os.rename(root / "kept", root / "flip")

    thread = threading.Thread(target=exchange)
    thread.start()
    opened = 0
    try:
        for _ in range(3000):
            with suppress(OSError):
                descriptor = tree.open([b"flip", b"file"])
                assert os.read(descriptor, 100) == b"inside"
                os.close(descriptor)
                opened += 1
            with suppress(OSError):
                write(tree.open_to_write([b"flip", b"file"]), b"inside")
            with suppress(OSError):
                tree.rename([b"flip", b"file"], [b"flip", b"other"])
            with suppress(OSError):
                tree.rename([b"flip", b"other"], [b"flip", b"file"])
            with suppress(OSError):
                tree.remove([b"flip", b"new"])
            with suppress(OSError):
                os.close(tree.create([b"flip", b"new"]))
    finally:
        done.set()
        thread.join()
    assert opened
    assert [each.name for each in (mine / "outside").iterdir()] == ["file"]
    assert (mine / "outside" / "file").read_text() == "precious"
