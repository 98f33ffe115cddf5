"""Nothing is written outside of the root nor in hiding; a new file is seen when it is whole."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pystack.apps.tree import Tree


def names_of(tree: Tree) -> set[bytes]:
    descriptor = tree.open([])
    try:
        return {name for name, status in tree.entries(descriptor, []) if status is not None}
    finally:
        os.close(descriptor)


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
    with pytest.raises(FileExistsError):
        tree.create([b"file"])
    write(tree.create([b"sub", b"made"]), b"made")
    tree.make_directory([b"sub", b"deep"])
    tree.rename([b"sub", b"made"], [b"sub", b"deep", b"moved"])
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
        first.keep()
        assert (root / "file").read_text() == "first"
    assert (root / "file").read_text() == "first"
    with tree.new_file([b"sub", b"other"]) as third:
        third.keep()
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
