"""A host's disk: what was synced survives a crash, and of the rest a part at most."""

import errno
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

import pystack

OLD, NEW = b"old" * 1000, b"new" * 2000


@pytest.fixture(autouse=True)
def _copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is copied off the disks lie where pytest throws it away."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def after_a_crash(write: Callable[[Path], None], seed: int = 1, *, crash: bool = True) -> Path:
    """Run what writes to a host's disk, cut its power, and return a copy of what is left."""
    copy = Path(tempfile.mkdtemp()) / "left"

    async def main() -> None:
        async with pystack.Network(seed=seed) as net:
            host = net.host("a")

            def program() -> None:
                write(host.disk)
                time.sleep(3600)

            host.start_soon(host.run_sync, program)
            await trio.sleep(1)
            host.power_off(crash=crash)
            shutil.copytree(host.disk, copy)

    pystack.run(main)
    return copy


def contents(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def put(path: Path, data: bytes, *, sync: bool) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def test_what_was_synced_survives_and_what_was_not_is_a_prefix() -> None:
    def write(disk: Path) -> None:
        (disk / "deep").mkdir()
        put(disk / "deep" / "synced", OLD, sync=True)
        with (disk / "log").open("wb", buffering=0) as file:
            file.write(OLD)
            os.fdatasync(file.fileno())
            file.write(NEW)

    found = set()
    for seed in range(8):
        left = contents(after_a_crash(write, seed))
        assert left["deep/synced"] == OLD
        assert left["log"].startswith(OLD)
        assert (OLD + NEW).startswith(left["log"])
        found.add(left["log"])
    assert len(found) > 4, "torn anywhere, as the seed has it"
    assert contents(after_a_crash(write, 3)) == contents(after_a_crash(write, 3))


def test_what_is_in_the_buffer_of_a_file_is_lost_with_the_program() -> None:
    def write(disk: Path) -> None:
        global kept
        kept = (disk / "log").open("wb")
        kept.write(b"synced")
        kept.flush()
        os.fsync(kept)
        kept.write(b" never written")

    assert contents(after_a_crash(write)) == {"log": b"synced"}
    kept.close()


def test_power_off_without_a_crash_loses_nothing() -> None:
    def write(disk: Path) -> None:
        put(disk / "a", NEW, sync=False)

    assert contents(after_a_crash(write, crash=False)) == {"a": NEW}


def test_the_well_known_way_to_replace_a_file_is_safe_and_others_are_not() -> None:
    def safe(disk: Path) -> None:
        put(disk / "file", OLD, sync=True)
        put(disk / "file.new", NEW, sync=True)
        os.replace(disk / "file.new", disk / "file")

    def without_fsync(disk: Path) -> None:
        put(disk / "file", OLD, sync=True)
        put(disk / "file.new", NEW, sync=False)
        os.replace(disk / "file.new", disk / "file")

    def synced_folder(disk: Path) -> None:
        safe(disk)
        folder = os.open(disk, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def in_place(disk: Path) -> None:
        put(disk / "file", OLD, sync=True)
        with (disk / "file").open("r+b") as file:
            file.write(NEW)

    def found(write: Callable[[Path], None]) -> set[bytes]:
        return {contents(after_a_crash(write, seed))["file"] for seed in range(6)}

    assert found(safe) == {OLD, NEW}
    assert found(synced_folder) == {NEW}
    assert found(without_fsync) - {OLD, NEW}
    assert found(in_place) - {OLD, NEW}


def test_a_file_that_was_never_synced_may_be_gone_and_a_removed_one_be_back() -> None:
    def write(disk: Path) -> None:
        put(disk / "removed", OLD, sync=True)
        (disk / "removed").unlink()
        put(disk / "made", NEW, sync=False)

    found = [contents(after_a_crash(write, seed)) for seed in range(8)]
    assert {tuple(sorted(left)) for left in found} == {("made",), ("removed",)}
    assert all(left.get("removed", OLD) == OLD for left in found)


def test_sync_is_for_all() -> None:
    def write(disk: Path) -> None:
        put(disk / "a", OLD, sync=False)
        put(disk / "b", NEW, sync=False)
        os.sync()

    assert contents(after_a_crash(write)) == {"a": OLD, "b": NEW}


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_keeps_what_was_committed(mode: str) -> None:
    def write(disk: Path) -> None:
        database = sqlite3.connect(disk / "db", check_same_thread=False)
        database.execute(f"pragma journal_mode={mode}")
        database.execute("create table t (n)")
        database.execute("insert into t values (1)")
        database.commit()
        database.execute("insert into t select 2 from (select 1 union select 2)")
        opened.append(database)

    opened: list[sqlite3.Connection] = []
    left = after_a_crash(write)
    database = sqlite3.connect(left / "db")
    assert database.execute("select n from t").fetchall() == [(1,)]
    assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
    database.close()
    opened[0].close()


def test_the_next_program_finds_what_is_left_and_it_is_synced_by_then() -> None:
    async def main() -> None:
        async with pystack.Network(seed=2) as net:
            host = net.host("a")

            async def writes() -> None:
                put(host.disk / "state", b"1", sync=True)
                await trio.sleep_forever()

            host.start_soon(writes)
            await trio.sleep(1)
            for _ in range(3):
                host.power_off(crash=True)
                host.power_on()
                assert (host.disk / "state").read_bytes() == b"1"
            assert host.disk.name == "disk"
            place.append(host.disk)

    place: list[Path] = []
    pystack.run(main)
    assert not place[0].exists()


def test_other_files_are_synced_as_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with pystack.Network(seed=2) as net:
            assert net.host("a").disk != net.host("b").disk
            with (tmp_path / "x").open("wb") as file:
                os.fsync(file)
            with pytest.raises(OSError, match=str(errno.EBADF)):
                os.fsync(10**6)
            with pytest.raises(TypeError):
                os.fsync("x")  # type: ignore[arg-type]

    before = os.fsync
    pystack.run(main)
    assert os.fsync is before


def test_links_are_lost_and_never_become_directories(tmp_path: Path) -> None:
    def write(disk: Path) -> None:
        (disk / "kept").write_bytes(OLD)
        (disk / "elsewhere").symlink_to(tmp_path)
        (disk / "loop").symlink_to("loop")
        os.sync()

    assert contents(left := after_a_crash(write)) == {"kept": OLD}
    assert os.listdir(left) == ["kept"]


def test_a_disk_that_a_program_has_removed_is_there_again() -> None:
    import shutil

    assert os.listdir(after_a_crash(shutil.rmtree)) == []
