"""A Maildir: whole messages or none, whatever fails and whenever the power is cut."""

import errno
import mailbox
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_disk import FakeDisk, Node, PowerCutError

from pystack.apps.smtp.maildir import LEAVING_S, Delivery, Maildir
from pystack.core.errors import ConfigError

CONTENTS = [b"first message\n", b"", b"third message, which is longer\n"]


def deliveries(process: int | None = 42) -> list[Delivery]:
    return [Delivery(content, 1.5, process) for content in CONTENTS]


def new_of(root: Node) -> Node | None:
    """Return the directory `new` after a power cut; None: it may not be there."""
    maildir = root.safe_entries.get("Maildir")
    return None if maildir is None else maildir.safe_entries.get("new")


def may_be_there(root: Node) -> list[Node]:
    """Return the files that may be in `new` after a power cut."""
    return [
        file
        for maildir in root.names_after_a_cut().values()
        for name, folder in maildir.names_after_a_cut().items()
        if name == "new"
        for file in folder.names_after_a_cut().values()
    ]


def at_call(number: int, error: BaseException) -> Callable[[int, str], None]:
    def before_call(count: int, name: str) -> None:
        if count == number:
            raise error

    return before_call


def all_calls(tmp_path: Path, *, has_links: bool = True) -> int:
    disk = FakeDisk()
    disk.has_links = has_links
    start_and_deliver(tmp_path, disk)
    return disk.calls


def start_and_deliver(root: Path, disk: FakeDisk) -> None:
    maildir = Maildir(root, "host", disk)
    maildir.prepare()
    maildir.deliver(deliveries())


@pytest.mark.parametrize("has_links", [True, False])
def test_wherever_the_power_is_cut_nothing_half_written_is_mail(
    tmp_path: Path, has_links: bool
) -> None:
    calls = all_calls(tmp_path, has_links=has_links)
    assert calls > 40
    for number in range(1, calls + 1):
        disk = FakeDisk(at_call(number, PowerCutError()))
        disk.has_links = has_links
        with pytest.raises(PowerCutError):
            start_and_deliver(tmp_path, disk)
        for file in may_be_there(disk.root):
            assert file.safe_data in CONTENTS
            assert file.safe_data == file.data


@pytest.mark.parametrize("has_links", [True, False])
def test_what_was_said_to_be_kept_is_there_after_a_power_cut(
    tmp_path: Path, has_links: bool
) -> None:
    disk = FakeDisk()
    disk.has_links = has_links
    maildir = Maildir(tmp_path, "host", disk)
    batch = deliveries()
    maildir.deliver(batch)  # also without `prepare`: as if the Maildir had been moved away
    assert [each.error for each in batch] == [None] * 3
    new = new_of(disk.root)
    assert new is not None
    assert [new.safe_entries[each.name].safe_data for each in batch] == CONTENTS
    assert disk.open_nodes == {}
    maildir_node = disk.root.entries["Maildir"]
    assert maildir_node.entries["tmp"].entries == {}


@pytest.mark.parametrize("number", range(1, 60))
def test_whatever_call_fails_each_is_told_the_truth(tmp_path: Path, number: int) -> None:
    quiet = FakeDisk()
    Maildir(tmp_path, "host", quiet).prepare()
    quiet.calls = 0
    failed: list[str] = []

    def before_call(count: int, name: str) -> None:
        if count == number:
            failed.append(name)
            raise OSError(errno.ENOSPC, "the disk is full")

    quiet.before_call = before_call
    batch = deliveries()
    maildir = Maildir(tmp_path, "host", quiet)
    maildir.deliver(batch)
    new = new_of(quiet.root)
    assert new is not None
    for each, content in zip(batch, CONTENTS, strict=True):
        if each.error is None:
            assert new.safe_entries[each.name].safe_data == content
        else:
            assert failed != ["unlink"]
            assert each.name not in new.entries
    if failed != ["close"]:
        assert quiet.open_nodes == {}
    assert failed or quiet.calls < number
    # One that cannot be written is no reason not to write the others.
    if failed == ["write"]:
        assert sum(each.error is None for each in batch) == 2


def test_afterwards_it_goes_on(tmp_path: Path) -> None:
    """A cut of the program's alone: the files stay as they are."""
    calls = all_calls(tmp_path)
    for number in range(1, calls + 1):
        disk = FakeDisk(at_call(number, PowerCutError()))
        with pytest.raises(PowerCutError):
            start_and_deliver(tmp_path, disk)
        disk.before_call = lambda count, name: None
        again = Maildir(tmp_path, "host", disk)
        again.prepare()
        batch = deliveries()
        again.deliver(batch)
        assert [each.error for each in batch] == [None] * 3
        new = new_of(disk.root)
        assert new is not None
        kept = [file.data for file in new.safe_entries.values()]
        assert all(data in CONTENTS for data in kept)
        assert all(kept.count(content) >= 1 for content in CONTENTS)


def test_real_files_are_what_python_takes_for_a_maildir(tmp_path: Path) -> None:
    maildir = Maildir(tmp_path, "host:1/x", os)
    maildir.prepare()
    batch = deliveries()
    maildir.deliver(batch)
    found = mailbox.Maildir(tmp_path / "Maildir", factory=None, create=False)
    assert sorted(found.keys()) == [each.name for each in batch]
    assert [found.get_bytes(each.name) for each in batch] == CONTENTS
    assert batch[0].name == "1.M500000P42Q1.host\\0721\\057x"
    mode = (tmp_path / "Maildir" / "new" / batch[0].name).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE((tmp_path / "Maildir").stat().st_mode) == 0o700
    assert list((tmp_path / "Maildir" / "tmp").iterdir()) == []


def test_a_second_run_with_the_same_names_overwrites_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        maildir = Maildir(tmp_path, "host", os)
        maildir.prepare()
        maildir.deliver(deliveries(None))
    names = [path.name for path in (tmp_path / "Maildir" / "new").iterdir()]
    assert sorted(names) == [f"1.M500000Q{number}.host" for number in (1, 2, 3, 4, 5, 6)]


def test_old_leavings_go_and_young_ones_may_be_somebodys(tmp_path: Path) -> None:
    maildir = Maildir(tmp_path, "host", os)
    maildir.prepare()
    tmp = tmp_path / "Maildir" / "tmp"
    for name, age_s in (("old", LEAVING_S + 60), ("young", LEAVING_S - 60)):
        (tmp / name).touch()
        os.utime(tmp / name, (time.time() - age_s,) * 2)
    maildir.prepare()
    assert [path.name for path in tmp.iterdir()] == ["young"]


def test_a_link_to_somewhere_else_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "Maildir").symlink_to(elsewhere)
    maildir = Maildir(root, "host", os)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        maildir.prepare()
    batch = deliveries()
    maildir.deliver(batch)
    assert all(each.error is not None for each in batch)
    assert list(elsewhere.iterdir()) == []


def test_a_root_that_is_none_is_found_when_it_is_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a directory"):
        Maildir(tmp_path / "nothing", "host")
