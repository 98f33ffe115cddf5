"""Files that users have named: who may read them, and where root's do not go."""

import os
import stat
from pathlib import Path

import pytest

from pystack.core.errors import OutputError
from pystack.observe.captures.output import write_text
from pystack.observe.captures.ring import FILES
from pystack.observe.scene import LEAST_RING_BYTES, Scene, make_capture, open_at_once
from pystack.runtime.driver.spool import open_spool


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("open_file", [open_at_once, open_spool])
@pytest.mark.parametrize("ring", [None, LEAST_RING_BYTES])
@pytest.mark.parametrize("was", [None, 0o644, 0o600])
def test_a_capture_with_secrets_is_its_owners_alone(
    tmp_path: Path, open_file: object, ring: int | None, was: int | None
) -> None:
    path, first = tmp_path / "x.pcapng", tmp_path / ("x.pcapng" if ring is None else "x-1.pcapng")
    if was is not None:
        first.touch(was)
        first.chmod(was)
    scene = Scene(open_file=open_file, secrets=lambda: bytes)  # type: ignore[arg-type]
    make_capture(scene, str(path), ring=ring, secrets=True).close()
    assert mode_of(first) == 0o600


def test_each_file_of_a_ring_with_secrets_is(tmp_path: Path) -> None:
    file = open_at_once(str(tmp_path / "x.pcapng"), LEAST_RING_BYTES, mode=0o600)
    for _ in range(FILES + 1):
        file.write(b"\x06\0\0\0" + bytes(LEAST_RING_BYTES // FILES - 4))
    file.close()
    assert [mode_of(path) for path in sorted(tmp_path.iterdir())] == [0o600] * FILES


def test_one_without_secrets_is_as_files_are(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        make_capture(Scene(), str(tmp_path / "x.pcapng")).close()
    finally:
        os.umask(old)
    assert mode_of(tmp_path / "x.pcapng") == 0o644


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root is careful: others may not give links away"
)
def test_root_writes_no_text_where_the_link_of_another_user_leads(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "page.html"
    target.write_text("precious")
    link.symlink_to(target)
    write_text(str(link), "<p>")
    assert target.read_text() == "<p>"
    os.lchown(link, 65534, 65534)
    with pytest.raises(OutputError, match="a symbolic link of another user"):
        write_text(str(link), "<html>")
    assert target.read_text() == "<p>"


@pytest.mark.parametrize("path", ["/dev/full", "/nonexistent/x", "/", "x\0y"])
def test_what_cannot_be_written_is_one_sentence(path: str) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*: "):
        write_text(path, "text")


def test_a_text_that_is_shorter_than_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a long text")
    write_text(str(tmp_path / "x"), "ü")
    assert (tmp_path / "x").read_bytes() == b"\xc3\xbc"
